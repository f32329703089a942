/* Several named columns, read in every way there is: from mapped files, and through Lance. */
#include "columns.h"
#include "arrow_out.h"
#include "dlpack.h"
#include "maps.h"

enum { ROWS = 40, FIRST_PART = 17 };

static const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};
enum { ACCESSES = 2 };

/* Rows in two fragments. */
static check_path_text make_mixed(void) {
    check_path_text path = check_path();
    columns_add(path.text, mixed, MIXED, 0, FIRST_PART);
    columns_add(path.text, mixed, MIXED, FIRST_PART, ROWS - FIRST_PART);
    return path;
}

TEST(columns_keep_their_order_names_dtypes_and_shapes) {
    check_path_text path = make_mixed();
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        rds_table_info info = table_info(reader);
        CHECK_NUMBER(info.form, RDS_FORM_NAMED);
        CHECK_NUMBER(info.has_ids, 1);
        CHECK_NUMBER(info.metadata_count, 0);
        columns_check(reader, mixed, MIXED, ROWS);
        for (uint32_t c = 0; c < MIXED; c++) {
            CHECK_NUMBER(column_named(reader, mixed[c].name), c);
            /* Three bits of a row do not begin where a byte does. */
            int mapped = accesses[a] == RDS_ACCESS_AUTO && strcmp(mixed[c].name, "flags") != 0;
            CHECK_NUMBER(column_info(reader, c).mapped_rows, mapped ? ROWS : 0);
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(a_column_that_is_not_there_is_not_found) {
    check_path_text path = make_mixed();
    rds_reader *reader = table_reader(path.text);
    static const char *const names[] = {"", "data", "object_id", "imag", "images", "IMAGE", "image "};
    rds_column_info info = RDS_COLUMN_INFO_INIT;
    rds_span span = RDS_SPAN_INIT;
    struct ArrowArray array;
    DLManagedTensorVersioned *tensor;
    unsigned char bytes[64];
    const uint64_t row = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint32_t column = 77;
        CHECK_STATUS(rds_reader_column(reader, names[i], &column), RDS_ERR_NOT_FOUND);
        CHECK_NUMBER(column, 0);
        CHECK_MESSAGE_HAS(names[i]);
    }
    uint32_t column = 77;
    CHECK_STATUS(rds_reader_column(reader, "\xff", &column), RDS_ERR_INVALID_ARGUMENT);
    const uint32_t beyond[] = {MIXED, MIXED + 1, 1u << 31, UINT32_MAX};
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(rds_reader_column_info(reader, beyond[i], &info), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_span(reader, beyond[i], 0, &span), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_get(reader, beyond[i], 0, &array), RDS_ERR_INVALID_ARGUMENT);
        CHECK(array.release == NULL);
        CHECK_STATUS(rds_reader_read(reader, beyond[i], &row, 1, bytes, sizeof bytes), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_read_range(reader, beyond[i], 0, 1, bytes, sizeof bytes), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_dlpack(reader, beyond[i], 0, 1, &tensor), RDS_ERR_INVALID_ARGUMENT);
        CHECK(tensor == NULL);
        CHECK_MESSAGE_HAS("column");
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(rows_of_each_column_are_read_in_any_order) {
    check_path_text path = make_mixed();
    static const uint64_t rows[] = {39, 0, 16, 17, 17, 3, 38};
    enum { MANY = sizeof rows / sizeof rows[0] };
    unsigned char bytes[MANY * 64];
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        for (uint32_t c = 0; c < MIXED; c++) {
            size_t size = kind_bytes(&mixed[c]);
            CHECK_OK(rds_reader_read(reader, c, rows, MANY, bytes, MANY * size));
            for (int i = 0; i < MANY; i++) CHECK(rows_are(&mixed[c], bytes + (size_t)i * size, rows[i], 1, 1));
            CHECK_STATUS(rds_reader_read(reader, c, rows, MANY, bytes, MANY * size - 1), RDS_ERR_INVALID_ARGUMENT);
            CHECK_OK(rds_reader_read_range(reader, c, 15, 4, bytes, 4 * size));
            CHECK(rows_are(&mixed[c], bytes, 15, 1, 4));
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(each_column_has_spans_of_its_own) {
    check_path_text path = make_mixed();
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        for (uint32_t c = 0; c < MIXED; c++) {
            rds_span span = RDS_SPAN_INIT;
            for (uint64_t row = 0; row < ROWS; row = span.first_row + span.row_count) {
                REQUIRE(CHECK_OK(rds_reader_span(reader, c, row, &span)));
                REQUIRE(CHECK(span.first_row == row && span.row_count > 0 && row + span.row_count <= ROWS));
                int mapped = accesses[a] == RDS_ACCESS_AUTO && mixed[c].dtype != RDS_DTYPE_BOOL;
                CHECK_NUMBER(span.data != NULL, mapped);
                CHECK_NUMBER(span.stride, mapped ? kind_bytes(&mixed[c]) : 0);
                if (!span.data) continue;
                CHECK_NUMBER(span.row_count, row ? ROWS - FIRST_PART : FIRST_PART);
                CHECK(rows_are(&mixed[c], (const unsigned char *)span.data, row, 1, span.row_count));
                CHECK(lies_in_a_file(span.data, span.row_count * span.stride));
            }
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(tensors_of_each_column_go_out_by_dlpack) {
    check_path_text path = make_mixed();
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        for (uint32_t c = 0; c < MIXED; c++) {
            static const uint64_t ranges[][2] = {{0, FIRST_PART}, {10, 20}, {39, 1}, {5, 0}};
            for (int r = 0; r < 4; r++) {
                DLManagedTensorVersioned *tensor = NULL;
                uint64_t first = ranges[r][0], count = ranges[r][1];
                rds_status status = rds_reader_dlpack(reader, c, first, count, &tensor);
                if (mixed[c].dtype == RDS_DTYPE_DATETIME64_MS) {
                    CHECK_NUMBER(status, RDS_ERR_NOT_SUPPORTED);
                    continue;
                }
                REQUIRE(CHECK_NUMBER(status, RDS_OK));
                CHECK_NUMBER(tensor->dl_tensor.ndim, mixed[c].ndim + 1);
                CHECK_NUMBER(tensor->dl_tensor.shape[0], count);
                for (uint32_t i = 0; i < mixed[c].ndim; i++) {
                    CHECK_NUMBER(tensor->dl_tensor.shape[i + 1], mixed[c].shape[i]);
                }
                const unsigned char *bytes = (const unsigned char *)tensor->dl_tensor.data;
                if (count) CHECK(rows_are(&mixed[c], bytes + tensor->dl_tensor.byte_offset, first, 1, count));
                tensor->deleter(tensor);
            }
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(one_row_of_each_column_goes_out_as_an_array_of_its_type) {
    check_path_text path = make_mixed();
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        for (uint32_t c = 0; c < MIXED; c++) {
            for (uint64_t row = 0; row < ROWS; row += 3) {
                struct ArrowArray array;
                REQUIRE(CHECK_OK(rds_reader_get(reader, c, row, &array)));
                CHECK_NUMBER(array.length, 1);
                CHECK(exported_row_is(&mixed[c], &array, 0, row));
                array.release(&array);
            }
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

/* Selections of columns, and what they give: the ids are written as -1. */
static const struct {
    uint32_t columns[MIXED];
    size_t count;
    uint32_t flags;
    int expected[MIXED + 1];
    int64_t width;
} selections[] = {{{0}, 0, 0, {-1, 0, 1, 2, 3, 4, 5, 6, 7}, 9},
                  {{0}, 0, RDS_SELECT_NO_IDS, {0, 1, 2, 3, 4, 5, 6, 7}, 8},
                  {{0}, 0, RDS_SELECT_NO_TENSORS, {-1}, 1},
                  {{4}, 1, 0, {-1, 4}, 2},
                  {{3, 0, 2}, 3, RDS_SELECT_NO_IDS, {3, 0, 2}, 3},
                  {{7, 6, 5, 4, 3, 2, 1, 0}, 8, 0, {-1, 7, 6, 5, 4, 3, 2, 1, 0}, 9},
                  {{1}, 1, RDS_SELECT_NO_IDS | RDS_SELECT_FIXED_SHAPE_TENSOR, {1}, 1}};
enum { SELECTIONS = sizeof selections / sizeof selections[0] };

static rds_select_options selection(int s) {
    rds_select_options options = RDS_SELECT_OPTIONS_INIT;
    options.columns = selections[s].count ? selections[s].columns : NULL;
    options.column_count = selections[s].count;
    options.flags = selections[s].flags;
    return options;
}

static void check_schema(const struct ArrowSchema *schema, int s) {
    CHECK_TEXT(schema->format, "+s");
    REQUIRE(CHECK_NUMBER(schema->n_children, selections[s].width));
    for (int64_t i = 0; i < schema->n_children; i++) {
        int column = selections[s].expected[i];
        CHECK_TEXT(schema->children[i]->name, column < 0 ? "object_id" : mixed[column].name);
        if (column < 0) continue;
        char text[128], shape[64] = "";
        for (uint32_t d = 0; d < mixed[column].ndim; d++) {
            size_t used = strlen(shape);
            snprintf(shape + used, sizeof shape - used, d ? ", %d" : "%d", (int)mixed[column].shape[d]);
        }
        snprintf(text, sizeof text, "{\"tensor_shape\": [%s], \"tensor_dtype\": \"%s\"}", shape,
                 dtype_of(mixed[column].dtype)->name);
        check_metadata(schema, mixed[column].name, text);
        check_metadata(schema->children[i], "ARROW:extension:name",
                       selections[s].flags & RDS_SELECT_FIXED_SHAPE_TENSOR ? "arrow.fixed_shape_tensor" : NULL);
    }
    check_metadata(schema, "tensor_shape", NULL);
    check_metadata(schema, "tensor_dtype", NULL);
}

static void check_batch(const struct ArrowArray *batch, int s, const uint64_t *rows, uint64_t first) {
    REQUIRE(CHECK_NUMBER(batch->n_children, selections[s].width));
    for (int64_t i = 0; i < batch->length; i++) {
        uint64_t row = rows ? rows[first + (uint64_t)i] : first + (uint64_t)i;
        for (int64_t c = 0; c < batch->n_children; c++) {
            int column = selections[s].expected[c];
            const struct ArrowArray *child = batch->children[c];
            if (column < 0) CHECK(string_is(child, batch->offset + i, row));
            if (column >= 0) CHECK(exported_row_is(&mixed[column], child, batch->offset + i, row));
        }
    }
}

TEST(every_selection_is_taken_streamed_and_described) {
    check_path_text path = make_mixed();
    static const uint64_t rows[] = {39, 0, 16, 17, 17, 3, 38};
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        for (int s = 0; s < SELECTIONS; s++) {
            rds_select_options chosen = selection(s);
            rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
            struct ArrowSchema schema;
            struct ArrowArray batch;
            struct ArrowArrayStream stream;
            REQUIRE(CHECK_OK(rds_reader_schema(reader, &chosen, &schema)));
            check_schema(&schema, s);
            schema.release(&schema);
            REQUIRE(CHECK_OK(rds_reader_take(reader, rows, 7, &chosen, &schema, &batch)));
            check_schema(&schema, s);
            CHECK_NUMBER(batch.length, 7);
            check_batch(&batch, s, rows, 0);
            schema.release(&schema);
            batch.release(&batch);
            options.columns = chosen.columns, options.column_count = chosen.column_count;
            for (int chosen_rows = 0; chosen_rows < 2; chosen_rows++) {
                options.flags = chosen.flags | (chosen_rows ? RDS_STREAM_ROWS : 0);
                options.rows = chosen_rows ? rows : NULL, options.row_count = chosen_rows ? 7 : 0;
                options.batch_rows = 5;
                REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
                REQUIRE(CHECK_NUMBER(stream.get_schema(&stream, &schema), 0));
                check_schema(&schema, s);
                schema.release(&schema);
                uint64_t at = 0;
                while (CHECK_NUMBER(stream.get_next(&stream, &batch), 0) && batch.release) {
                    check_batch(&batch, s, options.rows, at);
                    at += (uint64_t)batch.length;
                    batch.release(&batch);
                }
                CHECK_NUMBER(at, chosen_rows ? 7 : ROWS);
                stream.release(&stream);
            }
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(a_selection_names_each_column_once_and_only_what_is_there) {
    check_path_text path = make_mixed();
    rds_reader *reader = table_reader(path.text);
    static const uint32_t wrong[][3] = {{1, 1, 0}, {0, 1, 0}, {0, MIXED, 1}, {UINT32_MAX, 0, 1}};
    struct ArrowSchema schema;
    for (int i = 0; i < 4; i++) {
        rds_select_options options = RDS_SELECT_OPTIONS_INIT;
        options.columns = wrong[i], options.column_count = 3;
        CHECK_STATUS(rds_reader_schema(reader, &options, &schema), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("column");
    }
    rds_select_options options = RDS_SELECT_OPTIONS_INIT;
    options.reserved = 1;
    CHECK_STATUS(rds_reader_schema(reader, &options, &schema), RDS_ERR_NOT_SUPPORTED);
    options.reserved = 0, options.flags = RDS_SELECT_NO_IDS | RDS_SELECT_NO_TENSORS;
    CHECK_STATUS(rds_reader_schema(reader, &options, &schema), RDS_ERR_INVALID_ARGUMENT);
    options.flags = 0, options.column_count = 3;
    CHECK_STATUS(rds_reader_schema(reader, &options, &schema), RDS_ERR_INVALID_ARGUMENT);
    CHECK(schema.release == NULL);
    CHECK_OK(rds_reader_close(reader));
}

/* It may come out of a search for columns that found none, which must not mean all. */
TEST(a_selection_of_no_columns_is_of_ids_alone) {
    check_path_text path = make_mixed();
    const uint32_t none[1] = {0};
    for (int a = 0; a < ACCESSES; a++) {
        rds_reader *reader = table_reader_with(path.text, accesses[a]);
        rds_select_options select = RDS_SELECT_OPTIONS_INIT;
        rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
        struct ArrowSchema schema;
        struct ArrowArray array;
        struct ArrowArrayStream stream;
        const uint64_t rows[2] = {3, 1};
        select.columns = options.columns = none;
        REQUIRE(CHECK_OK(rds_reader_schema(reader, &select, &schema)));
        CHECK_NUMBER(schema.n_children, 1);
        CHECK_TEXT(schema.children[0]->name, "object_id");
        schema.release(&schema);
        REQUIRE(CHECK_OK(rds_reader_take(reader, rows, 2, &select, &schema, &array)));
        CHECK_NUMBER(schema.n_children, 1);
        CHECK_NUMBER(array.n_children, 1);
        CHECK_NUMBER(array.length, 2);
        schema.release(&schema);
        array.release(&array);
        REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
        int64_t length = 0;
        while (CHECK_NUMBER(stream.get_next(&stream, &array), 0) && array.release) {
            CHECK_NUMBER(array.n_children, 1);
            length += array.length;
            array.release(&array);
        }
        CHECK_NUMBER(length, ROWS);
        stream.release(&stream);
        /* Without ids nothing is left. */
        select.flags = options.flags = RDS_SELECT_NO_IDS;
        CHECK_STATUS(rds_reader_schema(reader, &select, &schema), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_take(reader, rows, 2, &select, NULL, &array), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_INVALID_ARGUMENT);
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(one_column_called_otherwise_than_data_is_named_too) {
    check_path_text path = check_path(), lone = check_path();
    const column_kind data = {"data", RDS_DTYPE_FLOAT32, 2, {3, 4, 0}};
    columns_add(path.text, mixed, 1, 0, 5);
    columns_add(lone.text, &data, 1, 0, 5);
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).form, RDS_FORM_NAMED);
    columns_check(reader, mixed, 1, 5);
    CHECK_OK(rds_reader_close(reader));
    reader = table_reader(lone.text);
    struct ArrowSchema schema;
    CHECK_NUMBER(table_info(reader).form, RDS_FORM_DATA);
    columns_check(reader, &data, 1, 5);
    REQUIRE(CHECK_OK(rds_reader_schema(reader, NULL, &schema)));
    check_metadata(&schema, "tensor_shape", "[3, 4]");
    check_metadata(&schema, "tensor_dtype", "float32");
    check_metadata(&schema, "data", NULL);
    schema.release(&schema);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(columns_keep_their_order_names_dtypes_and_shapes), RUN(a_column_that_is_not_there_is_not_found),
           RUN(rows_of_each_column_are_read_in_any_order), RUN(each_column_has_spans_of_its_own),
           RUN(tensors_of_each_column_go_out_by_dlpack),
           RUN(one_row_of_each_column_goes_out_as_an_array_of_its_type),
           RUN(every_selection_is_taken_streamed_and_described),
           RUN(a_selection_names_each_column_once_and_only_what_is_there),
           RUN(a_selection_of_no_columns_is_of_ids_alone),
           RUN(one_column_called_otherwise_than_data_is_named_too))
