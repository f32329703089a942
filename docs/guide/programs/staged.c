/* Four processes write one table: each stages a part of a job, and one call publishes them all. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rds.h"

enum { PARTS = 4, ROWS = 100, TOKEN_BYTES = 1 << 16 };

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

/* What a worker does; its token is bytes, to be sent or stored. */
static void infer(uint64_t part, int out) {
    int64_t numbers[ROWS];
    double squares[ROWS];
    const int64_t shape[1] = {ROWS};
    for (int i = 0; i < ROWS; i++) {
        numbers[i] = (int64_t)part * ROWS + i;
        squares[i] = (double)numbers[i] * (double)numbers[i];
    }
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_STAGED, options.job = "night-1", options.part = part;
    rds_writer *writer = NULL;
    check(rds_writer_open("results", &options, &writer));

    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64, ids.count = ROWS, ids.data = numbers;
    rds_tensor square = RDS_TENSOR_INIT;
    square.name = "square", square.dtype = RDS_DTYPE_FLOAT64;
    square.ndim = 1, square.shape = shape, square.data = squares;
    check(rds_write_tensors(writer, &ids, &square, 1));

    rds_token token;
    check(rds_writer_stage(writer, &token));
    if (write(out, token.data, token.length) != (ssize_t)token.length) exit(1);
    check(rds_writer_close(writer));
}

/* All that a worker sends, until it closes its end. */
static size_t receive(int in, uint8_t *bytes) {
    size_t length = 0;
    for (ssize_t got; (got = read(in, bytes + length, TOKEN_BYTES - length)) > 0;) length += (size_t)got;
    close(in);
    return length;
}

int main(void) {
    static uint8_t bytes[PARTS][TOKEN_BYTES];
    rds_token tokens[PARTS];
    for (int part = 0; part < PARTS; part++) {
        int ends[2];
        if (pipe(ends) != 0) return 1;
        pid_t child = fork();
        if (child == 0) {
            infer((uint64_t)part, ends[1]);
            _exit(0);
        }
        close(ends[1]);
        int status = 0;
        tokens[part].length = receive(ends[0], bytes[part]);
        tokens[part].data = bytes[part];
        if (waitpid(child, &status, 0) != child || status != 0) return 1;
    }

    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE, options.job = "night-1";
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    check(rds_commit_staged("results", tokens, PARTS, &options, &info));
    printf("%llu rows in one version\n", (unsigned long long)info.rows);

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
    return 0;
}
