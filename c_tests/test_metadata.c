/* What a run says of itself: it is read back as it was given, belongs to the version that shows the rows, and goes the
 * way that these go. */
#include "metadata.h"

#include "dead_runs.h"

enum { LONG_BYTES = 1 << 20 };

static char long_text[LONG_BYTES + 1], long_key[4097];

static const rds_metadata model[] = {{"config", "{\"lr\": 0.1, \"text\": \"a\\\"b\\nc\"}"},
                                     {"model", "cnn-7"},
                                     {"notes", ""}};
enum { MODEL = sizeof model / sizeof model[0] };

TEST(metadata_is_read_back_by_key_and_by_number_in_the_order_of_the_keys) {
    check_path_text path = check_path();
    const rds_metadata given[] = {{"z", "1"}, {"a", "2"}, {"B", "3"}, {"aa", "4"},
                                  {"星", "5"}, {"Ö", "6"}, {" ", "7"}};
    const rds_metadata sorted[] = {{" ", "7"}, {"B", "3"}, {"a", "2"}, {"aa", "4"},
                                   {"z", "1"}, {"Ö", "6"}, {"星", "5"}};
    metadata_run(path.text, RDS_MODE_CREATE, 0, 3, given, 7);
    metadata_check_at(path.text, sorted, 7);
    table_check_all(path.text, 3);
}

TEST(metadata_may_be_empty_long_and_of_any_letters) {
    check_path_text path = check_path();
    memset(long_text, 'x', LONG_BYTES);
    memset(long_key, 'k', sizeof long_key - 1);
    const rds_metadata given[] = {{"a", ""},
                                  {"b", "\xf0\x9f\x94\xad Öl 星雲"},
                                  {"c", "\n\t\r\x01\x7f\"\\'{}[]:,=;"},
                                  {"d.e/f:g\n\"h\"", " spaces "},
                                  {"data", "not a column"},
                                  {long_key, long_text},
                                  {"lance.auto_cleanup.interval", "not a setting"},
                                  {"object_id", "x"},
                                  {"tensor_shape", "[9]"}};
    metadata_run(path.text, RDS_MODE_CREATE, 0, 2, given, 9);
    rds_reader *reader = table_reader(path.text);
    metadata_check(reader, given, 9);
    /* None of it is taken for what the table says of its columns. */
    CHECK_NUMBER(column_info(reader, 0).shape[0], TABLE_WIDTH);
    CHECK_NUMBER(table_info(reader).form, RDS_FORM_DATA);
    CHECK_OK(rds_reader_close(reader));
    table_append(path.text, 2, 1);
    table_check_all(path.text, 3);
}

TEST(many_keys_are_kept) {
    enum { MANY = 1000 };
    check_path_text path = check_path();
    char(*keys)[16] = (char(*)[16])calloc(MANY, sizeof *keys);
    rds_metadata *given = (rds_metadata *)calloc(MANY, sizeof *given);
    for (int i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%04d", i);
        given[i].key = given[i].value = keys[i];
    }
    metadata_run(path.text, RDS_MODE_CREATE, 0, 1, given, MANY);
    metadata_check_at(path.text, given, MANY);
    free(given);
    free(keys);
}

/* What a program has said is borrowed during the call only. */
TEST(metadata_is_copied_when_the_writer_is_opened) {
    check_path_text path = check_path();
    char key[8] = "model", value[8] = "cnn-7";
    rds_metadata given = {key, value};
    rds_writer *writer = NULL;
    REQUIRE(CHECK_OK(metadata_open(path.text, RDS_MODE_CREATE, &given, 1, &writer)));
    memset(key, 'x', sizeof key - 1), memset(value, 'y', sizeof value - 1);
    given.key = given.value = NULL;
    CHECK_OK(table_write(writer, 0, 1));
    CHECK_OK(rds_writer_close(writer));
    metadata_check_at(path.text, model + 1, 1);
}

static void check_refused(const rds_metadata *given, size_t count, uint32_t mode, const char *part) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    CHECK_STATUS(metadata_open(path.text, mode, given, count, &writer), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_writer_open: options.metadata");
    CHECK_MESSAGE_HAS(part);
    CHECK(access(path.text, F_OK) != 0);
}

TEST(malformed_metadata_is_refused_by_number) {
    const rds_metadata doubled[] = {{"a", "1"}, {"b", "2"}, {"a", "1"}}, empty[] = {{"a", "1"}, {"", "2"}};
    const rds_metadata no_key[] = {{"a", "1"}, {NULL, "2"}}, no_value[] = {{"a", "1"}, {"b", NULL}};
    const rds_metadata bad_key[] = {{"\xc3(", "1"}}, bad_value[] = {{"a", "\xff"}};
    check_refused(doubled, 3, RDS_MODE_CREATE, "[2].key");
    check_refused(empty, 2, RDS_MODE_CREATE, "[1].key is empty");
    check_refused(no_key, 2, RDS_MODE_CREATE, "[1].key is NULL");
    check_refused(no_value, 2, RDS_MODE_OVERWRITE, "[1].value is NULL");
    check_refused(bad_key, 1, RDS_MODE_CREATE, "[0].key");
    check_refused(bad_value, 1, RDS_MODE_CREATE, "[0].value");
    check_refused(NULL, 1, RDS_MODE_CREATE, "NULL");
    check_refused(NULL, SIZE_MAX, RDS_MODE_CREATE, "");
    check_refused(doubled, SIZE_MAX, RDS_MODE_CREATE, "");
    check_refused(doubled, SIZE_MAX / sizeof doubled[0] + 1, RDS_MODE_CREATE, "");
    check_refused((const rds_metadata *)((const char *)doubled + 1), 1, RDS_MODE_CREATE, "");
    /* A part of a job speaks for no run. */
    check_refused(model, MODEL, RDS_MODE_STAGED, "STAGED");
}

TEST(no_metadata_is_none) {
    check_path_text path = check_path();
    metadata_run(path.text, RDS_MODE_CREATE, 0, 2, NULL, 0);
    metadata_check_at(path.text, NULL, 0);
    /* Nor is a place without any. */
    check_path_text other = check_path();
    metadata_run(other.text, RDS_MODE_CREATE, 0, 2, model, 0);
    metadata_check_at(other.text, NULL, 0);
}

TEST(metadata_is_visible_with_the_first_version_of_its_run_and_stays) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    REQUIRE(CHECK_OK(metadata_open(path.text, RDS_MODE_CREATE, model, MODEL, &writer)));
    CHECK_OK(table_write(writer, 0, 2));
    CHECK_OK(rds_flush(writer));
    metadata_check_at(path.text, model, MODEL);
    for (uint64_t i = 1; i < 4; i++) {
        CHECK_OK(table_write(writer, 2 * i, 2));
        CHECK_OK(i % 2 ? rds_flush(writer) : rds_commit(writer, NULL, NULL));
        metadata_check_at(path.text, model, MODEL);
    }
    CHECK_OK(rds_writer_close(writer));
    metadata_check_at(path.text, model, MODEL);
    CHECK_OK(rds_vacuum(path.text, NULL, NULL));
    metadata_check_at(path.text, model, MODEL);
    table_check_all(path.text, 8);
}

TEST(a_table_without_rows_says_it_too) {
    check_path_text path = check_path();
    const int64_t shape[1] = {TABLE_WIDTH};
    rds_column_spec column = RDS_COLUMN_SPEC_INIT;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_writer *writer = NULL;
    column.dtype = RDS_DTYPE_FLOAT32, column.ndim = 1, column.shape = shape;
    options.columns = &column, options.column_count = 1, options.metadata = model, options.metadata_count = MODEL;
    REQUIRE(CHECK_OK(rds_writer_open(path.text, &options, &writer)));
    CHECK_OK(rds_writer_close(writer));
    metadata_check_at(path.text, model, MODEL);
    CHECK_NUMBER(table_rows(path.text), 0);
}

/* Without a version of its own there is nothing that could say it. */
TEST(a_run_that_writes_nothing_says_nothing) {
    check_path_text path = check_path();
    metadata_run(path.text, RDS_MODE_CREATE, 0, 0, model, MODEL);
    CHECK_NUMBER(table_rows(path.text), -1);
    table_make(path.text, 3);
    metadata_run(path.text, RDS_MODE_APPEND, 0, 0, model, MODEL);
    metadata_run(path.text, RDS_MODE_OVERWRITE, 0, 0, model, MODEL);
    metadata_check_at(path.text, NULL, 0);
    CHECK_NUMBER(versions(path.text), 1);
    table_check_all(path.text, 3);
}

TEST(a_run_that_appends_overrides_what_it_says_and_keeps_the_rest) {
    check_path_text path = check_path();
    const rds_metadata second[] = {{"model", "cnn-8"}, {"epoch", "12"}};
    const rds_metadata both[] = {model[0], {"epoch", "12"}, {"model", "cnn-8"}, model[2]};
    rds_string lent;
    uint32_t changed = 0;
    metadata_run(path.text, RDS_MODE_CREATE, 0, 2, model, MODEL);
    rds_reader *reader = table_reader(path.text);
    CHECK_OK(rds_reader_metadata(reader, "model", &lent));
    metadata_run(path.text, RDS_MODE_APPEND, 2, 2, second, 2);
    metadata_check_at(path.text, both, 4);
    /* A snapshot has what its version says, and what it lent stays until it is refreshed. */
    metadata_check(reader, model, MODEL);
    CHECK(string_is(lent, "cnn-7"));
    rds_reader *other = NULL;
    CHECK_OK(rds_reader_clone(reader, &other));
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 1);
    metadata_check(reader, both, 4);
    metadata_check(other, model, MODEL);
    CHECK_OK(rds_reader_close(other));
    CHECK_OK(rds_reader_close(reader));
    /* A run that says nothing leaves it. */
    table_append(path.text, 4, 1);
    metadata_check_at(path.text, both, 4);
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = 1;
    REQUIRE(CHECK_OK(rds_reader_open(path.text, &options, &reader)));
    metadata_check(reader, model, MODEL);
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_overwrite_drops_what_was_said_before) {
    const rds_metadata second[] = {{"model", "cnn-8"}};
    for (size_t count = 0; count < 2; count++) {
        check_path_text path = check_path();
        metadata_run(path.text, RDS_MODE_CREATE, 0, 2, model, MODEL);
        metadata_run(path.text, RDS_MODE_OVERWRITE, 0, 3, second, count);
        metadata_check_at(path.text, second, count);
        table_check_all(path.text, 3);
    }
}

/* Where tokens are published nobody says anything, and what was said stays but for an overwrite. */
TEST(tokens_leave_metadata_as_it_is) {
    check_path_text path = check_path();
    metadata_run(path.text, RDS_MODE_CREATE, 0, 2, model, MODEL);
    rds_token token = stage_rows(path.text, 2, 3);
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_APPEND, NULL));
    token_free(token);
    metadata_check_at(path.text, model, MODEL);
    table_check_all(path.text, 5);
    token = stage_rows(path.text, 0, 4);
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_OVERWRITE, NULL));
    token_free(token);
    metadata_check_at(path.text, NULL, 0);
    table_check_all(path.text, 4);
}

/* Writes rows that are durable and not visible, says this of them, and dies. */
static const rds_metadata *last_words;
static uint64_t last_mode, last_first;

static void say_and_die(void *path) {
    rds_writer *writer = NULL;
    REQUIRE(CHECK_OK(metadata_open((char *)path, (uint32_t)last_mode, last_words, 2, &writer)));
    CHECK_OK(table_write(writer, last_first, 3));
    if (!check_failures) kill(getpid(), SIGKILL);
}

static void leave_words(const char *path, uint32_t mode, uint64_t first, const rds_metadata *given) {
    int status = 0;
    last_words = given, last_mode = mode, last_first = first;
    pid_t child = child_start(say_and_die, (void *)(uintptr_t)path);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* What one process does, and what the table says then; 0 rows are not looked at. */
typedef struct {
    const char *path;
    enum { LOOK, RECOVER, DROP, CREATE, APPEND } does;
    const rds_metadata *given, *expected;
    uint64_t given_count, expected_count, first, count, rows;
} step;

static void do_step(void *data) {
    const step *s = (const step *)data;
    if (s->does == RECOVER) CHECK_NUMBER(recover(s->path, NULL, 0, RDS_OK).recovered_rows, 3);
    if (s->does == DROP) CHECK_NUMBER(recover(s->path, NULL, RDS_RECOVER_DROP, RDS_OK).dropped_rows, 3);
    if (s->does == CREATE || s->does == APPEND)
        metadata_run(s->path, s->does == CREATE ? RDS_MODE_CREATE : RDS_MODE_APPEND, s->first, s->count,
                     s->given, s->given_count);
    metadata_check_at(s->path, s->expected, s->expected_count);
    if (s->rows) table_check_all(s->path, s->rows);
}

/* Each in a process of its own: one whose threads are at work is not forked, which sanitizers do not stand. */
static void in_step(step s) { in_child(do_step, &s); }

TEST(what_a_run_that_died_said_comes_with_its_rows) {
    check_path_text place = check_path();
    const char *path = place.text;
    const rds_metadata first[] = {{"model", "cnn-1"}, {"run", "1"}}, second[] = {{"model", "cnn-2"}, {"seed", "7"}};
    const rds_metadata both[] = {{"model", "cnn-2"}, {"run", "1"}, {"seed", "7"}};
    leave_words(path, RDS_MODE_CREATE, 0, first);
    in_step((step){path, RECOVER, NULL, first, 0, 2, 0, 0, 3});
    leave_words(path, RDS_MODE_APPEND, 3, second);
    /* Not before its rows. */
    in_step((step){path, LOOK, NULL, first, 0, 2, 0, 0, 0});
    in_step((step){path, RECOVER, NULL, both, 0, 3, 0, 0, 6});
}

TEST(a_run_that_is_finished_speaks_before_the_one_that_finishes_it) {
    check_path_text place = check_path();
    const char *path = place.text;
    const rds_metadata first[] = {{"model", "cnn-1"}, {"run", "1"}}, second[] = {{"model", "cnn-2"}, {"seed", "7"}};
    const rds_metadata third = {"seed", "8"}, all[] = {{"model", "cnn-2"}, {"run", "1"}, {"seed", "8"}};
    in_step((step){path, CREATE, first, first, 2, 2, 0, 3, 3});
    leave_words(path, RDS_MODE_APPEND, 3, second);
    in_step((step){path, APPEND, &third, all, 1, 3, 6, 1, 7});
    leave_words(path, RDS_MODE_OVERWRITE, 0, second);
    in_step((step){path, RECOVER, NULL, second, 0, 2, 0, 0, 3});
    /* Who is given up has said nothing. */
    leave_words(path, RDS_MODE_APPEND, 3, first);
    in_step((step){path, DROP, NULL, second, 0, 2, 0, 0, 3});
}

/* Other programs find it among the settings of the table, not in its schema. */
TEST(the_schema_of_a_table_has_none_of_it) {
    check_path_text path = check_path(), copy = check_path();
    const rds_metadata given[] = {{"a-key-that-is-long-enough", "a-value-that-is-long-enough"}};
    struct ArrowSchema schema;
    struct ArrowArrayStream stream;
    metadata_run(path.text, RDS_MODE_CREATE, 0, 2, given, 1);
    rds_reader *reader = table_reader(path.text);
    REQUIRE(CHECK_OK(rds_reader_schema(reader, NULL, &schema)));
    int32_t pairs = 0, length = 0;
    memcpy(&pairs, schema.metadata, sizeof pairs);
    const char *at = schema.metadata + sizeof pairs;
    for (int32_t i = 0; i < 2 * pairs; i++) {
        memcpy(&length, at, sizeof length);
        at += sizeof length;
        CHECK(length < 6 || memcmp(at, "a-", 2) != 0);
        at += length;
    }
    schema.release(&schema);
    /* So a copy of the rows does not carry it on. */
    rds_writer *writer = table_writer(copy.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_reader_stream(reader, NULL, &stream));
    CHECK_OK(rds_write_stream(writer, &stream, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
    metadata_check_at(copy.text, NULL, 0);
}

CHECK_MAIN(RUN(what_a_run_that_died_said_comes_with_its_rows),
           RUN(a_run_that_is_finished_speaks_before_the_one_that_finishes_it),
           RUN(metadata_is_read_back_by_key_and_by_number_in_the_order_of_the_keys),
           RUN(metadata_may_be_empty_long_and_of_any_letters), RUN(many_keys_are_kept),
           RUN(metadata_is_copied_when_the_writer_is_opened), RUN(malformed_metadata_is_refused_by_number),
           RUN(no_metadata_is_none), RUN(metadata_is_visible_with_the_first_version_of_its_run_and_stays),
           RUN(a_table_without_rows_says_it_too), RUN(a_run_that_writes_nothing_says_nothing),
           RUN(a_run_that_appends_overrides_what_it_says_and_keeps_the_rest),
           RUN(an_overwrite_drops_what_was_said_before), RUN(tokens_leave_metadata_as_it_is),
           RUN(the_schema_of_a_table_has_none_of_it))
