/* Arrow batches of the caller: accepted in every form the header names, and released exactly once
 * whatever happens. */
#include "arrow_batch.h"

/* What a test breaks in a batch before it writes it. */
typedef void batch_change(arrow_batch *);

static void check_refused(batch_change *change, rds_status status, const char *part) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_batch *good = batch_new(0), *bad = batch_new(3);
    CHECK_OK(batch_write(writer, good));
    change(bad);
    CHECK_STATUS(batch_write(writer, bad), status);
    CHECK_MESSAGE_HAS("rds_write_batch: ");
    CHECK_MESSAGE_HAS(part);
    CHECK(bad->array[NODE_ROOT].release == NULL);
    CHECK_NUMBER(bad->array_released[NODE_ROOT], 1);
    for (int node = 1; node < NODES; node++) {
        CHECK(bad->array_released[node] <= 1);
        CHECK_NUMBER(bad->schema_released[node], 0);
    }
    /* The writer is as it was. */
    CHECK_OK(table_write(writer, 3, 2));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 5);
    batch_check_released(good);
    batch_free(good);
    batch_free(bad);
}

TEST(an_accepted_batch_is_read_back_and_released_once) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    arrow_batch *batches[4];
    for (uint64_t i = 0; i < 4; i++) {
        batches[i] = batch_new(i * BATCH_ROWS);
        CHECK_OK(batch_write(writer, batches[i]));
        CHECK(batches[i]->array[NODE_ROOT].release == NULL);
    }
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    for (uint64_t row = 0; row < 4 * BATCH_ROWS; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
    for (int i = 0; i < 4; i++) {
        batch_check_released(batches[i]);
        batch_free(batches[i]);
    }
}

TEST(a_batch_for_no_open_writer_is_released) {
    rds_writer *writers[3] = {NULL, (rds_writer *)(uintptr_t)0xabc, NULL};
    check_path_text path = check_path();
    writers[2] = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    CHECK_OK(rds_writer_close(writers[2]));
    for (int i = 0; i < 3; i++) {
        arrow_batch *batch = batch_new(0);
        CHECK_STATUS(batch_write(writers[i], batch), RDS_ERR_INVALID_HANDLE);
        batch_check_released(batch);
        batch_free(batch);
    }
}

TEST(a_batch_without_a_schema_is_released) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_batch *batch = batch_new(0);
    CHECK_STATUS(rds_write_batch(writer, NULL, &batch->array[NODE_ROOT]),
                 RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_write_batch: schema is NULL");
    batch_check_released(batch);
    batch_free(batch);
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_released_array_or_schema_is_refused) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_batch *batch = batch_new(0);
    CHECK_OK(batch_write(writer, batch));
    CHECK_STATUS(batch_write(writer, batch), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("released");
    arrow_batch *other = batch_new(3);
    other->schema[NODE_ROOT].release(&other->schema[NODE_ROOT]);
    CHECK_STATUS(batch_write(writer, other), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("schema");
    CHECK_NUMBER(other->array_released[NODE_ROOT], 1);
    CHECK_OK(rds_writer_close(writer));
    batch_check_released(batch);
    batch_free(batch);
    batch_free(other);
}

static char other_table[1200];

static void release_and_read(struct ArrowArray *array) {
    CHECK_NUMBER(table_rows(other_table), 2);
    batch_release_array(array);
}

/* The background task releases batches on a thread of the runtime, which must not block. */
TEST(a_release_callback_may_call_the_library) {
    check_path_text path = check_path(), other = check_path();
    strcpy(other_table, other.text);
    table_make(other_table, 2);
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    arrow_batch *batches[3];
    for (uint64_t i = 0; i < 3; i++) {
        batches[i] = batch_new(i * BATCH_ROWS);
        batches[i]->array[NODE_ROOT].release = release_and_read;
        CHECK_OK(batch_write(writer, batches[i]));
    }
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 3 * BATCH_ROWS);
    for (int i = 0; i < 3; i++) {
        batch_check_released(batches[i]);
        batch_free(batches[i]);
    }
}

static rds_writer *written;
static rds_status (*called)(rds_writer *);
static rds_status answered;

static rds_status commit_it(rds_writer *writer) { return rds_commit(writer, NULL, NULL); }

static void release_and_call(struct ArrowArray *array) {
    batch_release_array(array);
    /* Not through answered: another thread reads it. */
    __atomic_store_n(&answered, called(written), __ATOMIC_SEQ_CST);
}

/* Arrays that are kept are released as they are written, where a call that waits for that would wait for ever. */
TEST(a_release_callback_does_not_wait_for_its_own_rows) {
    const struct {
        rds_status (*call)(rds_writer *);
        rds_status status;
    } calls[] = {
        {rds_flush, RDS_ERR_INVALID_STATE},
        {commit_it, RDS_ERR_INVALID_STATE},
        {rds_writer_close, RDS_ERR_CANCELLED},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        check_path_text path = check_path();
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        options.mode = RDS_MODE_CREATE, options.flags = RDS_WRITER_ALIAS_ARROW;
        CHECK_OK(rds_writer_open(path.text, &options, &written));
        called = calls[i].call, answered = RDS_ERR_INTERNAL;
        arrow_batch *batch = batch_new(0);
        batch->array[NODE_ROOT].release = release_and_call;
        CHECK_OK(batch_write(written, batch));
        while (__atomic_load_n(&answered, __ATOMIC_SEQ_CST) == RDS_ERR_INTERNAL) sleep_ms(1);
        CHECK_NUMBER(answered, calls[i].status);
        if (called == rds_writer_close) {
            /* In the background. */
            rds_reader *reader = NULL;
            for (int tries = 0; tries < 2000 && rds_reader_open(path.text, NULL, &reader) != RDS_OK; tries++) sleep_ms(5);
            CHECK_OK(rds_reader_close(reader));
        } else {
            CHECK_OK(rds_writer_close(written));
        }
        CHECK_NUMBER(table_rows(path.text), BATCH_ROWS);
        batch_check_released(batch);
        batch_free(batch);
    }
}

static void items_double(arrow_batch *b) { b->schema[NODE_ITEMS].format = "g"; }
static void other_width(arrow_batch *b) {
    b->schema[NODE_DATA].format = "+w:2";
    b->array[NODE_ITEMS].length = BATCH_ROWS * 2;
}
static void data_not_a_list(arrow_batch *b) {
    b->schema[NODE_DATA] = b->schema[NODE_ITEMS];
    b->schema[NODE_DATA].name = "data";
    b->array[NODE_DATA] = b->array[NODE_ITEMS];
    b->array[NODE_DATA].length = BATCH_ROWS;
}
static void data_renamed(arrow_batch *b) { b->schema[NODE_DATA].name = "vector"; }
static void ids_renamed(arrow_batch *b) { b->schema[NODE_IDS].name = "id"; }
static void ids_are_floats(arrow_batch *b) {
    b->schema[NODE_IDS].format = "f";
    b->array[NODE_IDS].n_buffers = 2;
    b->buffers[NODE_IDS][1] = b->values;
}
static void both_are_ids(arrow_batch *b) {
    b->schema_children[1] = b->schema_children[0];
    b->array_children[1] = b->array_children[0];
}

TEST(a_batch_of_another_schema_is_refused_and_released) {
    check_refused(items_double, RDS_ERR_SCHEMA_MISMATCH, "float32");
    check_refused(other_width, RDS_ERR_SCHEMA_MISMATCH, "[4]");
    check_refused(data_not_a_list, RDS_ERR_SCHEMA_MISMATCH, "column \"data\"");
    check_refused(data_renamed, RDS_ERR_SCHEMA_MISMATCH,
                  "column \"vector\" is none of the table's, which are \"data\"");
    check_refused(ids_renamed, RDS_ERR_SCHEMA_MISMATCH, "no column \"object_id\"");
    check_refused(ids_are_floats, RDS_ERR_SCHEMA_MISMATCH, "column \"object_id\"");
    check_refused(both_are_ids, RDS_ERR_SCHEMA_MISMATCH, "");
}

static void make_null(arrow_batch *b, int node) {
    b->buffers[node][0] = &b->some_null;
    b->array[node].null_count = node == NODE_ITEMS ? -1 : 1;
}
static void null_row(arrow_batch *b) { make_null(b, NODE_ROOT); }
static void null_id(arrow_batch *b) { make_null(b, NODE_IDS); }
static void null_tensor(arrow_batch *b) { make_null(b, NODE_DATA); }
static void null_number(arrow_batch *b) {
    static const unsigned char bits[2] = {0xfd, 0xff};
    b->buffers[NODE_ITEMS][0] = bits;
    b->array[NODE_ITEMS].null_count = 1;
}

TEST(nulls_are_refused_and_released) {
    check_refused(null_row, RDS_ERR_INVALID_ARGUMENT, "null");
    check_refused(null_id, RDS_ERR_INVALID_ARGUMENT, "index 1 is null");
    check_refused(null_tensor, RDS_ERR_INVALID_ARGUMENT, "null");
    check_refused(null_number, RDS_ERR_INVALID_ARGUMENT, "null");
}

static void bad_utf8(arrow_batch *b) { b->names[0] = (char)0xff; }
static void falling_offsets(arrow_batch *b) { b->offsets[1] = b->offsets[2] + 1; }
static void negative_offset(arrow_batch *b) { b->offsets[0] = -1; }
static void one_child_only(arrow_batch *b) { b->array[NODE_ROOT].n_children = 1; }
static void no_children(arrow_batch *b) { b->array[NODE_ROOT].children = NULL; }
static void null_child(arrow_batch *b) { b->array_children[1] = NULL; }
static void short_child(arrow_batch *b) { b->array[NODE_DATA].length = BATCH_ROWS - 1; }
static void short_items(arrow_batch *b) { b->array[NODE_ITEMS].length = BATCH_ROWS; }
static void negative_length(arrow_batch *b) { b->array[NODE_ROOT].length = -1; }
static void negative_offset_of_array(arrow_batch *b) { b->array[NODE_ITEMS].offset = -1; }
static void too_few_buffers(arrow_batch *b) { b->array[NODE_IDS].n_buffers = 1; }
static void no_buffers(arrow_batch *b) { b->array[NODE_ITEMS].buffers = NULL; }
static void null_values(arrow_batch *b) { b->buffers[NODE_ITEMS][1] = NULL; }
static void unknown_format(arrow_batch *b) { b->schema[NODE_ITEMS].format = "?"; }
static void null_format(arrow_batch *b) { b->schema[NODE_ITEMS].format = NULL; }
static void negative_width(arrow_batch *b) { b->schema[NODE_DATA].format = "+w:-4"; }
static void schema_without_children(arrow_batch *b) { b->schema[NODE_ROOT].children = NULL; }
static void root_is_no_struct(arrow_batch *b) { b->schema[NODE_ROOT].format = "i"; }

TEST(malformed_arrays_are_refused_and_released) {
    static batch_change *const changes[] = {
        bad_utf8,        falling_offsets,          negative_offset, one_child_only,
        no_children,     null_child,               short_child,     short_items,
        negative_length, negative_offset_of_array, too_few_buffers, no_buffers,
        null_values,     negative_width};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        int before = check_failures;
        check_refused(changes[i], RDS_ERR_INVALID_ARGUMENT, "");
        if (check_failures != before) fprintf(stderr, "    of change %d\n", (int)i);
    }
}

static void far_offset(arrow_batch *b) { b->array[NODE_IDS].offset = -((int64_t)1 << 40); }
static void longest(arrow_batch *b) { b->array[NODE_IDS].length = INT64_MAX; }
static void more_than_it_can_be(arrow_batch *b) {
    b->array[NODE_ITEMS].offset = b->array[NODE_ITEMS].length = (int64_t)1 << 60;
}
static void minus_one_buffer(arrow_batch *b) { b->array[NODE_IDS].n_buffers = -1; }
static void minus_one_child(arrow_batch *b) { b->array[NODE_ROOT].n_children = -1; }
static void minus_one_column(arrow_batch *b) { b->schema[NODE_ROOT].n_children = -1; }
static void more_nulls_than_rows(arrow_batch *b) { b->array[NODE_IDS].null_count = BATCH_ROWS + 1; }
static void released_item(arrow_batch *b) { b->array[NODE_ITEMS].release = NULL; }
static void released_column(arrow_batch *b) { b->schema[NODE_DATA].release = NULL; }
static void null_offsets(arrow_batch *b) { b->buffers[NODE_IDS][1] = NULL; }
static void negative_end(arrow_batch *b) { b->offsets[BATCH_ROWS] = -5; }
static void its_own_child(arrow_batch *b) {
    b->schema[NODE_DATA].format = "+s";
    b->schema_item[0] = &b->schema[NODE_DATA];
}
static void its_own_values(arrow_batch *b) { b->schema[NODE_IDS].dictionary = &b->schema[NODE_IDS]; }
static void dictionary_unasked(arrow_batch *b) {
    b->array[NODE_IDS].dictionary = &b->array[NODE_ITEMS];
}
static void twice_and_twice_again(arrow_batch *b) {
    static struct ArrowSchema levels[40], *children[40][2];
    for (int i = 0; i < 40; i++) {
        levels[i] = b->schema[i == 39 ? NODE_ITEMS : NODE_ROOT];
        children[i][0] = children[i][1] = &levels[i + 1 < 40 ? i + 1 : i];
        if (i < 39) levels[i].children = children[i];
    }
    b->schema_children[1] = &levels[0];
}
static void view_without_sizes(arrow_batch *b) {
    b->schema[NODE_IDS].format = "vu";
    b->array[NODE_IDS].n_buffers = 2;
}
static void metadata_without_end(arrow_batch *b) {
    static const int32_t pairs = INT32_MAX;
    b->schema[NODE_DATA].metadata = (const char *)&pairs;
}
static void metadata_of_less_than_nothing(arrow_batch *b) {
    static const int32_t lengths[] = {1, -8};
    b->schema[NODE_DATA].metadata = (const char *)lengths;
}
static void wide_beyond_memory(arrow_batch *b) {
    b->schema[NODE_IDS].format = "w:2147483647";
    b->array[NODE_IDS].n_buffers = 2;
    b->array[NODE_IDS].length = (int64_t)1 << 40;
}
static void name_of_no_language(arrow_batch *b) { b->schema[NODE_DATA].name = "\xff"; }

TEST(what_is_refused_is_named_by_its_place) {
    static const struct {
        batch_change *change;
        const char *message;
    } all[] = {
        {far_offset, "array.children[0] (\"object_id\"): offset is -1099511627776"},
        {longest, "array.children[0] (\"object_id\"): length 9223372036854775807"},
        {more_than_it_can_be, "array.children[1].children[0] (\"item\"): length "},
        {minus_one_buffer, "array.children[0] (\"object_id\"): n_buffers is -1"},
        {minus_one_child, "array: n_children is -1"},
        {minus_one_column, "schema: n_children is -1"},
        {more_nulls_than_rows, "array.children[0] (\"object_id\"): null_count is 4, of 3"},
        {released_item, "array.children[1].children[0] (\"item\"): it is released"},
        {released_column, "schema.children[1]: it is released"},
        {null_offsets, "array.children[0] (\"object_id\"): buffers[1] is NULL"},
        {negative_end, "array.children[0] (\"object_id\"): the last offset is -5"},
        {its_own_child, "more than 64 levels deep"},
        {its_own_values, ".dictionary: it is more than 64 levels deep"},
        {dictionary_unasked, "array.children[0] (\"object_id\"): it has a dictionary"},
        {twice_and_twice_again, "more than 65536 columns"},
        {view_without_sizes, "array.children[0] (\"object_id\"): n_buffers is 2, 3 are asked for"},
        {metadata_without_end, "schema.children[1] (\"data\"): metadata has 2147483647 pairs"},
        {metadata_of_less_than_nothing, "schema.children[1] (\"data\"): a number of metadata is -8"},
        {wide_beyond_memory, "array.children[0] (\"object_id\"): 1099511627776 values of 2147483647"},
        {name_of_no_language, "schema.children[1]: name is not UTF-8"},
        {short_child, "array.children[1] (\"data\"): length is 2"},
        {short_items, "array.children[1].children[0] (\"item\"): length is 3"},
        {null_child, "array.children[1] (\"data\"): it is NULL"},
        {null_values, "array.children[1].children[0] (\"item\"): buffers[1] is NULL"},
        {unknown_format, "schema.children[1].children[0] (\"item\"): format is \"?\""},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
        arrow_batch *batch = batch_new(0);
        all[i].change(batch);
        CHECK_STATUS(batch_write(writer, batch), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("rds_write_batch: ");
        CHECK_MESSAGE_HAS(all[i].message);
        CHECK_NUMBER(batch->array_released[NODE_ROOT], 1);
        CHECK_OK(rds_writer_close(writer));
        free(batch);
    }
}

static void check_no_crash(batch_change *change) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_batch *batch = batch_new(0);
    change(batch);
    rds_status status = batch_write(writer, batch);
    CHECK(status == RDS_ERR_INVALID_ARGUMENT || status == RDS_ERR_SCHEMA_MISMATCH ||
          status == RDS_ERR_NOT_SUPPORTED);
    CHECK_NUMBER(batch->array_released[NODE_ROOT], 1);
    CHECK_OK(rds_writer_close(writer));
    batch_free(batch);
}

TEST(malformed_schemas_are_refused_and_the_array_released) {
    static batch_change *const changes[] = {unknown_format, null_format, schema_without_children,
                                            root_is_no_struct};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        int before = check_failures;
        check_no_crash(changes[i]);
        if (check_failures != before) fprintf(stderr, "    of change %d\n", (int)i);
    }
}

CHECK_MAIN(RUN(an_accepted_batch_is_read_back_and_released_once),
           RUN(a_batch_for_no_open_writer_is_released), RUN(a_batch_without_a_schema_is_released),
           RUN(a_released_array_or_schema_is_refused),
           RUN(a_release_callback_may_call_the_library),
           RUN(a_release_callback_does_not_wait_for_its_own_rows),
           RUN(a_batch_of_another_schema_is_refused_and_released),
           RUN(nulls_are_refused_and_released), RUN(malformed_arrays_are_refused_and_released),
           RUN(what_is_refused_is_named_by_its_place),
           RUN(malformed_schemas_are_refused_and_the_array_released))
