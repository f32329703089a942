/* Tables that others wrote without a thought of librds: columns by their types alone, ids of any column or none.
 * fixtures/foreign.py made them; run.py tells where they are. */
#include "arrow_out.h"
#include "child.h"
#include "dtypes.h"
#include "files.h"

enum { TYPES = 11 };

static check_path_text place_of(const char *name) {
    check_path_text path = {""};
    const char *fixtures = getenv("RDS_FIXTURES");
    snprintf(path.text, sizeof path.text, "%s/foreign/%s.lance", fixtures ? fixtures : "", name);
    return path;
}

static rds_status try_open(const char *name, uint32_t access, const char *id_column, rds_reader **reader) {
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    options.id_column = id_column;
    return rds_reader_open(place_of(name).text, &options, reader);
}

static rds_reader *open_table(const char *name, uint32_t access, const char *id_column) {
    rds_reader *reader = NULL;
    CHECK_OK(try_open(name, access, id_column, &reader));
    return reader;
}

static uint32_t column_named(const rds_reader *reader, const char *name) {
    uint32_t column = 77;
    CHECK_OK(rds_reader_column(reader, name, &column));
    return column;
}

/* The columns of types.lance that are tensors, in its order. */
static const struct {
    const char *name;
    uint32_t dtype, ndim;
    int64_t length;
} tensors[] = {{"key", RDS_DTYPE_INT64, 0, 0},  {"data", RDS_DTYPE_FLOAT32, 1, 4},
               {"score", RDS_DTYPE_FLOAT64, 0, 0}, {"good", RDS_DTYPE_BOOL, 0, 0},
               {"seen", RDS_DTYPE_DATETIME64_US, 0, 0}, {"picture", RDS_DTYPE_UINT8, 1, 6},
               {"small", RDS_DTYPE_UINT8, 0, 0}};
enum { TENSORS = sizeof tensors / sizeof tensors[0] };

/* The bytes of a row as foreign.py made it; returns how many. */
static size_t row_of(const char *name, uint64_t row, unsigned char *bytes) {
    const int64_t key = (int64_t)row - 3, seen = (int64_t)row * 1000;
    const double score = (double)row + 0.5;
    float data[TABLE_WIDTH];
    if (strcmp(name, "key") == 0) return memcpy(bytes, &key, 8), 8;
    if (strcmp(name, "seen") == 0) return memcpy(bytes, &seen, 8), 8;
    if (strcmp(name, "score") == 0) return memcpy(bytes, &score, 8), 8;
    if (strcmp(name, "good") == 0) return bytes[0] = row % 3 == 0, 1;
    if (strcmp(name, "small") == 0) return bytes[0] = (unsigned char)row, 1;
    if (strcmp(name, "picture") == 0) return memset(bytes, (int)row, 6), 6;
    for (int c = 0; c < TABLE_WIDTH; c++) data[c] = table_value(row, c);
    return memcpy(bytes, data, sizeof data), sizeof data;
}

static void check_column(const rds_reader *reader, const char *name, uint64_t rows) {
    unsigned char expected[64], *bytes = (unsigned char *)malloc(rows * 16 + 1);
    uint32_t column = column_named(reader, name);
    size_t size = column_info(reader, column).row_bytes;
    CHECK_OK(rds_reader_read_range(reader, column, 0, rows, bytes, rows * size));
    for (uint64_t row = 0; row < rows; row++) {
        CHECK_NUMBER(row_of(name, row, expected), size);
        CHECK(memcmp(bytes + row * size, expected, size) == 0);
        CHECK_OK(rds_reader_read(reader, column, &row, 1, bytes + row * size, size));
        CHECK(memcmp(bytes + row * size, expected, size) == 0);
        rds_span span = RDS_SPAN_INIT;
        CHECK_OK(rds_reader_span(reader, column, row, &span));
        CHECK(span.first_row <= row && row - span.first_row < span.row_count);
        if (!span.data) continue;
        const char *at = (const char *)span.data + (row - span.first_row) * span.stride;
        CHECK(memcmp(at, expected, size) == 0);
    }
    free(bytes);
}

static const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};

TEST(numbers_and_lists_of_them_are_tensors_and_other_columns_are_left_out) {
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = open_table("types", accesses[a], NULL);
        rds_table_info info = table_info(reader);
        uint32_t column;
        CHECK_NUMBER(info.rows, TYPES);
        CHECK_NUMBER(info.form, RDS_FORM_TYPES);
        CHECK_NUMBER(info.has_ids, 0);
        REQUIRE(CHECK_NUMBER(info.column_count, TENSORS));
        for (uint32_t c = 0; c < TENSORS; c++) {
            rds_column_info told = column_info(reader, c);
            CHECK_TEXT(told.name, tensors[c].name);
            CHECK_NUMBER(told.dtype, tensors[c].dtype);
            CHECK_NUMBER(told.ndim, tensors[c].ndim);
            CHECK_NUMBER(told.shape[0], tensors[c].length);
            check_column(reader, tensors[c].name, TYPES);
        }
        static const char *const left_out[] = {"name", "tags", "place", "x"};
        for (int i = 0; i < 4; i++) CHECK_STATUS(rds_reader_column(reader, left_out[i], &column), RDS_ERR_NOT_FOUND);
        CHECK_OK(rds_reader_close(reader));
    }
}

static void check_no_ids(rds_status status) {
    CHECK_STATUS(status, RDS_ERR_SCHEMA_MISMATCH);
    CHECK(strlen(rds_last_error_message()) > 0);
}

TEST(a_table_without_ids_refuses_what_is_about_ids_and_nothing_else) {
    rds_reader *reader = open_table("types", RDS_ACCESS_AUTO, NULL);
    const char *id = "x", *name = "id-3";
    size_t length = 9;
    uint64_t row = 0, count = 9;
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name), none = ids_of(RDS_IDS_CSTRINGS, 0, NULL);
    rds_select_options alone = RDS_SELECT_OPTIONS_INIT;
    rds_stream_options alone_stream = RDS_STREAM_OPTIONS_INIT;
    alone.flags = alone_stream.flags = RDS_SELECT_NO_TENSORS;
    check_no_ids(rds_reader_id(reader, 0, &id, &length));
    CHECK(id == NULL && length == 0);
    check_no_ids(rds_reader_ids(reader, 0, 1, &schema, &array));
    CHECK(schema.release == NULL && array.release == NULL);
    check_no_ids(rds_reader_find(reader, &ids, &row, &count));
    check_no_ids(rds_reader_find(reader, &none, NULL, NULL));
    check_no_ids(rds_reader_find_all(reader, name, 4, &row, 1, &count));
    CHECK_NUMBER(count, 0);
    check_no_ids(rds_reader_schema(reader, &alone, &schema));
    check_no_ids(rds_reader_take(reader, &row, 1, &alone, &schema, &array));
    check_no_ids(rds_reader_stream(reader, &alone_stream, &stream));
    CHECK(schema.release == NULL && array.release == NULL && stream.release == NULL);
    for (uint32_t flags = 0; flags <= RDS_SELECT_NO_IDS; flags++) {
        rds_select_options options = RDS_SELECT_OPTIONS_INIT;
        options.flags = flags;
        REQUIRE(CHECK_OK(rds_reader_take(reader, &row, 1, &options, &schema, &array)));
        CHECK_NUMBER(schema.n_children, TENSORS);
        for (int64_t c = 0; c < TENSORS && c < schema.n_children; c++) {
            CHECK_TEXT(schema.children[c]->name, tensors[c].name);
        }
        CHECK(list_row_is(array.children[1], 0, 0));
        schema.release(&schema);
        array.release(&array);
    }
    uint64_t rows = 0;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, NULL, &stream)));
    while (CHECK_NUMBER(stream.get_next(&stream, &array), 0) && array.release) {
        for (int64_t i = 0; i < array.length; i++, rows++) {
            CHECK(list_row_is(array.children[1], array.offset + i, rows));
        }
        array.release(&array);
    }
    CHECK_NUMBER(rows, TYPES);
    stream.release(&stream);
    CHECK_OK(rds_reader_close(reader));
}

static void check_id(const rds_reader *reader, uint64_t row, const char *expected) {
    const char *id = NULL;
    size_t length = 0;
    uint64_t found[TYPES], count = 0;
    CHECK_OK(rds_reader_id(reader, row, &id, &length));
    CHECK(id && length == strlen(expected) && memcmp(id, expected, length) == 0);
    CHECK_OK(rds_reader_find_all(reader, expected, strlen(expected), found, TYPES, &count));
    CHECK(count >= 1 && found[0] <= row && found[count - 1] >= row);
}

TEST(any_column_of_strings_or_integers_may_be_that_of_ids) {
    static const char *const columns[] = {"name", "key", "small"};
    for (int a = 0; a < 2; a++) {
        for (int c = 0; c < 3; c++) {
            rds_reader *reader = open_table("types", accesses[a], columns[c]);
            struct ArrowSchema schema;
            CHECK_NUMBER(table_info(reader).has_ids, 1);
            for (uint64_t row = 0; row < TYPES; row++) {
                char expected[24];
                snprintf(expected, sizeof expected, c == 0 ? "id-%d" : "%d", (int)row - (c == 1 ? 3 : 0));
                check_id(reader, row, expected);
            }
            REQUIRE(CHECK_OK(rds_reader_schema(reader, NULL, &schema)));
            CHECK_TEXT(schema.children[0]->name, columns[c]);
            CHECK_TEXT(schema.children[0]->format, c == 0 ? "u" : c == 1 ? "l" : "C");
            schema.release(&schema);
            check_column(reader, "data", TYPES);
            check_column(reader, "score", TYPES);
            /* Ids as numbers are found by number. */
            if (c == 1) {
                const int64_t numbers[] = {-3, 0, 7, 8};
                const rds_ids ids = ids_of(RDS_IDS_INT64, 4, numbers);
                uint64_t found[4];
                CHECK_OK(rds_reader_find(reader, &ids, found, NULL));
                CHECK(found[0] == 0 && found[1] == 3 && found[2] == 10 && found[3] == RDS_ROW_NONE);
            }
            CHECK_OK(rds_reader_close(reader));
        }
    }
}

TEST(a_column_that_cannot_be_that_of_ids_is_refused_by_name) {
    static const char *const columns[] = {"data", "score", "good", "seen", "tags", "place", "nowhere", "object_id"};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        rds_reader *reader = (rds_reader *)&i;
        CHECK_STATUS(try_open("types", RDS_ACCESS_AUTO, columns[i], &reader), RDS_ERR_SCHEMA_MISMATCH);
        CHECK(reader == NULL);
        CHECK_MESSAGE_HAS(columns[i]);
    }
    rds_reader *reader = NULL;
    CHECK_STATUS(try_open("types", RDS_ACCESS_AUTO, "\xff", &reader), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("UTF-8");
    CHECK_STATUS(try_open("texts", RDS_ACCESS_AUTO, "name", &reader), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_STATUS(try_open("texts", RDS_ACCESS_AUTO, NULL, &reader), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("tensor");
}

TEST(ids_may_be_numbers_up_to_the_largest) {
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = open_table("unsigned", accesses[a], NULL);
        static const char *const expected[] = {"0", "7", "18446744073709551615", "7"};
        const uint64_t numbers[] = {UINT64_MAX, 7, 1};
        const rds_ids ids = ids_of(RDS_IDS_UINT64, 3, numbers);
        uint64_t found[3], counts[3];
        struct ArrowSchema schema;
        struct ArrowArray array;
        for (uint64_t row = 0; row < 4; row++) check_id(reader, row, expected[row]);
        CHECK_OK(rds_reader_find(reader, &ids, found, counts));
        CHECK(found[0] == 2 && found[1] == 1 && found[2] == RDS_ROW_NONE);
        CHECK(counts[0] == 1 && counts[1] == 2 && counts[2] == 0);
        REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, 4, &schema, &array)));
        CHECK_TEXT(schema.format, "U");
        const int64_t *offsets = (const int64_t *)array.buffers[1] + array.offset;
        CHECK_NUMBER(offsets[3] - offsets[2], 20);
        schema.release(&schema);
        array.release(&array);
        /* An export has them as the table has. */
        const uint64_t row = 2;
        REQUIRE(CHECK_OK(rds_reader_take(reader, &row, 1, NULL, &schema, &array)));
        CHECK_TEXT(schema.children[0]->format, "L");
        CHECK(((const uint64_t *)array.children[0]->buffers[1])[array.children[0]->offset] == UINT64_MAX);
        CHECK(list_row_is(array.children[1], 0, 2));
        schema.release(&schema);
        array.release(&array);
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(what_is_null_is_told_by_column_and_row_and_shown_by_arrow) {
    static const struct {
        const char *name;
        uint64_t null_rows[2];
        int count;
    } columns[] = {{"score", {1, 1}, 1}, {"data", {2, 3}, 2}};
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = open_table("nulls", accesses[a], NULL);
        for (int c = 0; c < 2; c++) {
            uint32_t column = column_named(reader, columns[c].name);
            size_t size = column_info(reader, column).row_bytes;
            unsigned char bytes[16];
            for (uint64_t row = 0; row < 6; row++) {
                char named[64];
                int null = 0;
                for (int i = 0; i < columns[c].count; i++) null |= columns[c].null_rows[i] == row;
                rds_rows rows = RDS_ROWS_INIT;
                rds_target target = RDS_TARGET_INIT;
                rows.first_row = row, rows.count = 1;
                target.column = column, target.data = bytes, target.bytes = sizeof bytes;
                rds_status status = null ? RDS_ERR_NOT_SUPPORTED : RDS_OK;
                snprintf(named, sizeof named, "column \"%s\": the tensor of row %d", columns[c].name, (int)row);
                CHECK_STATUS(rds_reader_read(reader, column, &row, 1, bytes, size), status);
                if (null) CHECK_MESSAGE_HAS(named);
                CHECK_STATUS(rds_reader_gather(reader, &rows, &target, 1), status);
                if (null) CHECK_MESSAGE_HAS(named);
            }
        }
        const uint64_t rows[] = {1, 2, 3, 5};
        struct ArrowArray array;
        REQUIRE(CHECK_OK(rds_reader_take(reader, rows, 4, NULL, NULL, &array)));
        CHECK_NUMBER(array.n_children, 3);
        CHECK_NUMBER(array.children[1]->null_count, 1);
        CHECK_NUMBER(array.children[2]->null_count, 1);
        CHECK(list_row_is(array.children[1], 0, 1) && list_row_is(array.children[1], 3, 5));
        array.release(&array);
        const char *id = NULL;
        size_t length = 0;
        check_id(reader, 5, "5");
        CHECK_STATUS(rds_reader_id(reader, 4, &id, &length), RDS_ERR_NOT_SUPPORTED);
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(columns_that_are_described_are_tensors_and_others_are_not) {
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = open_table("named", accesses[a], NULL);
        uint32_t column;
        CHECK_NUMBER(table_info(reader).form, RDS_FORM_NAMED);
        CHECK_NUMBER(table_info(reader).has_ids, 1);
        CHECK_NUMBER(table_info(reader).column_count, 2);
        rds_column_info image = column_info(reader, column_named(reader, "image"));
        CHECK(image.ndim == 2 && image.shape[0] == 2 && image.shape[1] == 2);
        float values[5][4];
        unsigned char masks[5][3];
        CHECK_OK(rds_reader_read_range(reader, column_named(reader, "image"), 0, 5, values, sizeof values));
        CHECK_OK(rds_reader_read_range(reader, column_named(reader, "mask"), 0, 5, masks, sizeof masks));
        for (int row = 0; row < 5; row++) {
            for (int c = 0; c < 4; c++) CHECK(values[row][c] == (float)row + (float)c / 4);
            for (int c = 0; c < 3; c++) CHECK_NUMBER(masks[row][c], row % 2);
        }
        static const char *const others[] = {"plain", "caption", "author", "json"};
        for (int i = 0; i < 4; i++) CHECK_STATUS(rds_reader_column(reader, others[i], &column), RDS_ERR_NOT_FOUND);
        check_id(reader, 4, "id-4");
        CHECK_OK(rds_reader_close(reader));
    }
    rds_reader *reader = NULL;
    CHECK_STATUS(try_open("misfit", RDS_ACCESS_AUTO, NULL, &reader), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("image");
}

TEST(columns_that_are_added_to_a_table_get_higher_numbers_by_a_refresh) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    uint32_t changed = 0;
    options.version = 1, options.id_column = "key";
    REQUIRE(CHECK_OK(rds_reader_open(place_of("grown").text, &options, &reader)));
    CHECK_NUMBER(table_info(reader).column_count, 1);
    check_column(reader, "score", 6);
    check_id(reader, 5, "2");
    uint32_t score = column_named(reader, "score");
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 1);
    CHECK_NUMBER(table_info(reader).version, 3);
    CHECK_NUMBER(column_named(reader, "score"), score);
    CHECK(column_named(reader, "small") > score);
    check_column(reader, "score", 8);
    check_column(reader, "small", 8);
    check_id(reader, 7, "4");
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_refresh_to_a_version_without_the_ids_is_refused) {
    for (int loaded = 0; loaded < 2; loaded++) {
        rds_reader *reader = NULL;
        rds_reader_options options = RDS_READER_OPTIONS_INIT;
        uint32_t changed = 1;
        options.version = 1;
        REQUIRE(CHECK_OK(rds_reader_open(place_of("lost").text, &options, &reader)));
        if (loaded) check_id(reader, 5, "id-5");
        CHECK_STATUS(rds_reader_refresh(reader, &changed), RDS_ERR_SCHEMA_MISMATCH);
        CHECK_MESSAGE_HAS("no column of ids");
        CHECK_NUMBER(changed, 0);
        CHECK_NUMBER(table_info(reader).version, 1);
        CHECK_NUMBER(table_info(reader).has_ids, 1);
        check_id(reader, 5, "id-5");
        check_column(reader, "score", 6);
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(a_table_without_metadata_is_not_added_to) {
    check_path_text path = place_of("types");
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_APPEND;
    CHECK_STATUS(rds_writer_open(path.text, &options, &writer), RDS_ERR_SCHEMA_MISMATCH);
    CHECK(writer == NULL);
}

CHECK_MAIN(RUN(numbers_and_lists_of_them_are_tensors_and_other_columns_are_left_out),
           RUN(a_table_without_ids_refuses_what_is_about_ids_and_nothing_else),
           RUN(any_column_of_strings_or_integers_may_be_that_of_ids),
           RUN(a_column_that_cannot_be_that_of_ids_is_refused_by_name), RUN(ids_may_be_numbers_up_to_the_largest),
           RUN(what_is_null_is_told_by_column_and_row_and_shown_by_arrow),
           RUN(columns_that_are_described_are_tensors_and_others_are_not),
           RUN(columns_that_are_added_to_a_table_get_higher_numbers_by_a_refresh),
           RUN(a_refresh_to_a_version_without_the_ids_is_refused),
           RUN(a_table_without_metadata_is_not_added_to))
