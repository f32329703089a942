/* A writer is killed; what it had made durable becomes visible afterwards. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rds.h"

enum { ROWS = 10 };

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

static void write_and_die(void) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE, options.durability = RDS_DURABILITY_BATCH;
    rds_writer *writer = NULL;
    check(rds_writer_open("results", &options, &writer));
    for (int first = 0; first < 3 * ROWS; first += ROWS) {
        int64_t numbers[ROWS];
        double scores[ROWS];
        const int64_t shape[1] = {ROWS};
        for (int i = 0; i < ROWS; i++) numbers[i] = first + i, scores[i] = (first + i) / 2.0;
        rds_ids ids = RDS_IDS_INIT;
        ids.kind = RDS_IDS_INT64, ids.count = ROWS, ids.data = numbers;
        rds_tensor score = RDS_TENSOR_INIT;
        score.name = "score", score.dtype = RDS_DTYPE_FLOAT64;
        score.ndim = 1, score.shape = shape, score.data = scores;
        check(rds_write_tensors(writer, &ids, &score, 1)); /* durable when it returns */
    }
    raise(SIGKILL);
}

static void recover(uint32_t flags) {
    rds_recover_options options = RDS_RECOVER_OPTIONS_INIT;
    rds_recover_info info = RDS_RECOVER_INFO_INIT;
    options.flags = flags;
    check(rds_recover("results", &options, &info));
    printf("%llu rows wait, %llu recovered\n", (unsigned long long)info.waiting_rows,
           (unsigned long long)info.recovered_rows);
}

int main(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) write_and_die();
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) return 1;
    printf("ended by signal %d\n", WTERMSIG(status));

    recover(RDS_RECOVER_DRY_RUN);
    recover(0);

    rds_reader *reader = NULL;
    rds_table_info table = RDS_TABLE_INFO_INIT;
    const char *id = NULL;
    size_t length = 0;
    double score = 0;
    check(rds_reader_open("results", NULL, &reader));
    check(rds_reader_info(reader, &table));
    const uint64_t last = table.rows - 1;
    check(rds_reader_id(reader, last, &id, &length));
    check(rds_reader_read(reader, 0, &last, 1, &score, sizeof score));
    printf("%llu rows, the last is %.*s with %g\n", (unsigned long long)table.rows, (int)length, id, score);
    check(rds_reader_close(reader));
    return 0;
}
