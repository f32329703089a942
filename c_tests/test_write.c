/* Write modes, durability, commits, and what a refused batch leaves behind. */
#include "table.h"

static rds_writer *create(const char *path, uint32_t durability) {
    return table_writer(path, RDS_MODE_CREATE, durability);
}

TEST(create_makes_a_table_and_refuses_one_that_exists) {
    check_path_text path = check_path();
    rds_writer *writer = create(path.text, RDS_DURABILITY_INTERVAL);
    CHECK_OK(table_write(writer, 0, 3));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 3);
    CHECK_STATUS(rds_writer_open(path.text, NULL, &writer), RDS_ERR_ALREADY_EXISTS);
    CHECK(writer == NULL);
    CHECK_NUMBER(table_rows(path.text), 3);
}

TEST(a_table_appears_with_its_first_rows_and_in_its_place) {
    check_path_text path = check_path();
    char table[1300];
    rds_writer *writer = create(path.text, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_flush(writer));
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    CHECK_OK(rds_commit(writer, NULL, &info));
    CHECK_NUMBER(info.rows, 0);
    CHECK_NUMBER(info.version, 0);
    CHECK_NUMBER(table_rows(path.text), -1);
    CHECK_OK(table_write(writer, 0, 1));
    CHECK_OK(rds_flush(writer));
    CHECK_OK(rds_writer_close(writer));
    snprintf(table, sizeof table, "%s/lance_db/results.lance", path.text);
    CHECK(access(table, F_OK) == 0);
    CHECK_NUMBER(table_rows(table), 1);
    snprintf(table, sizeof table, "file://%s", path.text);
    CHECK_NUMBER(table_rows(table), 1);
}

TEST(append_adds_after_the_last_row) {
    check_path_text path = check_path();
    table_make(path.text, 3);
    for (uint64_t first = 3; first < 9; first += 2) {
        rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
        CHECK_OK(table_write(writer, first, 2));
        CHECK_OK(rds_writer_close(writer));
    }
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).rows, 9);
    for (uint64_t row = 0; row < 9; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
}

TEST(append_needs_a_table_of_the_same_dtype_and_shape) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    const int64_t number = 1, shape[2] = {1, TABLE_WIDTH};
    const double values[TABLE_WIDTH] = {0};
    const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, 2, shape, values);
    options.mode = RDS_MODE_APPEND;
    CHECK_STATUS(rds_writer_open(path.text, &options, &writer), RDS_ERR_NOT_FOUND);
    table_make(path.text, 3);
    writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_OK(table_write(writer, 3, 1));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 4);
}

TEST(overwrite_replaces_the_table_with_its_first_version) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *before = table_reader(path.text);
    rds_writer *writer = table_writer(path.text, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    CHECK_NUMBER(table_rows(path.text), 5);
    CHECK_OK(table_write(writer, 100, 2));
    CHECK_NUMBER(table_rows(path.text), 5);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *after = table_reader(path.text);
    CHECK_NUMBER(table_info(after).rows, 2);
    CHECK(table_row_is(after, 0, 100) && table_row_is(after, 1, 101));
    CHECK_NUMBER(table_info(before).rows, 5);
    for (uint64_t row = 0; row < 5; row++) CHECK(table_row_is(before, row, row));
    CHECK_OK(rds_reader_close(before));
    CHECK_OK(rds_reader_close(after));
}

TEST(overwrite_may_change_dtype_and_shape) {
    check_path_text path = check_path();
    const int64_t number = 7, shape[3] = {1, 2, 3};
    const uint8_t values[6] = {1, 2, 3, 4, 5, 6};
    const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 3, shape, values);
    table_make(path.text, 2);
    rds_writer *writer = table_writer(path.text, RDS_MODE_OVERWRITE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    rds_column_info info = column_info(reader, 0);
    CHECK_TEXT(info.dtype_name, "uint8");
    CHECK(info.ndim == 2 && info.shape[0] == 2 && info.shape[1] == 3);
    CHECK_NUMBER(table_info(reader).rows, 1);
    CHECK_OK(rds_reader_close(reader));
}

static uint64_t durable_rows(rds_writer *writer) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    CHECK_OK(rds_writer_stats(writer, &stats));
    return stats.durable_rows;
}

TEST(a_durable_batch_becomes_visible_with_the_next_flush) {
    check_path_text path = check_path();
    rds_writer *writer = create(path.text, RDS_DURABILITY_BATCH);
    for (uint64_t row = 0; row < 5; row++) {
        CHECK_OK(table_write(writer, row, 1));
        CHECK_NUMBER(durable_rows(writer), row + 1);
        CHECK_NUMBER(table_rows(path.text), -1);
    }
    CHECK_OK(rds_flush(writer));
    CHECK_NUMBER(table_rows(path.text), 5);
    CHECK_OK(rds_writer_close(writer));
}

/* Waits until a reader sees rows; how many, or -1. */
static long long await_rows(const char *path, long long more_than) {
    long long rows = table_rows(path);
    for (int waited = 0; rows <= more_than && waited < 10000; waited += 20) {
        sleep_ms(20);
        rows = table_rows(path);
    }
    return rows;
}

TEST(rows_become_durable_and_then_visible_by_themselves) {
    for (uint32_t durability = 0; durability <= RDS_DURABILITY_BATCH; durability++) {
        check_path_text path = check_path();
        rds_writer *writer = NULL;
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        options.durability = durability, options.checkpoint_ms = 50, options.visible_ms = 600;
        CHECK_OK(rds_writer_open(path.text, &options, &writer));
        CHECK_OK(table_write(writer, 0, 2));
        for (int waited = 0; durable_rows(writer) != 2 && waited < 10000; waited++) sleep_ms(1);
        CHECK_NUMBER(durable_rows(writer), 2);
        CHECK_NUMBER(await_rows(path.text, -1), 2);
        CHECK_OK(table_write(writer, 2, 3));
        CHECK_NUMBER(await_rows(path.text, 2), 5);
        CHECK_OK(rds_writer_close(writer));
    }
}

TEST(an_overwrite_does_not_become_visible_by_itself) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE, options.durability = RDS_DURABILITY_BATCH;
    options.visible_ms = 1;
    table_make(path.text, 5);
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    for (uint64_t row = 0; row < 10; row++) {
        CHECK_OK(table_write(writer, row, 1));
        sleep_ms(20);
        CHECK_NUMBER(table_rows(path.text), 5);
    }
    CHECK_OK(rds_flush(writer));
    CHECK_NUMBER(table_rows(path.text), 10);
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_flush_makes_rows_visible_at_once) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.checkpoint_ms = 3600 * 1000;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    CHECK_OK(table_write(writer, 0, 2));
    CHECK_OK(rds_flush(writer));
    CHECK_NUMBER(table_rows(path.text), 2);
    CHECK_OK(table_write(writer, 2, 3));
    CHECK_NUMBER(table_rows(path.text), 2);
    CHECK_OK(rds_flush(writer));
    CHECK_OK(rds_flush(writer));
    CHECK_NUMBER(table_rows(path.text), 5);
    CHECK_OK(rds_writer_close(writer));
}

TEST(with_commit_durability_nothing_is_visible_before_the_commit) {
    check_path_text path = check_path();
    rds_writer *writer = create(path.text, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 0, 4));
    CHECK_STATUS(rds_flush(writer), RDS_ERR_INVALID_STATE);
    CHECK_NUMBER(table_rows(path.text), -1);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_NUMBER(table_rows(path.text), 4);
    CHECK_OK(table_write(writer, 4, 4));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 4);
}

TEST(a_commit_reports_what_the_writer_made_durable) {
    check_path_text path = check_path();
    table_make(path.text, 3);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
    rds_commit_info first = RDS_COMMIT_INFO_INIT, again = RDS_COMMIT_INFO_INIT;
    CHECK_OK(table_write(writer, 3, 5));
    CHECK_OK(rds_commit(writer, NULL, &first));
    CHECK_NUMBER(first.rows, 5);
    CHECK_NUMBER(first.tensor_bytes, 5 * TABLE_WIDTH * sizeof(float));
    CHECK(first.version > 1);
    CHECK(first.data_files >= 1);
    CHECK_OK(rds_commit(writer, NULL, &again));
    CHECK(memcmp(&first, &again, sizeof first) == 0);
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).version, first.version);
    CHECK_NUMBER(table_info(reader).rows, 8);
    CHECK_OK(rds_reader_close(reader));
}

static int stop(void *user_data, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    ++*(int *)user_data;
    return 1;
}

TEST(a_commit_that_is_cancelled_loses_nothing) {
    check_path_text path = check_path();
    rds_writer *writer = create(path.text, RDS_DURABILITY_COMMIT);
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    int calls = 0;
    options.progress = stop;
    options.user_data = &calls;
    for (uint64_t i = 0; i < 20; i++) {
        CHECK_OK(table_write(writer, i * TABLE_MAX_BATCH, TABLE_MAX_BATCH));
    }
    rds_status status = rds_commit(writer, &options, NULL);
    /* A commit that is faster than the first call of progress is not cancelled. */
    CHECK_NUMBER(status, calls ? RDS_ERR_CANCELLED : RDS_OK);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 20 * TABLE_MAX_BATCH);
}

TEST(a_refused_batch_leaves_the_writer_usable_and_no_trace) {
    check_path_text path = check_path();
    rds_writer *writer = create(path.text, RDS_DURABILITY_INTERVAL);
    const int64_t numbers[2] = {1, 2}, shape[2] = {3, TABLE_WIDTH};
    const float values[3 * TABLE_WIDTH] = {0};
    const rds_ids two = ids_of(RDS_IDS_INT64, 2, numbers), none = ids_of(RDS_IDS_INT64, 0, NULL);
    const rds_tensor three = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
    for (uint64_t row = 0; row < 3; row++) {
        CHECK_STATUS(rds_write_tensors(writer, &two, &three, 1), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_write_tensors(writer, &none, &three, 1), RDS_ERR_INVALID_ARGUMENT);
        CHECK_OK(table_write(writer, row, 1));
    }
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).rows, 3);
    for (uint64_t row = 0; row < 3; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_refused_first_batch_does_not_fix_dtype_and_shape) {
    check_path_text path = check_path();
    rds_writer *writer = create(path.text, RDS_DURABILITY_INTERVAL);
    const int64_t number = 1, shape[2] = {2, 9};
    const double values[18] = {0};
    const rds_ids one = ids_of(RDS_IDS_INT64, 1, &number);
    const rds_tensor two = tensor_of(RDS_DTYPE_FLOAT64, 2, shape, values);
    CHECK_STATUS(rds_write_tensors(writer, &one, &two, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_OK(table_write(writer, 0, 2));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 2);
}

TEST(an_empty_batch_does_nothing) {
    check_path_text path = check_path();
    rds_writer *writer = create(path.text, RDS_DURABILITY_INTERVAL);
    CHECK_OK(table_write(writer, 0, 0));
    CHECK_OK(rds_flush(writer));
    CHECK_NUMBER(table_rows(path.text), -1);
    CHECK_OK(table_write(writer, 0, 1));
    CHECK_OK(table_write(writer, 0, 0));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 1);
}

CHECK_MAIN(RUN(create_makes_a_table_and_refuses_one_that_exists),
           RUN(a_table_appears_with_its_first_rows_and_in_its_place),
           RUN(append_adds_after_the_last_row),
           RUN(append_needs_a_table_of_the_same_dtype_and_shape),
           RUN(overwrite_replaces_the_table_with_its_first_version),
           RUN(overwrite_may_change_dtype_and_shape),
           RUN(a_durable_batch_becomes_visible_with_the_next_flush),
           RUN(rows_become_durable_and_then_visible_by_themselves),
           RUN(an_overwrite_does_not_become_visible_by_itself),
           RUN(a_flush_makes_rows_visible_at_once),
           RUN(with_commit_durability_nothing_is_visible_before_the_commit),
           RUN(a_commit_reports_what_the_writer_made_durable),
           RUN(a_commit_that_is_cancelled_loses_nothing),
           RUN(a_refused_batch_leaves_the_writer_usable_and_no_trace),
           RUN(a_refused_first_batch_does_not_fix_dtype_and_shape),
           RUN(an_empty_batch_does_nothing))
