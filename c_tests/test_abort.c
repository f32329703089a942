/* Dropping what is not durable: nothing is left of it, and what is durable stays. */
#include <pthread.h>

#include "files.h"

TEST(an_aborted_run_that_made_nothing_durable_leaves_no_file) {
    const uint32_t durabilities[] = {RDS_DURABILITY_INTERVAL, RDS_DURABILITY_COMMIT};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        rds_writer *writer = NULL;
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        options.durability = durabilities[i], options.checkpoint_ms = 3600 * 1000;
        CHECK_OK(rds_writer_open(path.text, &options, &writer));
        for (uint64_t batch = 0; batch < 20; batch++) CHECK_OK(table_write(writer, batch * 9, 9));
        CHECK_OK(rds_writer_abort(writer));
        CHECK_NUMBER(table_rows(path.text), -1);
        CHECK_NUMBER(data_files(path.text), 0);
        CHECK_NUMBER(versions(path.text), 0);
        CHECK_NUMBER(files_named(path.text, "_transactions", "", ""), 0);
        CHECK_NUMBER(files_named(path.text, "_rds", "", ""), 0);
        /* Nothing of it is in the way of the next run. */
        table_make(path.text, 3);
        table_check_all(path.text, 3);
    }
}

TEST(an_aborted_run_keeps_what_was_durable_and_leaves_no_other_file) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.checkpoint_ms = 3600 * 1000;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    CHECK_OK(table_write(writer, 0, 10));
    CHECK_OK(rds_flush(writer));
    CHECK_OK(table_write(writer, 10, 7));
    CHECK_OK(rds_writer_abort(writer));
    table_check_all(path.text, 10);
    CHECK_NUMBER(data_files(path.text), 1);
    CHECK_NUMBER(versions(path.text), 1);
}

TEST(rows_that_were_durable_become_visible_by_an_abort) {
    for (uint32_t mode = RDS_MODE_CREATE; mode <= RDS_MODE_APPEND; mode++) {
        check_path_text path = check_path();
        uint64_t first = mode == RDS_MODE_APPEND ? 10 : 0;
        if (first) table_make(path.text, first);
        rds_writer *writer = table_writer(path.text, mode, RDS_DURABILITY_BATCH);
        for (uint64_t row = first; row < first + 20; row++) CHECK_OK(table_write(writer, row, 1));
        CHECK_NUMBER(table_rows(path.text), first ? (long long)first : -1);
        CHECK_OK(rds_writer_abort(writer));
        table_check_all(path.text, first + 20);
    }
}

TEST(an_aborted_append_leaves_the_table_as_it_was) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 10, 7));
    CHECK_OK(rds_writer_abort(writer));
    table_check_all(path.text, 10);
    CHECK_NUMBER(data_files(path.text), 1);
    CHECK_NUMBER(versions(path.text), 1);
}

TEST(an_aborted_overwrite_leaves_the_old_table) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    rds_writer *writer = table_writer(path.text, RDS_MODE_OVERWRITE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(table_write(writer, 100, 7));
    CHECK_OK(rds_writer_abort(writer));
    table_check_all(path.text, 10);
    CHECK_NUMBER(data_files(path.text), 1);
}

TEST(an_abort_after_a_commit_keeps_all_of_it) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 0, 5));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_abort(writer));
    table_check_all(path.text, 5);
}

TEST(an_aborted_writer_is_gone) {
    check_path_text path = check_path();
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    CHECK_OK(rds_writer_abort(writer));
    CHECK_STATUS(rds_writer_abort(writer), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(table_write(writer, 0, 1), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_commit(writer, NULL, NULL), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_writer_stats(writer, &stats), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_writer_abort((rds_writer *)(uintptr_t)0xabc), RDS_ERR_INVALID_HANDLE);
}

static void *write_until_refused(void *writer) {
    for (int i = 0; i < 100000; i++) {
        rds_status status = table_write((rds_writer *)writer, 0, 500);
        if (status == RDS_OK) continue;
        CHECK(status == RDS_ERR_INVALID_STATE || status == RDS_ERR_INVALID_HANDLE);
        return NULL;
    }
    CHECK(!"a writer that was aborted refuses more");
    return NULL;
}

/* With hardly any room, so that the others wait for it when the abort comes. */
TEST(an_abort_wakes_those_that_wait_for_room) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    pthread_t threads[4];
    options.max_queued_bytes = 1, options.durability = RDS_DURABILITY_COMMIT;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, write_until_refused, writer);
    sleep_ms(50);
    CHECK_OK(rds_writer_abort(writer));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    CHECK_NUMBER(table_rows(path.text), -1);
    CHECK_NUMBER(data_files(path.text), 0);
}

TEST(an_abort_tells_a_failure_that_no_call_has_told) {
    check_path_text path = check_path();
    table_make(path.text, 1);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
    check_remove(path.text);
    CHECK_OK(table_write(writer, 1, 1));
    /* The checkpoint that fails is due after a second, and only the abort is there to tell. */
    rds_status status = RDS_OK;
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    sleep_ms(1500);
    CHECK_OK(rds_writer_stats(writer, &stats));
    CHECK_NUMBER(stats.durable_rows, 0);
    status = rds_writer_abort(writer);
    CHECK(status == RDS_ERR_NOT_FOUND || status == RDS_ERR_IO);
    CHECK_MESSAGE_HAS("rds_writer_abort: ");
    CHECK_STATUS(rds_writer_abort(writer), RDS_ERR_INVALID_HANDLE);
}

CHECK_MAIN(RUN(an_aborted_run_that_made_nothing_durable_leaves_no_file),
           RUN(an_aborted_run_keeps_what_was_durable_and_leaves_no_other_file),
           RUN(rows_that_were_durable_become_visible_by_an_abort),
           RUN(an_aborted_append_leaves_the_table_as_it_was),
           RUN(an_aborted_overwrite_leaves_the_old_table),
           RUN(an_abort_after_a_commit_keeps_all_of_it), RUN(an_aborted_writer_is_gone),
           RUN(an_abort_wakes_those_that_wait_for_room),
           RUN(an_abort_tells_a_failure_that_no_call_has_told))
