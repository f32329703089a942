/* Three processes write parts of a job, and one is killed. What is missing is written, and one call publishes all. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rds.h"

enum { PARTS = 3, ROWS = 100 };
static const char JOB[] = "night-1";

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

/* What a worker does, on any machine that sees the directory. */
static void infer(uint64_t part, int dies) {
    int64_t numbers[ROWS];
    double squares[ROWS];
    const int64_t shape[1] = {ROWS};
    for (int i = 0; i < ROWS; i++) {
        numbers[i] = (int64_t)part * ROWS + i;
        squares[i] = (double)numbers[i] * (double)numbers[i];
    }
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_STAGED, options.job = JOB, options.part = part;
    rds_writer *writer = NULL;
    check(rds_writer_open("results", &options, &writer));

    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64, ids.count = ROWS, ids.data = numbers;
    rds_tensor square = RDS_TENSOR_INIT;
    square.name = "square", square.dtype = RDS_DTYPE_FLOAT64;
    square.ndim = 1, square.shape = shape, square.data = squares;
    check(rds_write_tensors(writer, &ids, &square, 1));
    if (dies) raise(SIGKILL);

    rds_token token;
    check(rds_writer_stage(writer, &token));
    check(rds_writer_close(writer));
}

/* Called for each part that waits: keeps its token. */
static int keep(void *user_data, const char *job, uint64_t first, uint64_t last, const rds_token *token) {
    rds_token *tokens = user_data;
    (void)job, (void)last;
    if (token == NULL || first >= PARTS) return 0;
    uint8_t *data = malloc(token->length);
    if (data == NULL) return 1;
    memcpy(data, token->data, token->length);
    tokens[first].data = data, tokens[first].length = token->length;
    return 0;
}

int main(void) {
    rds_token tokens[PARTS] = {{NULL, 0}};
    for (uint64_t part = 0; part < PARTS; part++) {
        if (fork() == 0) {
            infer(part, part == 1);
            _exit(0);
        }
    }
    while (wait(NULL) > 0) continue;

    check(rds_list_parts("results", JOB, NULL, keep, tokens));
    printf("parts that wait:");
    for (int part = 0; part < PARTS; part++) {
        if (tokens[part].data != NULL) printf(" %d", part);
    }
    printf("\n");
    for (uint64_t part = 0; part < PARTS; part++) {
        if (tokens[part].data != NULL) continue;
        infer(part, 0);
        check(rds_list_parts("results", JOB, &part, keep, tokens));
    }
    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    options.job = JOB;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    check(rds_commit_staged("results", tokens, PARTS, &options, &info));
    printf("%llu rows in version %llu\n", (unsigned long long)info.rows, (unsigned long long)info.version);

    rds_reader *reader = NULL;
    const uint64_t row = 250;
    const char *id = NULL;
    size_t length = 0;
    double square = 0;
    check(rds_reader_open("results", NULL, &reader));
    check(rds_reader_id(reader, row, &id, &length));
    check(rds_reader_read(reader, 0, &row, 1, &square, sizeof square));
    printf("row 250 is object %.*s with %.1f\n", (int)length, id, square);
    check(rds_reader_close(reader));
    for (int part = 0; part < PARTS; part++) free((void *)tokens[part].data);
    return 0;
}
