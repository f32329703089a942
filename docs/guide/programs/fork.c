/* One reader for many threads and for a forked child; a writer stays with the process that opened it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rds.h"

enum { ROWS = 1000, THREADS = 4 };

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

static rds_status write_rows(rds_writer *writer) {
    static int64_t numbers[ROWS];
    const int64_t shape[1] = {ROWS};
    for (int i = 0; i < ROWS; i++) numbers[i] = i;
    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64, ids.count = ROWS, ids.data = numbers;
    rds_tensor count = RDS_TENSOR_INIT;
    count.name = "count", count.dtype = RDS_DTYPE_INT64;
    count.ndim = 1, count.shape = shape, count.data = numbers;
    return rds_write_tensors(writer, &ids, &count, 1);
}

typedef struct task {
    const rds_reader *reader;
    uint64_t first, step;
    long sum;
} task;

static void *add_rows(void *argument) {
    task *own = argument;
    for (uint64_t row = own->first; row < ROWS; row += own->step) {
        int64_t value = 0;
        check(rds_reader_read(own->reader, 0, &row, 1, &value, sizeof value));
        own->sum += (long)value;
    }
    return NULL;
}

static long sum_by_threads(const rds_reader *reader) {
    pthread_t threads[THREADS];
    task tasks[THREADS];
    long sum = 0;
    for (uint64_t i = 0; i < THREADS; i++) {
        tasks[i] = (task){reader, i, THREADS, 0};
        if (pthread_create(&threads[i], NULL, add_rows, &tasks[i]) != 0) exit(1);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += tasks[i].sum;
    }
    return sum;
}

int main(void) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE;
    rds_writer *writer = NULL;
    rds_reader *reader = NULL;
    check(rds_writer_open("results", &options, &writer));
    check(write_rows(writer));
    check(rds_flush(writer));
    check(rds_reader_open("results", NULL, &reader));
    printf("threads: %ld\n", sum_by_threads(reader));
    fflush(stdout);

    pid_t child = fork();
    if (child == 0) {
        printf("threads of the child: %ld\n", sum_by_threads(reader));
        printf("its write: %s\n", rds_status_name(write_rows(writer)));
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) return 1;
    check(rds_reader_close(reader));
    check(rds_writer_close(writer));
    return 0;
}
