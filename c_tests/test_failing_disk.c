/* A disk that takes no more: the failure of the background task reaches every later call, and what
 * was durable stays so. The limit on the size of files stands for the full disk. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "child.h"
#include "table.h"

enum { SAFE_ROWS = 10, BATCHES = 400, LIMIT = 1 << 20 };

static void limit_files(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = LIMIT;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    signal(SIGXFSZ, SIG_IGN);
}

/* A writer with SAFE_ROWS durable rows that has then met the limit. */
static rds_writer *failed_writer(const char *path, uint32_t durability) {
    rds_writer *writer = table_writer(path, RDS_MODE_CREATE, durability);
    rds_status status = RDS_OK;
    CHECK_OK(table_write(writer, 0, SAFE_ROWS));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    limit_files();
    for (int i = 0; i < BATCHES && status == RDS_OK; i++) {
        status = table_write(writer, SAFE_ROWS, TABLE_MAX_BATCH);
    }
    if (status == RDS_OK) status = rds_commit(writer, NULL, NULL);
    CHECK_NUMBER(status, RDS_ERR_IO);
    return writer;
}

static void check_failed(const char *path, uint32_t durability) {
    rds_writer *writer = failed_writer(path, durability);
    CHECK_STATUS(table_write(writer, 0, 1), RDS_ERR_IO);
    CHECK_MESSAGE_HAS("rds_write_tensors: ");
    if (durability != RDS_DURABILITY_COMMIT) CHECK_STATUS(rds_flush(writer), RDS_ERR_IO);
    CHECK_STATUS(rds_commit(writer, NULL, NULL), RDS_ERR_IO);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_IO);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_INVALID_HANDLE);
    rds_reader *reader = table_reader(path);
    CHECK_NUMBER(table_info(reader).rows, SAFE_ROWS);
    for (uint64_t row = 0; row < SAFE_ROWS; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
}

static void fail_interval(void *path) { check_failed((char *)path, RDS_DURABILITY_INTERVAL); }
static void fail_commit(void *path) { check_failed((char *)path, RDS_DURABILITY_COMMIT); }

TEST(a_failure_in_the_background_is_told_by_every_later_call) {
    check_path_text path = check_path();
    in_child(fail_interval, path.text);
}

TEST(a_failed_commit_leaves_what_was_committed_before) {
    check_path_text path = check_path();
    in_child(fail_commit, path.text);
}

static void *write_until_failure(void *writer) {
    rds_status status = RDS_OK;
    for (int i = 0; i < BATCHES && status == RDS_OK; i++) {
        status = table_write((rds_writer *)writer, 0, TABLE_MAX_BATCH);
    }
    if (status == RDS_OK) status = rds_flush((rds_writer *)writer);
    CHECK_NUMBER(status, RDS_ERR_IO);
    return NULL;
}

static void fail_while_waiting(void *path) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    pthread_t threads[4];
    options.max_queued_bytes = 1;
    CHECK_OK(rds_writer_open((char *)path, &options, &writer));
    limit_files();
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, write_until_failure, writer);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_IO);
}

TEST(writers_that_wait_for_room_are_woken_by_the_failure) {
    check_path_text path = check_path();
    in_child(fail_while_waiting, path.text);
}

CHECK_MAIN(RUN(a_failure_in_the_background_is_told_by_every_later_call),
           RUN(a_failed_commit_leaves_what_was_committed_before),
           RUN(writers_that_wait_for_room_are_woken_by_the_failure))
