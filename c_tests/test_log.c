/* Log messages go to the callback, up to its level, while it is set. */

#include "arrow_batch.h"

struct seen {
    int messages;
    int most_detailed;
    int malformed;
};

static void count(void *user_data, uint32_t detail, const char *target, const char *message) {
    int level = (int)detail;
    struct seen *seen = (struct seen *)user_data;
    __atomic_add_fetch(&seen->messages, 1, __ATOMIC_SEQ_CST);
    int before = __atomic_load_n(&seen->most_detailed, __ATOMIC_SEQ_CST);
    while (level > before && !__atomic_compare_exchange_n(&seen->most_detailed, &before, level, 0,
                                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    if (level < RDS_LOG_ERROR || level > RDS_LOG_TRACE || !target || !message || !*target) {
        __atomic_add_fetch(&seen->malformed, 1, __ATOMIC_SEQ_CST);
    }
}

/* A message may still be delivered after the callback was removed, so what it counts in must stay
 * as long as the program. */
static struct seen all, none, errors, old, replaced;

static void use_the_library(void) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    rds_reader *reader = table_reader(path.text);
    CHECK(table_row_is(reader, 3, 3));
    CHECK_OK(rds_reader_close(reader));
}

TEST(messages_come_in_the_form_that_the_header_says) {
    CHECK_OK(rds_set_log_callback(RDS_LOG_TRACE, count, &all));
    use_the_library();
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, NULL, NULL));
    CHECK(all.messages > 0);
    CHECK_NUMBER(all.malformed, 0);
}

TEST(no_message_is_more_detailed_than_the_level) {
    CHECK_OK(rds_set_log_callback(RDS_LOG_ERROR, count, &errors));
    use_the_library();
    CHECK(errors.most_detailed <= RDS_LOG_ERROR);
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, count, &none));
    use_the_library();
    CHECK_NUMBER(none.messages, 0);
}

TEST(a_removed_callback_gets_nothing) {
    CHECK_OK(rds_set_log_callback(RDS_LOG_TRACE, count, &old));
    use_the_library();
    CHECK_OK(rds_set_log_callback(RDS_LOG_TRACE, NULL, NULL));
    /* Lets a message that is being delivered arrive. */
    sleep_ms(100);
    int before = old.messages;
    use_the_library();
    CHECK_NUMBER(old.messages, before);
}

TEST(a_new_callback_replaces_the_old_one) {
    CHECK_OK(rds_set_log_callback(RDS_LOG_TRACE, count, &old));
    CHECK_OK(rds_set_log_callback(RDS_LOG_TRACE, count, &replaced));
    int before = old.messages;
    use_the_library();
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, NULL, NULL));
    CHECK_NUMBER(old.messages, before);
    CHECK(replaced.messages > 0);
}

TEST(a_refused_level_leaves_the_callback_in_place) {
    static struct seen kept;
    CHECK_OK(rds_set_log_callback(RDS_LOG_TRACE, count, &kept));
    CHECK_STATUS(rds_set_log_callback(99, NULL, NULL), RDS_ERR_INVALID_ARGUMENT);
    use_the_library();
    CHECK(kept.messages > 0);
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, NULL, NULL));
}

/* Calls in, against the contract, from inside a callback. */
struct caller {
    const char *path;
    rds_reader *reader;
    rds_writer *writer;
    struct ArrowArrayStream stream;
    int calls, accepted;
};

static void call_in(void *user_data, uint32_t level, const char *target, const char *message) {
    struct caller *caller = (struct caller *)user_data;
    rds_reader *opened = caller->reader;
    struct ArrowArray array = {0}, taken;
    arrow_batch *batch = batch_new(0);
    const char *id = NULL;
    size_t length = 0;
    uint64_t row = 0;
    float values[TABLE_WIDTH];
    const rds_status got[] = {
        rds_reader_id(caller->reader, 1, &id, &length),
        rds_reader_read(caller->reader, 0, &row, 1, values, sizeof values),
        rds_reader_open(caller->path, NULL, &opened),
        rds_reader_close(caller->reader),
        rds_reader_get(caller->reader, 0, 1, &taken),
        batch_write(caller->writer, batch),
        rds_vacuum(caller->path, NULL, NULL),
        rds_set_log_callback(RDS_LOG_OFF, NULL, NULL),
    };
    (void)level, (void)target, (void)message;
    for (size_t i = 0; i < sizeof got / sizeof got[0]; i++) {
        caller->accepted += got[i] != RDS_ERR_INVALID_STATE;
    }
    /* What is handed over is taken, and outputs are empty, as after any failure. */
    CHECK(opened == NULL && taken.release == NULL);
    batch_check_released(batch);
    batch_free(batch);
    caller->accepted += caller->stream.get_next(&caller->stream, &array) == 0;
    __atomic_add_fetch(&caller->calls, 1, __ATOMIC_SEQ_CST);
}

static struct caller caller;

TEST(calls_from_inside_the_callback_are_refused_and_those_outside_go_on) {
    check_path_text path = check_path();
    table_make(path.text, 100);
    caller.path = path.text;
    caller.reader = table_reader(path.text);
    caller.writer = table_writer(check_path().text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    struct ArrowArray array = {0};
    CHECK_OK(rds_reader_stream(caller.reader, NULL, &caller.stream));
    CHECK_OK(rds_set_log_callback(RDS_LOG_TRACE, call_in, &caller));
    /* Loads the ids, which logs. */
    CHECK(table_row_is(caller.reader, 1, 1));
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, NULL, NULL));
    /* Lets a message that is being delivered arrive. */
    sleep_ms(100);
    CHECK(caller.calls > 0);
    CHECK_NUMBER(caller.accepted, 0);
    /* The stream has not failed for that. */
    CHECK_NUMBER(caller.stream.get_next(&caller.stream, &array), 0);
    CHECK_NUMBER(array.length, 100);
    if (array.release) array.release(&array);
    caller.stream.release(&caller.stream);
    CHECK_OK(rds_writer_close(caller.writer));
    CHECK_OK(rds_reader_close(caller.reader));
}

CHECK_MAIN(RUN(messages_come_in_the_form_that_the_header_says),
           RUN(no_message_is_more_detailed_than_the_level), RUN(a_removed_callback_gets_nothing),
           RUN(a_new_callback_replaces_the_old_one),
           RUN(a_refused_level_leaves_the_callback_in_place),
           RUN(calls_from_inside_the_callback_are_refused_and_those_outside_go_on))
