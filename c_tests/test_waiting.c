/* A caller who waits may stop waiting: on a disk that is full every call ends when its callback says so, and
 * leaves the state that the header tells. */
#include "full_queue.h"

/* Writes until a call stops waiting, whatever it waits for. */
static void write_until_stopped(struct full *full, rds_status expected) {
    full->asked.stops_at = full->asked.calls + 3;
    rds_status status = RDS_OK;
    double since = seconds();
    while (status == RDS_OK && full->written < MOST_ROWS) {
        since = seconds();
        status = write_wide(full->writer, full->written, STEP);
        full->written += status == RDS_OK ? STEP : 0;
    }
    CHECK_STATUS(status, expected);
    CHECK_MESSAGE_HAS("rds_write_tensors: ");
    CHECK(seconds() - since < 1);
    CHECK_NUMBER(full->asked.of_others, 0);
}

/* Everything accepted comes out, and nothing else. */
static void check_goes_on(struct full *full) {
    give_room(full);
    uint64_t accepted = stats_of(full->writer).accepted_rows;
    CHECK_OK(write_wide(full->writer, accepted, STEP));
    CHECK_OK(rds_commit(full->writer, NULL, NULL));
    CHECK_OK(rds_writer_close(full->writer));
    check_wide(full->results.text, accepted + STEP);
}

static void batch_for_room(void *path) {
    struct full full;
    REQUIRE(open_full(&full, (char *)path, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT, 0));
    write_until_stopped(&full, RDS_ERR_NO_ROOM);
    CHECK_NUMBER(stats_of(full.writer).accepted_rows, full.written);
    check_goes_on(&full);
}

TEST(a_batch_that_waits_for_room_is_not_accepted) {
    check_path_text path = check_path();
    in_child(batch_for_room, path.text);
}

static void batch_to_be_durable(void *path) {
    struct full full;
    REQUIRE(open_full(&full, (char *)path, RDS_MODE_CREATE, RDS_DURABILITY_BATCH, 0));
    write_until_stopped(&full, RDS_ERR_CANCELLED);
    rds_write_stats stats = stats_of(full.writer);
    CHECK_NUMBER(stats.accepted_rows, full.written + STEP);
    CHECK(stats.durable_rows < stats.accepted_rows);
    check_goes_on(&full);
}

TEST(a_batch_that_waits_to_be_durable_stays_accepted) {
    check_path_text path = check_path();
    in_child(batch_to_be_durable, path.text);
}

static void flush_and_commit(void *path) {
    struct full full;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    REQUIRE(open_full(&full, (char *)path, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL, 0));
    write_until_stopped(&full, RDS_ERR_NO_ROOM);
    full.asked.stops_at = 1;
    double since = seconds();
    CHECK_STATUS(rds_flush(full.writer), RDS_ERR_CANCELLED);
    CHECK_MESSAGE_HAS("rds_flush: ");
    CHECK_STATUS(rds_commit(full.writer, NULL, &info), RDS_ERR_CANCELLED);
    CHECK_MESSAGE_HAS("rds_commit: ");
    CHECK_NUMBER(info.rows, 0);
    CHECK(seconds() - since < 2);
    /* Both go on in the background. */
    uint64_t accepted = stats_of(full.writer).accepted_rows;
    give_room(&full);
    for (int i = 0; i < 300 && stats_of(full.writer).visible_rows < accepted; i++) sleep_ms(100);
    CHECK_NUMBER(stats_of(full.writer).visible_rows, accepted);
    check_wide(full.results.text, accepted);
    CHECK_OK(rds_writer_close(full.writer));
}

TEST(a_flush_and_a_commit_that_are_not_waited_for_go_on) {
    check_path_text path = check_path();
    in_child(flush_and_commit, path.text);
}

static void check_closed(const char *path, int aborts, int gets_room) {
    struct full full;
    REQUIRE(open_full(&full, path, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL, 0));
    write_until_stopped(&full, RDS_ERR_NO_ROOM);
    rds_write_stats stats = stats_of(full.writer);
    full.asked.stops_at = 1;
    double since = seconds();
    rds_status status = aborts ? rds_writer_abort(full.writer) : rds_writer_close(full.writer);
    CHECK(seconds() - since < 1);
    CHECK(status == RDS_ERR_CANCELLED || (aborts && (status == RDS_OK || status == RDS_ERR_IO)));
    CHECK_STATUS(rds_writer_close(full.writer), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_flush(full.writer), RDS_ERR_INVALID_HANDLE);
    if (!gets_room) sleep_ms(8000);
    give_room(&full);
    if (gets_room && !aborts) {
        for (int i = 0; i < 300 && table_rows(full.results.text) < (long long)stats.accepted_rows; i++) sleep_ms(100);
        check_wide(full.results.text, stats.accepted_rows);
        return;
    }
    /* What was durable waits. */
    sleep_ms(500);
    rds_writer *writer = table_writer(full.results.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(rds_writer_close(writer));
    uint64_t rows = check_wide_rows(full.results.text);
    CHECK(rows >= stats.durable_rows);
    CHECK(rows <= stats.accepted_rows);
}

static void close_and_give_room(void *path) { check_closed((char *)path, 0, 1); }
static void close_on_full(void *path) { check_closed((char *)path, 0, 0); }
static void abort_on_full(void *path) { check_closed((char *)path, 1, 0); }

TEST(a_close_that_is_not_waited_for_ends_the_writer_in_the_background) {
    child_body *const bodies[] = {close_and_give_room, close_on_full, abort_on_full};
    for (int i = 0; i < 3; i++) {
        check_path_text path = check_path();
        in_child(bodies[i], path.text);
    }
}

static void stage_twice(void *path) {
    struct full full;
    rds_token token = {NULL, 0};
    REQUIRE(open_full(&full, (char *)path, RDS_MODE_STAGED, RDS_DURABILITY_COMMIT, 0));
    write_until_stopped(&full, RDS_ERR_NO_ROOM);
    full.asked.stops_at = 1;
    CHECK_STATUS(rds_writer_stage(full.writer, &token), RDS_ERR_CANCELLED);
    CHECK(token.data == NULL && token.length == 0);
    give_room(&full);
    /* In between, so in the token after. */
    CHECK_OK(write_wide(full.writer, full.written, STEP));
    rds_token tokens[2];
    tokens[0] = stage(full.writer);
    tokens[1] = stage(full.writer);
    CHECK_OK(rds_commit_staged(full.results.text, tokens, 1, NULL, NULL));
    check_wide(full.results.text, full.written);
    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    options.mode = RDS_MODE_APPEND;
    CHECK_OK(rds_commit_staged(full.results.text, tokens + 1, 1, &options, NULL));
    check_wide(full.results.text, full.written + STEP);
    CHECK_OK(rds_writer_close(full.writer));
    token_free(tokens[0]);
    token_free(tokens[1]);
}

TEST(a_token_that_is_not_waited_for_comes_with_the_next_call) {
    check_path_text path = check_path();
    in_child(stage_twice, path.text);
}

static void *write_on(void *data) {
    struct full *full = (struct full *)data;
    full->asked.caller = pthread_self();
    rds_status status = RDS_OK;
    while (status == RDS_OK && full->written < MOST_ROWS) {
        status = write_wide(full->writer, full->written, STEP);
        full->written += status == RDS_OK ? STEP : 0;
    }
    return NULL;
}

/* The calls of another thread wait, asking or not. */
static void check_another_thread(const char *path, uint32_t flags) {
    struct full full;
    pthread_t thread;
    REQUIRE(open_full(&full, path, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT, flags));
    full.asked.calls_back = 1;
    pthread_create(&thread, NULL, write_on, &full);
    REQUIRE(await_retrying(full.writer));
    sleep_ms(500);
    uint64_t calls = __atomic_load_n(&full.asked.calls, __ATOMIC_SEQ_CST);
    CHECK((calls > 0) == (flags == 0));
    /* About twenty a second, not one for each time that it looks. */
    CHECK(calls < 1000);
    CHECK_NUMBER(__atomic_load_n(&full.asked.of_others, __ATOMIC_SEQ_CST), 0);
    CHECK(flags || __atomic_load_n(&full.asked.nested, __ATOMIC_SEQ_CST) > 0);
    __atomic_store_n(&full.asked.stops_at, 1, __ATOMIC_SEQ_CST);
    rds_status status = rds_writer_abort(full.writer);
    CHECK(status == RDS_OK || status == RDS_ERR_CANCELLED || status == RDS_ERR_IO);
    pthread_join(thread, NULL);
}

static void any_thread(void *path) { check_another_thread((char *)path, 0); }
static void main_thread(void *path) { check_another_thread((char *)path, RDS_WRITER_WAITING_MAIN_THREAD); }

TEST(the_thread_that_waits_is_asked_or_the_main_thread_alone) {
    child_body *const bodies[] = {any_thread, main_thread};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        in_child(bodies[i], path.text);
    }
}

TEST(a_call_that_does_not_wait_asks_nothing) {
    check_path_text path = check_path();
    struct asked asked = {.stops_at = 1};
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_writer *writer = NULL;
    options.waiting = ask, options.user_data = &asked;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    for (uint64_t row = 0; row < 100; row++) CHECK_OK(write_wide(writer, row, 1));
    CHECK_NUMBER(asked.calls, 0);
    /* Whatever these wait for, it is asked only when it takes long. */
    asked.stops_at = 0;
    CHECK_OK(rds_flush(writer));
    CHECK_OK(rds_writer_close(writer));
    check_wide(path.text, 100);
}

CHECK_MAIN(RUN(a_batch_that_waits_for_room_is_not_accepted),
           RUN(a_batch_that_waits_to_be_durable_stays_accepted),
           RUN(a_flush_and_a_commit_that_are_not_waited_for_go_on),
           RUN(a_close_that_is_not_waited_for_ends_the_writer_in_the_background),
           RUN(a_token_that_is_not_waited_for_comes_with_the_next_call),
           RUN(the_thread_that_waits_is_asked_or_the_main_thread_alone),
           RUN(a_call_that_does_not_wait_asks_nothing))
