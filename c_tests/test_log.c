/* Log messages go to the callback, up to its level, while it is set. */

#include "table.h"

struct seen {
    int messages;
    int most_detailed;
    int malformed;
};

static void count(int level, const char *target, const char *message, void *user_data) {
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

CHECK_MAIN(RUN(messages_come_in_the_form_that_the_header_says),
           RUN(no_message_is_more_detailed_than_the_level), RUN(a_removed_callback_gets_nothing),
           RUN(a_new_callback_replaces_the_old_one),
           RUN(a_refused_level_leaves_the_callback_in_place))
