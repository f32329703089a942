/* Tables that others wrote: rows that lie plain, among rows that are deleted, null, packed, or of
 * an older format. fixtures/foreign.py made them; run.py tells where they are. */
#include "arrow_out.h"
#include "dlpack.h"
#include "maps.h"

/* Which row of mixed.lance was written as which: two are deleted. One has no tensor, one no id. */
enum { MIXED = 19, NO_TENSOR = 11, NO_ID = 12, FIRST_UNMAPPED = 6, FIRST_MAPPED_AGAIN = 14 };
static const uint64_t written[MIXED] = {0, 1, 2, 3, 4, 5, 6, 8, 9, 10,
                                        12, 13, 14, 15, 16, 17, 18, 19, 20};

static rds_reader *open_table(const char *name, uint32_t access) {
    char path[1200];
    const char *fixtures = getenv("RDS_FIXTURES");
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    CHECK(fixtures != NULL);
    snprintf(path, sizeof path, "%s/foreign/%s.lance", fixtures ? fixtures : "", name);
    CHECK_OK(rds_reader_open(path, &options, &reader));
    return reader;
}

static rds_reader *open_mixed(int a) {
    return open_table("mixed", a ? RDS_ACCESS_LANCE : RDS_ACCESS_AUTO);
}

static int values_are(const float *values, uint64_t row) {
    for (int c = 0; c < TABLE_WIDTH; c++) {
        if (values[c] != table_value(written[row], c)) return 0;
    }
    return 1;
}

TEST(only_rows_that_lie_plain_are_mapped) {
    rds_reader *reader = open_mixed(0);
    const uint64_t bounds[] = {0, FIRST_UNMAPPED, FIRST_MAPPED_AGAIN, MIXED};
    CHECK_NUMBER(table_info(reader).rows, MIXED);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, MIXED - FIRST_MAPPED_AGAIN + FIRST_UNMAPPED);
    for (int part = 0; part < 3; part++) {
        for (uint64_t row = bounds[part]; row < bounds[part + 1]; row++) {
            rds_span span = RDS_SPAN_INIT;
            CHECK_OK(rds_reader_span(reader, 0, row, &span));
            CHECK_NUMBER(span.first_row, bounds[part]);
            CHECK_NUMBER(span.row_count, bounds[part + 1] - bounds[part]);
            CHECK((span.data != NULL) == (part != 1));
            CHECK_NUMBER(span.stride, part == 1 ? 0 : 16);
            if (!span.data) continue;
            CHECK(values_are((const float *)span.data + (row - span.first_row) * 4, row));
            CHECK(lies_in_a_file(span.data, span.row_count * span.stride));
        }
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_reader_that_must_map_refuses_such_a_table) {
    char path[1200];
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = RDS_ACCESS_MAPPED;
    snprintf(path, sizeof path, "%s/foreign/mixed.lance", getenv("RDS_FIXTURES"));
    CHECK_STATUS(rds_reader_open(path, &options, &reader), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("only 11 of 19 rows can be mapped");
    CHECK(reader == NULL);
}

TEST(every_range_across_mapped_and_other_rows) {
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = open_mixed(a);
        for (uint64_t first = 0; first <= MIXED; first++) {
            for (uint64_t end = first; end <= MIXED; end++) {
                float values[MIXED][TABLE_WIDTH];
                rds_status status = rds_reader_read_range(reader, 0, first, end - first, values,
                                                          (end - first) * sizeof values[0]);
                if (first <= NO_TENSOR && NO_TENSOR < end) {
                    CHECK_NUMBER(status, RDS_ERR_NOT_SUPPORTED);
                    CHECK_MESSAGE_HAS("rds_reader_read_range: column \"data\": the tensor of row 11 is null");
                    continue;
                }
                CHECK_NUMBER(status, RDS_OK);
                for (uint64_t i = first; i < end; i++) CHECK(values_are(values[i - first], i));
            }
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(a_gather_mixes_mapped_and_other_rows) {
    const uint64_t rows[] = {18, 7, 0, 13, 7, 14, 5, 6, 10, 12, 9, 1};
    float values[12][TABLE_WIDTH];
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = open_mixed(a);
        CHECK_OK(rds_reader_read(reader, 0, rows, 12, values, sizeof values));
        for (int i = 0; i < 12; i++) CHECK(values_are(values[i], rows[i]));
        const uint64_t with_null[] = {18, 0, NO_TENSOR, 5};
        CHECK_STATUS(rds_reader_read(reader, 0, with_null, 4, values, sizeof values),
                     RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("rds_reader_read: column \"data\": the tensor of row 11 is null");
        rds_rows backwards = RDS_ROWS_INIT, chosen = RDS_ROWS_INIT;
        rds_target target = RDS_TARGET_INIT;
        target.data = values, target.bytes = sizeof values;
        backwards.first_row = 18, backwards.step = -2, backwards.count = 10;
        CHECK_OK(rds_reader_gather(reader, &backwards, &target, 1));
        for (uint64_t i = 0; i < 10; i++) CHECK(values_are(values[i], 18 - 2 * i));
        chosen.rows = rows, chosen.count = 12;
        CHECK_OK(rds_reader_gather(reader, &chosen, &target, 1));
        for (int i = 0; i < 12; i++) CHECK(values_are(values[i], rows[i]));
        backwards.step = -1;
        CHECK_STATUS(rds_reader_gather(reader, &backwards, &target, 1), RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("rds_reader_gather: column \"data\": the tensor of row 11 is null");
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(tensors_are_shared_within_a_span_and_copied_across) {
    static const uint64_t ranges[][3] = {{0, 6, DLPACK_FLAG_BITMASK_READ_ONLY},
                                         {14, 5, DLPACK_FLAG_BITMASK_READ_ONLY},
                                         {6, 4, DLPACK_FLAG_BITMASK_IS_COPIED},
                                         {0, 11, DLPACK_FLAG_BITMASK_IS_COPIED},
                                         {12, 7, DLPACK_FLAG_BITMASK_IS_COPIED}};
    rds_reader *reader = open_mixed(0);
    DLManagedTensorVersioned *tensor = NULL;
    for (int r = 0; r < 5; r++) {
        if (!CHECK_OK(rds_reader_dlpack(reader, 0, ranges[r][0], ranges[r][1], &tensor))) continue;
        CHECK_NUMBER(tensor->flags, ranges[r][2]);
        const float *values = (const float *)tensor->dl_tensor.data;
        for (uint64_t i = 0; i < ranges[r][1]; i++) {
            CHECK(values_are(values + i * TABLE_WIDTH, ranges[r][0] + i));
        }
        tensor->deleter(tensor);
    }
    CHECK_STATUS(rds_reader_dlpack(reader, 0, 0, MIXED, &tensor), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("rds_reader_dlpack: column \"data\": the tensor of row 11 is null");
    CHECK(tensor == NULL);
    CHECK_OK(rds_reader_close(reader));
}

static int is_null(const struct ArrowArray *array, int64_t row) {
    const unsigned char *valid = (const unsigned char *)array->buffers[0];
    int64_t at = array->offset + row;
    return valid && !(valid[at / 8] >> at % 8 & 1);
}

/* A batch, or what a take gave, of rows first, first + 1, ... */
static void check_batch(const struct ArrowArray *batch, uint64_t first) {
    for (int64_t i = 0; i < batch->length; i++) {
        uint64_t row = first + (uint64_t)i;
        CHECK_NUMBER(is_null(batch->children[0], i), row == NO_ID);
        CHECK_NUMBER(is_null(batch->children[1], i), row == NO_TENSOR);
        if (row != NO_ID) CHECK(string_is(batch->children[0], i, written[row]));
        if (row != NO_TENSOR) CHECK(list_row_is(batch->children[1], i, written[row]));
    }
}

TEST(arrow_shows_what_is_null) {
    uint64_t rows[MIXED];
    for (uint64_t row = 0; row < MIXED; row++) rows[row] = row;
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = open_mixed(a);
        struct ArrowArray array;
        for (uint64_t row = 0; row < MIXED; row++) {
            if (!CHECK_OK(rds_reader_get(reader, 0, row, &array))) continue;
            CHECK_NUMBER(array.null_count, row == NO_TENSOR);
            if (row != NO_TENSOR) CHECK(list_row_is(&array, 0, written[row]));
            array.release(&array);
        }
        if (CHECK_OK(rds_reader_take(reader, rows, MIXED, NULL, NULL, &array))) {
            check_batch(&array, 0);
            array.release(&array);
        }
        for (uint64_t size = 1; size <= MIXED; size += 3) {
            struct ArrowArrayStream stream;
            rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
            options.batch_rows = size;
            uint64_t row = 0;
            REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
            while (CHECK_NUMBER(stream.get_next(&stream, &array), 0) && array.release) {
                CHECK(array.length > 0 && array.length <= (int64_t)size);
                check_batch(&array, row);
                row += (uint64_t)array.length;
                array.release(&array);
            }
            CHECK_NUMBER(row, MIXED);
            stream.release(&stream);
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(an_id_that_is_null_is_null_or_refused_and_never_found) {
    rds_reader *reader = open_mixed(0);
    const char *id = "", *const names[] = {"id-14", "", "id-7", "id-15", "id-20"};
    size_t length = 1;
    struct ArrowArray array;
    uint64_t found[5], counts[5];
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 5, names);
    for (uint64_t first = 0; first < MIXED; first++) {
        if (!CHECK_OK(rds_reader_ids(reader, first, MIXED - first, NULL, &array))) continue;
        for (int64_t i = 0; i < array.length; i++) {
            uint64_t row = first + (uint64_t)i;
            CHECK_NUMBER(is_null(&array, i), row == NO_ID);
            if (row != NO_ID) CHECK(large_string_is(&array, i, written[row]));
        }
        CHECK(array.null_count == (first <= NO_ID) || array.null_count == -1);
        array.release(&array);
    }
    CHECK_STATUS(rds_reader_id(reader, NO_ID, &id, &length), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE("rds_reader_id: the id of row 12 is null");
    CHECK(id == NULL && length == 0);
    CHECK_OK(rds_reader_find(reader, &ids, found, counts));
    CHECK(found[0] == RDS_ROW_NONE && found[1] == RDS_ROW_NONE && found[2] == RDS_ROW_NONE);
    CHECK(found[3] == 13 && found[4] == 18 && counts[3] == 1 && counts[0] == 0);
    CHECK_OK(rds_reader_close(reader));
}

static void check_eight_rows(rds_reader *reader, uint64_t mapped, const char *ids_format) {
    struct ArrowSchema schema;
    CHECK_NUMBER(table_info(reader).rows, 8);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, mapped);
    for (uint64_t row = 0; row < 8; row++) CHECK(table_row_is(reader, row, row));
    if (CHECK_OK(rds_reader_schema(reader, NULL, &schema))) {
        CHECK_TEXT(schema.children[0]->format, ids_format);
        schema.release(&schema);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_older_file_format_is_mapped_too) {
    check_eight_rows(open_table("version20", RDS_ACCESS_AUTO), 8, "u");
    check_eight_rows(open_table("version20", RDS_ACCESS_MAPPED), 8, "u");
    check_eight_rows(open_table("version20", RDS_ACCESS_LANCE), 0, "u");
}

TEST(packed_rows_and_ids_of_another_type_are_read_through_lance) {
    check_eight_rows(open_table("packed", RDS_ACCESS_AUTO), 0, "U");
    check_eight_rows(open_table("packed", RDS_ACCESS_LANCE), 0, "U");
}

CHECK_MAIN(RUN(only_rows_that_lie_plain_are_mapped),
           RUN(a_reader_that_must_map_refuses_such_a_table),
           RUN(every_range_across_mapped_and_other_rows), RUN(a_gather_mixes_mapped_and_other_rows),
           RUN(tensors_are_shared_within_a_span_and_copied_across), RUN(arrow_shows_what_is_null),
           RUN(an_id_that_is_null_is_null_or_refused_and_never_found),
           RUN(an_older_file_format_is_mapped_too),
           RUN(packed_rows_and_ids_of_another_type_are_read_through_lance))
