/* A program with functions of its own that are called like those of libraries in librds. */

#include "consumer.h"

int LZ4_compress_default(const char *in, char *out, int bytes, int room);
int LZ4_compress_default(const char *in, char *out, int bytes, int room) {
  (void)in, (void)out, (void)bytes, (void)room;
  return -1;
}

size_t ZSTD_compress(void *out, size_t room, const void *in, size_t bytes, int level);
size_t ZSTD_compress(void *out, size_t room, const void *in, size_t bytes, int level) {
  (void)in, (void)out, (void)bytes, (void)room, (void)level;
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 2 || LZ4_compress_default("", NULL, 0, 0) != -1 || ZSTD_compress(NULL, 0, "", 0, 1) != 0) return 2;
  return consume(argv[1]);
}
