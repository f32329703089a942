/* Several columns by Arrow: a table goes into another one through streams and batches, in any order of columns. */
#include "arrow_out.h"
#include "columns.h"

enum { ROWS = 30 };

static check_path_text make_mixed(void) {
    check_path_text path = check_path();
    columns_add(path.text, mixed, MIXED, 0, 13);
    columns_add(path.text, mixed, MIXED, 13, ROWS - 13);
    return path;
}

TEST(a_table_of_every_dtype_streams_into_another_one) {
    column_kind kinds[DTYPES];
    char names[DTYPES][32];
    for (int i = 0; i < DTYPES; i++) {
        snprintf(names[i], sizeof names[i], "%s of %d", dtypes[i].name, i % 3 ? 3 : 8);
        const column_kind kind = {names[i], dtypes[i].number, 1, {i % 3 ? 3 : 8, 0, 0}};
        kinds[i] = kind;
    }
    check_path_text path = check_path();
    columns_add(path.text, kinds, DTYPES, 0, 20);
    columns_add(path.text, kinds, DTYPES, 20, 10);
    columns_check_at(path.text, kinds, DTYPES, 30);
    for (uint32_t flags = 0; flags <= RDS_SELECT_FIXED_SHAPE_TENSOR; flags += RDS_SELECT_FIXED_SHAPE_TENSOR) {
        check_path_text copy = check_path();
        rds_reader *reader = table_reader(path.text);
        rds_writer *writer = table_writer(copy.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
        rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
        struct ArrowArrayStream stream;
        uint64_t rows = 0;
        options.flags = flags, options.batch_rows = 7;
        REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
        CHECK_OK(rds_write_stream(writer, &stream, NULL, &rows));
        CHECK_NUMBER(rows, 30);
        CHECK_OK(rds_writer_close(writer));
        CHECK_OK(rds_reader_close(reader));
        columns_check_at(copy.text, kinds, DTYPES, 30);
    }
}

/* Rows first .. first + count - 1 of these columns as one batch. */
static rds_status write_taken(rds_writer *writer, const rds_reader *reader, const uint32_t *columns, size_t count,
                              uint32_t flags, uint64_t first, uint64_t rows) {
    uint64_t *wanted = (uint64_t *)malloc(rows * sizeof *wanted);
    struct ArrowSchema schema;
    struct ArrowArray array;
    rds_select_options options = RDS_SELECT_OPTIONS_INIT;
    options.columns = columns, options.column_count = count, options.flags = flags;
    for (uint64_t i = 0; i < rows; i++) wanted[i] = first + i;
    CHECK_OK(rds_reader_take(reader, wanted, rows, &options, &schema, &array));
    rds_status status = rds_write_batch(writer, &schema, &array);
    CHECK(array.release == NULL && schema.release != NULL);
    schema.release(&schema);
    free(wanted);
    return status;
}

TEST(batches_have_their_columns_in_any_order) {
    static const uint32_t orders[][MIXED] = {
        {0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {3, 0, 7, 1, 6, 2, 5, 4}};
    const uint32_t flags[] = {0, RDS_SELECT_FIXED_SHAPE_TENSOR};
    check_path_text path = make_mixed(), copy = check_path();
    rds_reader *reader = table_reader(path.text);
    for (uint32_t alias = 0; alias <= RDS_WRITER_ALIAS_ARROW; alias++) {
        rds_writer *writer = NULL;
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        options.mode = RDS_MODE_OVERWRITE, options.flags = alias;
        CHECK_OK(rds_writer_open(copy.text, &options, &writer));
        for (uint64_t first = 0; first < ROWS; first += 5) {
            CHECK_OK(write_taken(writer, reader, orders[first / 5 % 3], MIXED, flags[first % 2], first, 5));
        }
        CHECK_OK(columns_write_turned(writer, mixed, MIXED, ROWS, 4, 3));
        CHECK_OK(rds_writer_close(writer));
        rds_reader *copied = table_reader(copy.text);
        columns_check(copied, mixed, MIXED, ROWS + 4);
        for (uint32_t c = 0; c < MIXED; c++) CHECK_NUMBER(column_named(copied, mixed[c].name), c);
        CHECK_OK(rds_reader_close(copied));
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_batch_without_a_column_or_ids_or_with_another_is_refused_by_name) {
    static const uint32_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
    check_path_text path = make_mixed(), copy = check_path(), other = check_path();
    rds_reader *reader = table_reader(path.text);
    rds_writer *writer = table_writer(copy.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_STATUS(write_taken(writer, reader, all, MIXED, RDS_SELECT_NO_IDS, 0, 5), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("object_id");
    CHECK_STATUS(write_taken(writer, reader, NULL, 0, RDS_SELECT_NO_TENSORS, 0, 5), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_OK(write_taken(writer, reader, all, MIXED, 0, 0, 5));
    for (size_t gone = 0; gone < MIXED; gone++) {
        uint32_t left[MIXED];
        char named[32];
        for (size_t i = 0; i < MIXED - 1; i++) left[i] = all[i < gone ? i : i + 1];
        CHECK_STATUS(write_taken(writer, reader, left, MIXED - 1, 0, 5, 5), RDS_ERR_SCHEMA_MISMATCH);
        snprintf(named, sizeof named, "column \"%s\"", mixed[gone].name);
        CHECK_MESSAGE_HAS(named);
    }
    CHECK_OK(write_taken(writer, reader, all, MIXED, 0, 5, 5));
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(copy.text, mixed, MIXED, 10);
    /* A table of fewer columns. */
    columns_add(other.text, mixed, 3, 0, 5);
    writer = table_writer(other.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
    CHECK_STATUS(write_taken(writer, reader, all, 4, 0, 5, 5), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("\"flags\"");
    CHECK_OK(write_taken(writer, reader, all, 3, 0, 5, 5));
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(other.text, mixed, 3, 10);
    CHECK_OK(rds_reader_close(reader));
}

/* Everything that can be asked of a table without rows. */
static void check_empty(const rds_reader *reader) {
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    rds_span span = RDS_SPAN_INIT;
    const char *name = "id-0", *id = NULL;
    size_t length = 0;
    uint64_t found = 0, count = 7;
    unsigned char bytes[64];
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name);
    rds_rows rows = RDS_ROWS_INIT;
    rds_target target = RDS_TARGET_INIT;
    columns_check(reader, mixed, MIXED, 0);
    CHECK_OK(rds_reader_find(reader, &ids, &found, &count));
    CHECK(found == RDS_ROW_NONE && count == 0);
    CHECK_OK(rds_reader_find_all(reader, name, 4, &found, 1, &count));
    CHECK_NUMBER(count, 0);
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, 0, NULL, &array)));
    CHECK_NUMBER(array.length, 0);
    array.release(&array);
    REQUIRE(CHECK_OK(rds_reader_schema(reader, NULL, &schema)));
    CHECK_NUMBER(schema.n_children, MIXED + 1);
    schema.release(&schema);
    REQUIRE(CHECK_OK(rds_reader_take(reader, NULL, 0, NULL, NULL, &array)));
    CHECK(array.length == 0 && array.n_children == MIXED + 1);
    array.release(&array);
    REQUIRE(CHECK_OK(rds_reader_stream(reader, NULL, &stream)));
    REQUIRE(CHECK_NUMBER(stream.get_schema(&stream, &schema), 0));
    CHECK_NUMBER(schema.n_children, MIXED + 1);
    schema.release(&schema);
    CHECK_NUMBER(stream.get_next(&stream, &array), 0);
    CHECK(array.release == NULL);
    stream.release(&stream);
    for (uint32_t c = 0; c < MIXED; c++) {
        target.column = c;
        CHECK_OK(rds_reader_gather(reader, &rows, &target, 1));
        CHECK_STATUS(rds_reader_span(reader, c, 0, &span), RDS_ERR_OUT_OF_RANGE);
        CHECK_STATUS(rds_reader_get(reader, c, 0, &array), RDS_ERR_OUT_OF_RANGE);
        CHECK_STATUS(rds_reader_read_range(reader, c, 0, 1, bytes, sizeof bytes), RDS_ERR_OUT_OF_RANGE);
        CHECK_NUMBER(column_info(reader, c).mapped_rows, 0);
    }
    CHECK_STATUS(rds_reader_id(reader, 0, &id, &length), RDS_ERR_OUT_OF_RANGE);
}

TEST(a_table_without_rows_answers_every_question_and_streams_into_another_one) {
    check_path_text path = check_path(), copy = check_path();
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_column_spec specs[MIXED];
    rds_writer *writer = NULL;
    for (int c = 0; c < MIXED; c++) {
        const rds_column_spec spec = {sizeof spec, mixed[c].name, mixed[c].dtype, mixed[c].ndim, mixed[c].shape};
        specs[c] = spec;
    }
    options.columns = specs, options.column_count = MIXED;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    CHECK_OK(rds_writer_close(writer));
    for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access++) {
        rds_reader *reader = table_reader_with(path.text, access);
        check_empty(reader);
        CHECK_OK(rds_reader_close(reader));
    }
    rds_reader *reader = table_reader(path.text);
    struct ArrowArrayStream stream;
    uint64_t rows = 7;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, NULL, &stream)));
    CHECK_OK(rds_writer_open(copy.text, NULL, &writer));
    CHECK_OK(rds_write_stream(writer, &stream, NULL, &rows));
    CHECK_NUMBER(rows, 0);
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_table_of_every_dtype_streams_into_another_one), RUN(batches_have_their_columns_in_any_order),
           RUN(a_batch_without_a_column_or_ids_or_with_another_is_refused_by_name),
           RUN(a_table_without_rows_answers_every_question_and_streams_into_another_one))
