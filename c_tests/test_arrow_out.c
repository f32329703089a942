/* Arrow out: what is exported owns itself. It outlives the reader, may be released on any thread,
 * and is released once. */
#include <pthread.h>

#include "arrow_out.h"

enum { ROWS = 10 };

static void *release_array(void *array) {
    ((struct ArrowArray *)array)->release((struct ArrowArray *)array);
    return NULL;
}

static void *release_schema(void *schema) {
    ((struct ArrowSchema *)schema)->release((struct ArrowSchema *)schema);
    return NULL;
}

static void on_another_thread(void *(*run)(void *), void *data) {
    pthread_t thread;
    pthread_create(&thread, NULL, run, data);
    pthread_join(thread, NULL);
}

static void check_schema(const struct ArrowSchema *schema) {
    CHECK_TEXT(schema->format, "+s");
    REQUIRE(CHECK_NUMBER(schema->n_children, 2));
    CHECK_TEXT(schema->children[0]->name, "object_id");
    CHECK_TEXT(schema->children[0]->format, "u");
    CHECK_TEXT(schema->children[1]->name, "data");
    CHECK_TEXT(schema->children[1]->format, "+w:4");
    CHECK_TEXT(schema->children[1]->children[0]->format, "f");
    CHECK_TEXT(schema->children[1]->children[0]->name, "item");
    CHECK(schema->children[0]->flags & ARROW_FLAG_NULLABLE);
    CHECK(schema->children[1]->flags & ARROW_FLAG_NULLABLE);
    check_metadata(schema, "tensor_shape", "[4]");
    check_metadata(schema, "tensor_dtype", "float32");
}

static rds_reader *open_rows(uint64_t rows) {
    check_path_text path = check_path();
    table_make(path.text, rows);
    return table_reader(path.text);
}

TEST(a_schema_outlives_its_reader) {
    struct ArrowSchema schema;
    rds_reader *reader = open_rows(ROWS);
    REQUIRE(CHECK_OK(rds_reader_schema(reader, NULL, &schema)));
    CHECK_OK(rds_reader_close(reader));
    check_schema(&schema);
    on_another_thread(release_schema, &schema);
    CHECK(schema.release == NULL);
}

TEST(a_row_outlives_its_reader) {
    struct ArrowArray rows[ROWS];
    rds_reader *reader = open_rows(ROWS);
    for (uint64_t row = 0; row < ROWS; row++) {
        REQUIRE(CHECK_OK(rds_reader_get(reader, 0, row, &rows[row])));
    }
    CHECK_OK(rds_reader_close(reader));
    for (uint64_t row = 0; row < ROWS; row++) {
        CHECK_NUMBER(rows[row].length, 1);
        CHECK_NUMBER(rows[row].null_count, 0);
        CHECK(list_row_is(&rows[row], 0, row));
        on_another_thread(release_array, &rows[row]);
        CHECK(rows[row].release == NULL);
    }
}

TEST(a_moved_row_is_released_where_it_went) {
    struct ArrowArray row, moved;
    rds_reader *reader = open_rows(ROWS);
    REQUIRE(CHECK_OK(rds_reader_get(reader, 0, 3, &row)));
    moved = row;
    row.release = NULL;
    CHECK(list_row_is(&moved, 0, 3));
    moved.release(&moved);
    CHECK_OK(rds_reader_close(reader));
}

TEST(taken_rows_outlive_their_reader) {
    const uint64_t wanted[] = {9, 0, 4, 4, 9};
    struct ArrowSchema schema;
    struct ArrowArray batch;
    rds_reader *reader = open_rows(ROWS);
    REQUIRE(CHECK_OK(rds_reader_take(reader, wanted, 5, NULL, &schema, &batch)));
    CHECK_OK(rds_reader_close(reader));
    check_schema(&schema);
    CHECK_NUMBER(batch.length, 5);
    CHECK_NUMBER(batch.n_children, 2);
    for (int64_t i = 0; i < 5; i++) {
        CHECK(string_is(batch.children[0], i, wanted[i]));
        CHECK(list_row_is(batch.children[1], i, wanted[i]));
    }
    on_another_thread(release_array, &batch);
    on_another_thread(release_schema, &schema);
}

TEST(a_child_may_be_moved_out_and_outlive_its_parent) {
    const uint64_t wanted[] = {7, 2};
    struct ArrowArray batch, data;
    rds_reader *reader = open_rows(ROWS);
    REQUIRE(CHECK_OK(rds_reader_take(reader, wanted, 2, NULL, NULL, &batch)));
    data = *batch.children[1];
    batch.children[1]->release = NULL;
    batch.release(&batch);
    CHECK_OK(rds_reader_close(reader));
    CHECK(list_row_is(&data, 0, 7) && list_row_is(&data, 1, 2));
    data.release(&data);
}

TEST(only_the_columns_asked_for_are_taken) {
    const uint64_t row = 6;
    const rds_select_options ids = select_of(IDS), data = select_of(DATA);
    struct ArrowSchema schema;
    struct ArrowArray batch;
    rds_reader *reader = open_rows(ROWS);
    REQUIRE(CHECK_OK(rds_reader_take(reader, &row, 1, &ids, &schema, &batch)));
    CHECK_NUMBER(schema.n_children, 1);
    CHECK_TEXT(schema.children[0]->name, "object_id");
    CHECK(string_is(batch.children[0], 0, 6));
    schema.release(&schema);
    batch.release(&batch);
    REQUIRE(CHECK_OK(rds_reader_take(reader, &row, 1, &data, &schema, &batch)));
    CHECK_NUMBER(schema.n_children, 1);
    CHECK_TEXT(schema.children[0]->name, "data");
    CHECK(list_row_is(batch.children[0], 0, 6));
    schema.release(&schema);
    batch.release(&batch);
    CHECK_OK(rds_reader_close(reader));
}

TEST(no_rows_are_an_empty_array_with_its_schema) {
    struct ArrowSchema schema;
    struct ArrowArray batch;
    rds_reader *reader = open_rows(ROWS);
    REQUIRE(CHECK_OK(rds_reader_take(reader, NULL, 0, NULL, &schema, &batch)));
    check_schema(&schema);
    CHECK_NUMBER(batch.length, 0);
    CHECK_NUMBER(batch.n_children, 2);
    schema.release(&schema);
    batch.release(&batch);
    CHECK_OK(rds_reader_close(reader));
}

/* Drains a stream of `count` rows from `first` on; batches hold at most `most` rows. */
static void check_stream(struct ArrowArrayStream *stream, uint64_t first, uint64_t count,
                         int64_t most) {
    struct ArrowSchema schema;
    struct ArrowArray batch;
    uint64_t row = first;
    REQUIRE(CHECK_NUMBER(stream->get_schema(stream, &schema), 0));
    check_schema(&schema);
    schema.release(&schema);
    for (;;) {
        REQUIRE(CHECK_NUMBER(stream->get_next(stream, &batch), 0));
        if (!batch.release) break;
        CHECK(batch.length > 0 && batch.length <= most);
        for (int64_t i = 0; i < batch.length; i++, row++) {
            CHECK(string_is(batch.children[0], batch.offset + i, row));
            CHECK(list_row_is(batch.children[1], batch.offset + i, row));
        }
        batch.release(&batch);
    }
    CHECK_NUMBER(row, first + count);
    /* A stream that ended stays ended. */
    CHECK_NUMBER(stream->get_next(stream, &batch), 0);
    CHECK(batch.release == NULL);
}

static void *drain_on_this_thread(void *stream) {
    check_stream((struct ArrowArrayStream *)stream, 0, 1000, 8192);
    ((struct ArrowArrayStream *)stream)->release((struct ArrowArrayStream *)stream);
    return NULL;
}

TEST(a_stream_outlives_its_reader_and_moves_between_threads) {
    struct ArrowArrayStream stream;
    rds_reader *reader = open_rows(1000);
    REQUIRE(CHECK_OK(rds_reader_stream(reader, NULL, &stream)));
    CHECK_OK(rds_reader_close(reader));
    on_another_thread(drain_on_this_thread, &stream);
    CHECK(stream.release == NULL);
}

TEST(a_stream_gives_the_range_and_batch_size_asked_for) {
    const uint64_t cases[][3] = {{0, 0, 1},  {3, 4, 3},  {9, 1, 100},
                                 {10, 0, 5}, {0, 10, 7}, {0, 0, INT64_MAX}};
    rds_reader *reader = open_rows(ROWS);
    for (int i = 0; i < 6; i++) {
        struct ArrowArrayStream stream;
        rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
        options.first_row = cases[i][0];
        options.row_count = cases[i][1];
        options.batch_rows = cases[i][2];
        if (!CHECK_OK(rds_reader_stream(reader, &options, &stream))) continue;
        check_stream(&stream, cases[i][0], cases[i][1] ? cases[i][1] : ROWS - cases[i][0],
                     (int64_t)cases[i][2]);
        stream.release(&stream);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_stream_may_be_released_before_its_end_and_its_batches_later) {
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    options.batch_rows = 4;
    rds_reader *reader = open_rows(1000);
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    REQUIRE(CHECK_NUMBER(stream.get_next(&stream, &batch), 0));
    stream.release(&stream);
    CHECK_OK(rds_reader_close(reader));
    REQUIRE(CHECK(batch.release != NULL));
    CHECK(list_row_is(batch.children[1], batch.offset, 0));
    batch.release(&batch);
    /* One that nobody read from. */
    reader = open_rows(ROWS);
    REQUIRE(CHECK_OK(rds_reader_stream(reader, NULL, &stream)));
    stream.release(&stream);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_schema_outlives_its_reader), RUN(a_row_outlives_its_reader),
           RUN(a_moved_row_is_released_where_it_went), RUN(taken_rows_outlive_their_reader),
           RUN(a_child_may_be_moved_out_and_outlive_its_parent),
           RUN(only_the_columns_asked_for_are_taken),
           RUN(no_rows_are_an_empty_array_with_its_schema),
           RUN(a_stream_outlives_its_reader_and_moves_between_threads),
           RUN(a_stream_gives_the_range_and_batch_size_asked_for),
           RUN(a_stream_may_be_released_before_its_end_and_its_batches_later))
