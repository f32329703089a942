/* Rows that were durable when their process died: visible by rds_recover() or the next writer that appends,
 * in order, each once; and what becomes of them otherwise. */
#include "actors.h"
#include "dead_runs.h"

enum { ROWS = 60 };

/* Runs a part of a test that uses librds. */
static void with_library(child_body *body, check_path_text path) { in_child(body, path.text); }

static void make_ten(void *path) { table_make((const char *)path, 10); }

static void check_recovered(void *path) {
    rds_recover_info dry = recover(path, NULL, RDS_RECOVER_DRY_RUN, RDS_OK);
    CHECK_NUMBER(dry.waiting_runs, 1);
    CHECK_NUMBER(dry.waiting_rows, ROWS);
    CHECK_NUMBER(dry.recovered_runs + dry.recovered_rows + dry.live_runs, 0);
    CHECK_NUMBER(table_rows(path), -1);
    rds_recover_info info = recover(path, NULL, 0, RDS_OK);
    CHECK_NUMBER(info.recovered_runs, 1);
    CHECK_NUMBER(info.recovered_rows, ROWS);
    CHECK_NUMBER(info.waiting_runs + info.waiting_rows + info.dropped_rows + info.live_runs, 0);
    for (int i = 0; i < 2; i++) {
        table_check_all(path, ROWS);
        info = recover(path, NULL, 0, RDS_OK);
        CHECK_NUMBER(info.recovered_runs + info.recovered_rows + info.waiting_runs, 0);
    }
    CHECK_NUMBER(versions(path), 1);
    CHECK_NUMBER(data_files(path), 1);
}

TEST(rows_that_wait_become_visible_once_and_are_counted) {
    const uint64_t batches[] = {1, 7, ROWS};
    for (int i = 0; i < 3; i++) {
        check_path_text path = check_path();
        leave_rows(path, RDS_MODE_CREATE, 0, ROWS, batches[i]);
        CHECK_NUMBER(versions(path.text), 0);
        with_library(check_recovered, path);
    }
}

static void append_after(void *path) {
    rds_writer *writer = table_writer(path, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 10 + 2 * ROWS, 5));
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path, 10 + 2 * ROWS + 5);
}

TEST(the_next_append_comes_behind_the_rows_of_dead_runs_in_their_order) {
    check_path_text path = check_path();
    with_library(make_ten, path);
    leave_rows(path, RDS_MODE_APPEND, 10, ROWS, 7);
    leave_rows(path, RDS_MODE_APPEND, 10 + ROWS, ROWS, 1);
    with_library(append_after, path);
}

static void create_over(void *path) {
    rds_writer *writer = NULL;
    CHECK_STATUS(rds_writer_open(path, NULL, &writer), RDS_ERR_ALREADY_EXISTS);
    CHECK_MESSAGE_HAS("60 rows");
    CHECK_MESSAGE_HAS("rds_recover()");
    table_make(path, 3);
    table_check_all(path, 3);
    CHECK_NUMBER(recover(path, NULL, 0, RDS_OK).recovered_rows, 0);
    table_check_all(path, 3);
}

TEST(a_create_is_refused_where_rows_wait_and_an_overwrite_drops_them) {
    check_path_text path = check_path();
    leave_rows(path, RDS_MODE_CREATE, 0, ROWS, 7);
    with_library(create_over, path);
}

static void drop_rows(void *path) {
    CHECK_NUMBER(recover(path, NULL, RDS_RECOVER_DROP | RDS_RECOVER_DRY_RUN, RDS_OK).dropped_rows, 0);
    rds_recover_info info = recover(path, NULL, RDS_RECOVER_DROP, RDS_OK);
    CHECK_NUMBER(info.dropped_runs, 1);
    CHECK_NUMBER(info.dropped_rows, ROWS);
    CHECK_NUMBER(info.recovered_rows + info.waiting_rows, 0);
    CHECK_NUMBER(files_named(path, "_rds", "", ""), 0);
    CHECK_NUMBER(table_rows(path), -1);
    rds_writer *writer = table_writer(path, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 0, 4));
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path, 4);
}

TEST(rows_that_are_dropped_are_gone_and_in_nobodys_way) {
    check_path_text path = check_path();
    leave_rows(path, RDS_MODE_CREATE, 0, ROWS, 7);
    with_library(drop_rows, path);
}

static struct two {
    check_path_text path, first, second;
} two;

static void recover_one(void *unused) {
    (void)unused;
    const char *path = two.path.text;
    recover(path, "0123456789abcdef0123456789abcdef", 0, RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS("0123456789abcdef");
    recover(path, "../data", 0, RDS_ERR_NOT_FOUND);
    rds_recover_info info = recover(path, two.second.text, 0, RDS_OK);
    CHECK_NUMBER(info.recovered_rows, 5);
    rds_reader *reader = table_reader(path);
    CHECK_NUMBER(table_info(reader).rows, 15);
    CHECK(table_row_is(reader, 10, 10 + ROWS));
    CHECK_OK(rds_reader_close(reader));
    info = recover(path, two.first.text, RDS_RECOVER_DROP, RDS_OK);
    CHECK_NUMBER(info.dropped_rows, ROWS);
    CHECK_NUMBER(recover(path, NULL, 0, RDS_OK).recovered_rows, 0);
    CHECK_NUMBER(table_rows(path), 15);
}

/* Both live when they begin: a writer that appends finishes those that died before it. */
TEST(one_run_is_recovered_or_dropped_by_its_name) {
    two.path = check_path();
    with_library(make_ten, two.path);
    check_path_text made = run_but(two.path.text, NULL, 0);
    const char *known[2] = {made.text, two.first.text};
    actor *first = actor_start(two.path), *second = actor_start(two.path);
    TELL(first, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    TELL(second, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    TELL(first, WRITE, 10, ROWS);
    two.first = run_but(two.path.text, known, 1);
    TELL(second, WRITE, 10 + ROWS, 5);
    two.second = run_but(two.path.text, known, 2);
    child_kill(first->process);
    child_kill(second->process);
    in_child(recover_one, NULL);
}

TEST(a_run_that_goes_on_is_left_alone) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 0, 5));
    for (uint32_t flags = 0; flags <= RDS_RECOVER_DROP; flags += RDS_RECOVER_DROP) {
        rds_recover_info info = recover(path.text, NULL, flags, RDS_OK);
        CHECK_NUMBER(info.live_runs, 1);
        CHECK_NUMBER(info.recovered_rows + info.dropped_rows + info.waiting_rows, 0);
    }
    CHECK_OK(table_write(writer, 5, 5));
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path.text, 10);
}

/* Where it stands: rows acknowledged, rows visible already, both. */
TEST(an_owner_that_was_taken_over_acknowledges_nothing_more_and_no_row_is_there_twice) {
    for (int flushes = 0; flushes < 3; flushes++) {
        check_path_text path = check_path();
        rds_write_stats stats = RDS_WRITE_STATS_INIT;
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
        CHECK_OK(table_write(writer, 0, 5));
        if (flushes) CHECK_OK(rds_flush(writer));
        if (flushes < 2) CHECK_OK(table_write(writer, 5, 5));
        rds_recover_info info = recover(path.text, NULL, RDS_RECOVER_TAKE_OVER, RDS_OK);
        CHECK_NUMBER(info.recovered_rows, flushes == 0 ? 10 : flushes == 1 ? 5 : 0);
        uint64_t rows = flushes < 2 ? 10 : 5;
        table_check_all(path.text, rows);
        CHECK_STATUS(table_write(writer, rows, 5), RDS_ERR_COMMIT_CONFLICT);
        CHECK_MESSAGE_HAS("taken over");
        CHECK_OK(rds_writer_stats(writer, &stats));
        CHECK_NUMBER(stats.durable_rows, rows);
        CHECK_STATUS(rds_commit(writer, NULL, NULL), RDS_ERR_COMMIT_CONFLICT);
        CHECK_STATUS(rds_writer_close(writer), RDS_ERR_COMMIT_CONFLICT);
        CHECK_NUMBER(recover(path.text, NULL, 0, RDS_OK).recovered_rows, 0);
        table_check_all(path.text, rows);
        table_append(path.text, rows, 5);
        table_check_all(path.text, rows + 5);
    }
}

TEST(an_owner_that_was_taken_over_publishes_nothing_more) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(table_write(writer, 0, 5));
    CHECK_OK(rds_flush(writer));
    CHECK_OK(table_write(writer, 5, 5));
    recover(path.text, NULL, RDS_RECOVER_TAKE_OVER, RDS_OK);
    uint64_t rows = (uint64_t)table_rows(path.text);
    CHECK(rows == 5 || rows == 10);
    CHECK_STATUS(rds_flush(writer), RDS_ERR_COMMIT_CONFLICT);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_COMMIT_CONFLICT);
    table_check_all(path.text, rows);
}

/* A writer whose table is replaced before its durable rows are visible. */
static void replace_before_flush(const char *path) {
    table_make(path, 10);
    rds_writer *writer = table_writer(path, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 3, 5));
    table_make(path, 3);
    CHECK_STATUS(rds_flush(writer), RDS_ERR_COMMIT_CONFLICT);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_COMMIT_CONFLICT);
    table_check_all(path, 3);
}

TEST(rows_of_a_table_that_was_replaced_wait_until_somebody_says_what_to_do) {
    for (int drops = 0; drops < 2; drops++) {
        check_path_text path = check_path();
        replace_before_flush(path.text);
        recover(path.text, NULL, 0, RDS_ERR_COMMIT_CONFLICT);
        table_append(path.text, 3, 0);
        CHECK_NUMBER(recover(path.text, NULL, RDS_RECOVER_DRY_RUN, RDS_OK).waiting_rows, 5);
        table_check_all(path.text, 3);
        uint32_t flags = drops ? RDS_RECOVER_DROP : RDS_RECOVER_ONTO_REPLACED;
        rds_recover_info info = recover(path.text, NULL, flags, RDS_OK);
        CHECK_NUMBER(info.dropped_rows, drops ? 5 : 0);
        CHECK_NUMBER(info.recovered_rows, drops ? 0 : 5);
        table_check_all(path.text, drops ? 3 : 8);
        CHECK_NUMBER(recover(path.text, NULL, 0, RDS_OK).waiting_runs, 0);
    }
}

TEST(tokens_are_counted_and_dropped_by_the_name_of_their_run_only) {
    check_path_text path = check_path();
    table_make(path.text, 3);
    check_path_text made = run_but(path.text, NULL, 0);
    const char *known[] = {made.text};
    rds_token token = stage_rows(path.text, 3, 7);
    check_path_text run = run_but(path.text, known, 1);
    CHECK_NUMBER(recover(path.text, NULL, 0, RDS_OK).staged_runs, 1);
    rds_recover_info info = recover(path.text, NULL, RDS_RECOVER_DROP, RDS_OK);
    CHECK_NUMBER(info.staged_runs, 1);
    CHECK_NUMBER(info.dropped_runs + info.dropped_rows, 0);
    info = recover(path.text, run.text, RDS_RECOVER_DROP, RDS_OK);
    CHECK_NUMBER(info.dropped_runs, 1);
    CHECK_NUMBER(info.dropped_rows, 7);
    CHECK_STATUS(publish(path.text, &token, 1, RDS_MODE_APPEND, NULL), RDS_ERR_NOT_FOUND);
    table_check_all(path.text, 3);
    token_free(token);
}

TEST(malformed_options_and_a_place_with_nothing_are_refused) {
    check_path_text path = check_path();
    rds_recover_info info = RDS_RECOVER_INFO_INIT;
    rds_recover_options options = RDS_RECOVER_OPTIONS_INIT;
    CHECK_STATUS(rds_recover(path.text, NULL, &info), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS("rds_recover: ");
    CHECK(access(path.text, F_OK) != 0);
    table_make(path.text, 3);
    options.flags = 16;
    CHECK_STATUS(rds_recover(path.text, &options, &info), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("options.flags is 0x10");
    options.flags = 0, options.reserved = 1;
    CHECK_STATUS(rds_recover(path.text, &options, &info), RDS_ERR_NOT_SUPPORTED);
    options.reserved = 0, options.run = "\xff";
    CHECK_STATUS(rds_recover(path.text, &options, &info), RDS_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(rds_recover("s3://bucket/table", NULL, &info), RDS_ERR_NOT_SUPPORTED);
    table_check_all(path.text, 3);
}

CHECK_MAIN(RUN(rows_that_wait_become_visible_once_and_are_counted),
           RUN(the_next_append_comes_behind_the_rows_of_dead_runs_in_their_order),
           RUN(a_create_is_refused_where_rows_wait_and_an_overwrite_drops_them),
           RUN(rows_that_are_dropped_are_gone_and_in_nobodys_way),
           RUN(one_run_is_recovered_or_dropped_by_its_name),
           RUN(a_run_that_goes_on_is_left_alone),
           RUN(an_owner_that_was_taken_over_acknowledges_nothing_more_and_no_row_is_there_twice),
           RUN(an_owner_that_was_taken_over_publishes_nothing_more),
           RUN(rows_of_a_table_that_was_replaced_wait_until_somebody_says_what_to_do),
           RUN(tokens_are_counted_and_dropped_by_the_name_of_their_run_only),
           RUN(malformed_options_and_a_place_with_nothing_are_refused))
