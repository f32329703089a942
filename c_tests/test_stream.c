/* Streams: which columns, which rows, in batches of which size, and what their schema says; the
 * same from mapped files and through Lance. */
#include "arrow_out.h"
#include "dtypes.h"

enum { ROWS = 30 };

static const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};
enum { ACCESSES = 2 };

/* Rows of table.h in three data files. */
static check_path_text make_rows(void) {
    check_path_text path = check_path();
    table_make(path.text, 11);
    table_append(path.text, 11, 1);
    table_append(path.text, 12, ROWS - 12);
    return path;
}

static rds_stream_options stream_of(uint32_t columns, uint64_t first, uint64_t count,
                                    uint64_t batch_rows) {
    rds_stream_options options = stream_select(columns);
    options.first_row = first;
    options.row_count = count;
    options.batch_rows = batch_rows;
    return options;
}

static void check_columns(const struct ArrowSchema *schema, uint32_t columns) {
    int64_t next = 0;
    CHECK_TEXT(schema->format, "+s");
    REQUIRE(CHECK_NUMBER(schema->n_children, (columns & 1) + (columns >> 1)));
    if (columns & IDS) {
        CHECK_TEXT(schema->children[next]->name, "object_id");
        CHECK_TEXT(schema->children[next++]->format, "u");
    }
    if (columns & DATA) {
        CHECK_TEXT(schema->children[next]->name, "data");
        CHECK_TEXT(schema->children[next]->format, "+w:4");
    }
    check_metadata(schema, "tensor_shape", "[4]");
    check_metadata(schema, "tensor_dtype", "float32");
}

/* Drains a stream of these columns, whose rows are first .. end - 1. */
static void drain(struct ArrowArrayStream *stream, uint32_t columns, uint64_t first, uint64_t end,
                  uint64_t batch_rows) {
    struct ArrowSchema schema;
    struct ArrowArray batch;
    uint64_t row = first;
    REQUIRE(CHECK_NUMBER(stream->get_schema(stream, &schema), 0));
    check_columns(&schema, columns);
    schema.release(&schema);
    while (CHECK_NUMBER(stream->get_next(stream, &batch), 0) && batch.release) {
        CHECK(batch.length > 0 && batch.length <= (int64_t)batch_rows);
        REQUIRE(CHECK_NUMBER(batch.n_children, (columns & 1) + (columns >> 1)));
        for (int64_t i = batch.offset; i < batch.offset + batch.length; i++, row++) {
            if (columns & IDS) CHECK(string_is(batch.children[0], i, row));
            if (!(columns & DATA)) continue;
            CHECK(list_row_is(batch.children[batch.n_children - 1], i, row));
        }
        batch.release(&batch);
    }
    CHECK_NUMBER(row, end);
}

TEST(every_choice_of_columns_rows_and_size_of_batches) {
    check_path_text path = make_rows();
    const uint64_t ranges[][2] = {{0, 0}, {0, 1}, {10, 3}, {11, 1}, {5, 20}, {29, 1}, {30, 0}};
    const uint64_t sizes[] = {1, 4, 11, ROWS, UINT64_MAX};
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        for (uint32_t columns = 0; columns <= 3; columns++) {
            for (int r = 0; r < 7; r++) {
                for (int s = 0; s < 5; s += check_rounds(10) < 10 ? 2 : 1) {
                    uint64_t first = ranges[r][0], count = ranges[r][1], most = sizes[s];
                    rds_stream_options options = stream_of(columns, first, count, most);
                    struct ArrowArrayStream stream;
                    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
                    drain(&stream, columns ? columns : 3, first, count ? first + count : ROWS,
                          most < ROWS ? most : ROWS);
                    stream.release(&stream);
                }
            }
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(a_stream_of_any_columns_outlives_its_reader) {
    check_path_text path = make_rows();
    for (int a = 0; a < ACCESSES; a++) {
        for (uint32_t columns = 1; columns <= 3; columns++) {
            struct ArrowArrayStream untouched, begun;
            struct ArrowArray batch;
            rds_reader *reader = table_reader_with(path.text, accesses[a]);
            rds_stream_options options = stream_of(columns, 0, 0, 7);
            REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &untouched)));
            REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &begun)));
            REQUIRE(CHECK_NUMBER(begun.get_next(&begun, &batch), 0));
            CHECK_OK(rds_reader_close(reader));
            drain(&untouched, columns, 0, ROWS, 7);
            drain(&begun, columns, (uint64_t)batch.length, ROWS, 7);
            batch.release(&batch);
            untouched.release(&untouched);
            begun.release(&begun);
        }
    }
}

TEST(many_streams_of_one_reader_do_not_mix) {
    enum { STREAMS = 20 };
    check_path_text path = make_rows();
    struct ArrowArrayStream streams[STREAMS];
    uint64_t next[STREAMS] = {0};
    rds_reader *reader = table_reader_with(path.text, RDS_ACCESS_AUTO);
    for (uint64_t i = 0; i < STREAMS; i++) {
        rds_stream_options options = stream_of(1 + i % 3, i, 0, 1 + i % 5);
        REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &streams[i])));
        next[i] = i;
    }
    for (int round = 0; round < ROWS; round++) {
        for (int i = 0; i < STREAMS; i++) {
            struct ArrowArray batch;
            REQUIRE(CHECK_NUMBER(streams[i].get_next(&streams[i], &batch), 0));
            if (!batch.release) continue;
            const struct ArrowArray *last = batch.children[batch.n_children - 1];
            for (int64_t row = 0; row < batch.length; row++, next[i]++) {
                CHECK(i % 3 ? list_row_is(last, row, next[i]) : string_is(last, row, next[i]));
            }
            batch.release(&batch);
        }
    }
    for (int i = 0; i < STREAMS; i++) {
        CHECK_NUMBER(next[i], ROWS);
        streams[i].release(&streams[i]);
    }
    CHECK_OK(rds_reader_close(reader));
}

/* What `data` of a stream says of its shape; NULL if it must say nothing. */
static void check_extension(const rds_reader *reader, uint32_t columns, uint32_t flags,
                            const char *shape) {
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    rds_stream_options options = stream_of(columns, 0, 0, 0);
    options.flags |= flags;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    REQUIRE(CHECK_NUMBER(stream.get_schema(&stream, &schema), 0));
    for (int64_t i = 0; i < schema.n_children; i++) {
        const struct ArrowSchema *child = schema.children[i];
        const char *expected = strcmp(child->name, "data") == 0 ? shape : NULL;
        check_metadata(child, "ARROW:extension:name", expected ? "arrow.fixed_shape_tensor" : NULL);
        check_metadata(child, "ARROW:extension:metadata", expected);
    }
    check_metadata(&schema, "ARROW:extension:name", NULL);
    schema.release(&schema);
    /* The batches are of that schema, whatever they come from. */
    struct ArrowArray batch;
    CHECK_NUMBER(stream.get_next(&stream, &batch), 0);
    if (batch.release) batch.release(&batch);
    stream.release(&stream);
}

TEST(a_stream_tells_the_shape_of_its_rows_if_asked_to) {
    static const int64_t shape[3] = {2, 3, 4};
    static const struct {
        uint32_t dtype;
        uint32_t ndim;
        const char *text;
    } cases[] = {{RDS_DTYPE_FLOAT32, 2, "{\"shape\":[2,3]}"},
                 {RDS_DTYPE_FLOAT32, 1, "{\"shape\":[2]}"},
                 {RDS_DTYPE_FLOAT32, 0, "{\"shape\":[]}"},
                 {RDS_DTYPE_INT8, 3, "{\"shape\":[2,3,4]}"},
                 {RDS_DTYPE_BOOL, 3, "{\"shape\":[2,3,4]}"},
                 {RDS_DTYPE_BOOL, 2, "{\"shape\":[2,3]}"},
                 {RDS_DTYPE_BFLOAT16, 2, "{\"shape\":[2,3]}"},
                 {RDS_DTYPE_DATETIME64_MS, 2, "{\"shape\":[2,3]}"},
                 /* A complex number adds a dimension. */
                 {RDS_DTYPE_COMPLEX64, 2, "{\"shape\":[2,3,2]}"},
                 {RDS_DTYPE_COMPLEX128, 0, "{\"shape\":[2]}"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        made_table made = made_new(cases[i].dtype, cases[i].ndim, shape, (const uint64_t[]){3, 0});
        for (int a = 0; a < ACCESSES; a++) {
            int before = check_failures;
            rds_reader *reader = made_open(&made, accesses[a]);
            for (uint32_t columns = 0; columns <= 3; columns++) {
                check_extension(reader, columns, RDS_SELECT_FIXED_SHAPE_TENSOR, cases[i].text);
                check_extension(reader, columns, 0, NULL);
            }
            CHECK_OK(rds_reader_close(reader));
            if (check_failures != before) fprintf(stderr, "    of case %d\n", (int)i);
        }
        made_free(&made);
    }
}

TEST(a_stream_with_its_shape_is_what_a_writer_takes) {
    static const int64_t shape[2] = {2, 3};
    made_table made = made_new(RDS_DTYPE_FLOAT32, 2, shape, (const uint64_t[]){3, 4, 0});
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    check_path_text copy = check_path();
    rds_writer *writer = table_writer(copy.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ArrowArray batch;
    rds_stream_options options = stream_of(0, 0, 0, 2);
    options.flags |= RDS_SELECT_FIXED_SHAPE_TENSOR;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    REQUIRE(CHECK_NUMBER(stream.get_schema(&stream, &schema), 0));
    while (CHECK_NUMBER(stream.get_next(&stream, &batch), 0) && batch.release) {
        CHECK_OK(rds_write_batch(writer, &schema, &batch));
    }
    schema.release(&schema);
    stream.release(&stream);
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    reader = table_reader(copy.text);
    rds_column_info info = column_info(reader, 0);
    CHECK(table_info(reader).rows == 7 && info.ndim == 2 && info.shape[0] == 2 && info.shape[1] == 3);
    float values[7][6];
    CHECK_OK(rds_reader_read_range(reader, 0, 0, 7, values, sizeof values));
    CHECK(memcmp(values, made.bytes, sizeof values) == 0);
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(a_stream_of_rows_has_them_in_their_order_and_outlives_its_reader) {
    static const uint64_t chosen[] = {29, 0, 11, 11, 10, 12, 3, 28};
    enum { CHOSEN = sizeof chosen / sizeof *chosen };
    check_path_text path = make_rows();
    for (int a = 0; a < ACCESSES; a++) {
        for (uint32_t columns = 1; columns <= 3; columns++) {
            for (uint64_t most = 1; most <= 9; most += 4) {
                rds_reader *reader = table_reader_with(path.text, accesses[a]);
                uint64_t rows[CHOSEN], at = 0;
                memcpy(rows, chosen, sizeof rows);
                rds_stream_options options = stream_of(columns, 0, CHOSEN, most);
                struct ArrowArrayStream stream;
                struct ArrowSchema schema;
                struct ArrowArray batch;
                options.flags |= RDS_STREAM_ROWS, options.rows = rows;
                REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
                memset(rows, 0xff, sizeof rows);
                CHECK_OK(rds_reader_close(reader));
                REQUIRE(CHECK_NUMBER(stream.get_schema(&stream, &schema), 0));
                check_columns(&schema, columns);
                schema.release(&schema);
                while (CHECK_NUMBER(stream.get_next(&stream, &batch), 0) && batch.release) {
                    const struct ArrowArray *last = batch.children[batch.n_children - 1];
                    CHECK(batch.length > 0 && batch.length <= (int64_t)most);
                    for (int64_t i = 0; i < batch.length && at < CHOSEN; i++, at++) {
                        if (columns & IDS) CHECK(string_is(batch.children[0], i, chosen[at]));
                        if (columns & DATA) CHECK(list_row_is(last, i, chosen[at]));
                    }
                    batch.release(&batch);
                }
                CHECK_NUMBER(at, CHOSEN);
                stream.release(&stream);
            }
        }
    }
}

TEST(rows_of_a_stream_are_checked_before_it_is_made) {
    check_path_text path = make_rows();
    const uint64_t rows[] = {0, ROWS};
    rds_reader *reader = table_reader_with(path.text, RDS_ACCESS_AUTO);
    rds_stream_options options = stream_of(0, 0, 2, 0);
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    options.rows = rows;
    CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_INVALID_ARGUMENT);
    options.flags |= RDS_STREAM_ROWS;
    CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE_HAS("row 30 is out of range");
    options.row_count = 1, options.first_row = 1;
    CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_INVALID_ARGUMENT);
    options.first_row = 0, options.rows = NULL;
    CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_INVALID_ARGUMENT);
    options.row_count = UINT64_MAX, options.rows = rows;
    CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_INVALID_ARGUMENT);
    CHECK(stream.release == NULL);
    /* None are none, not all. */
    options.row_count = 0, options.rows = NULL;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    CHECK_NUMBER(stream.get_next(&stream, &batch), 0);
    CHECK(batch.release == NULL);
    stream.release(&stream);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(every_choice_of_columns_rows_and_size_of_batches),
           RUN(a_stream_of_any_columns_outlives_its_reader),
           RUN(many_streams_of_one_reader_do_not_mix),
           RUN(a_stream_tells_the_shape_of_its_rows_if_asked_to),
           RUN(a_stream_with_its_shape_is_what_a_writer_takes),
           RUN(a_stream_of_rows_has_them_in_their_order_and_outlives_its_reader),
           RUN(rows_of_a_stream_are_checked_before_it_is_made))
