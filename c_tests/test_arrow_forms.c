/* The forms of Arrow batch that a writer takes beside the plain one. */
#include "arrow_batch.h"

/* Writes one batch to a new table and opens it. */
static rds_reader *write_one(arrow_batch *batch) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(batch_write(writer, batch));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(batch->array_released[NODE_ROOT], 1);
    return table_reader(path.text);
}

static void check_id(const rds_reader *reader, uint64_t row, const char *expected) {
    const char *id = NULL;
    size_t length = 0;
    char text[64] = "";
    REQUIRE(CHECK_OK(rds_reader_id(reader, row, &id, &length)));
    REQUIRE(CHECK(length < sizeof text));
    memcpy(text, id, length);
    CHECK_TEXT(text, expected);
}

TEST(columns_may_come_in_any_order) {
    arrow_batch *batch = batch_new(0);
    for (int i = 0; i < 2; i++) {
        batch->schema_children[i] = &batch->schema[NODE_DATA - i];
        batch->array_children[i] = &batch->array[NODE_DATA - i];
    }
    rds_reader *reader = write_one(batch);
    for (uint64_t row = 0; row < BATCH_ROWS; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
    batch_free(batch);
}

TEST(a_slice_of_an_array_is_written_as_what_it_shows) {
    arrow_batch *batch = batch_new(0);
    batch->array[NODE_ROOT].offset = 1;
    batch->array[NODE_ROOT].length = BATCH_ROWS - 1;
    rds_reader *reader = write_one(batch);
    CHECK_NUMBER(table_info(reader).rows, BATCH_ROWS - 1);
    CHECK(table_row_is(reader, 0, 1) && table_row_is(reader, 1, 2));
    CHECK_OK(rds_reader_close(reader));
    batch_free(batch);
}

TEST(offsets_of_children_count) {
    arrow_batch *batch = batch_new(0);
    batch->array[NODE_ROOT].length = 1;
    batch->array[NODE_IDS].length = batch->array[NODE_DATA].length = 1;
    batch->array[NODE_IDS].offset = 2;
    batch->array[NODE_DATA].offset = 1;
    batch->array[NODE_ITEMS].offset = BATCH_WIDTH;
    batch->array[NODE_ITEMS].length = (BATCH_ROWS - 1) * BATCH_WIDTH;
    rds_reader *reader = write_one(batch);
    CHECK_NUMBER(table_info(reader).rows, 1);
    CHECK(table_row_is(reader, 0, 2));
    CHECK_OK(rds_reader_close(reader));
    batch_free(batch);
}

TEST(an_empty_batch_does_nothing) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    arrow_batch *batch = batch_new(0);
    batch->array[NODE_ROOT].length = 0;
    CHECK_OK(batch_write(writer, batch));
    CHECK_OK(rds_writer_close(writer));
    batch_check_released(batch);
    CHECK_NUMBER(table_rows(path.text), -1);
    batch_free(batch);
}

TEST(ids_may_be_large_strings_and_binary) {
    static const char *const formats[] = {"U", "z", "Z"};
    for (int i = 0; i < 3; i++) {
        arrow_batch *batch = batch_new(0);
        const int64_t offsets[] = {0, 4, 8, 12};
        batch->schema[NODE_IDS].format = formats[i];
        if (formats[i][0] != 'z') batch->buffers[NODE_IDS][1] = offsets;
        rds_reader *reader = write_one(batch);
        for (uint64_t row = 0; row < BATCH_ROWS; row++) CHECK(table_row_is(reader, row, row));
        CHECK_OK(rds_reader_close(reader));
        batch_free(batch);
    }
}

TEST(ids_may_be_string_views) {
    /* A view: its length, then up to 12 bytes in place. */
    struct {
        int32_t length;
        char text[12];
    } views[BATCH_ROWS] = {{4, "id-0"}, {4, "id-1"}, {4, "id-2"}};
    const int64_t variadic_sizes[1] = {0};
    arrow_batch *batch = batch_new(0);
    batch->schema[NODE_IDS].format = "vu";
    batch->buffers[NODE_IDS][1] = views;
    batch->buffers[NODE_IDS][2] = variadic_sizes;
    rds_reader *reader = write_one(batch);
    for (uint64_t row = 0; row < BATCH_ROWS; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
    batch_free(batch);
}

TEST(ids_may_be_integers_of_every_width) {
    const int8_t c[] = {-1, 0, 7};
    const uint8_t C[] = {255, 0, 7};
    const int16_t s[] = {-300, 0, 7};
    const uint16_t S[] = {60000, 0, 7};
    const int32_t i[] = {INT32_MIN, 0, 7};
    const uint32_t I[] = {UINT32_MAX, 0, 7};
    const int64_t l[] = {INT64_MIN, 0, 7};
    const uint64_t L[] = {UINT64_MAX, 0, 7};
    const struct {
        const char *format;
        const void *values;
        const char *first;
    } kinds[] = {{"c", c, "-1"},          {"C", C, "255"},
                 {"s", s, "-300"},        {"S", S, "60000"},
                 {"i", i, "-2147483648"}, {"I", I, "4294967295"},
                 {"l", l, "-9223372036854775808"}, {"L", L, "18446744073709551615"}};
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        arrow_batch *batch = batch_new(0);
        batch->schema[NODE_IDS].format = kinds[kind].format;
        batch->array[NODE_IDS].n_buffers = 2;
        batch->buffers[NODE_IDS][1] = kinds[kind].values;
        rds_reader *reader = write_one(batch);
        check_id(reader, 0, kinds[kind].first);
        check_id(reader, 1, "0");
        check_id(reader, 2, "7");
        CHECK_OK(rds_reader_close(reader));
        batch_free(batch);
    }
}

static void check_shape(const rds_reader *reader, uint32_t ndim, int64_t first, int64_t second) {
    rds_column_info info = column_info(reader, 0);
    CHECK_NUMBER(info.ndim, ndim);
    CHECK_NUMBER(info.shape[0], first);
    CHECK_NUMBER(info.shape[1], second);
    CHECK_NUMBER(info.row_bytes, BATCH_WIDTH * sizeof(float));
    CHECK_TEXT(info.dtype_name, "float32");
}

TEST(the_shape_is_the_length_of_the_list_where_nothing_else_says_it) {
    arrow_batch *batch = batch_new(0);
    rds_reader *reader = write_one(batch);
    check_shape(reader, 1, 4, 0);
    CHECK_OK(rds_reader_close(reader));
    batch_free(batch);
}

TEST(the_shape_is_that_of_the_schema_metadata) {
    static const char *const texts[] = {"tensor_shape", "[2, 2]", "tensor_dtype", "float32"};
    char room[128];
    arrow_batch *batch = batch_new(0);
    batch->schema[NODE_ROOT].metadata = batch_metadata(room, 2, texts);
    rds_reader *reader = write_one(batch);
    check_shape(reader, 2, 2, 2);
    CHECK_OK(rds_reader_close(reader));
    batch_free(batch);
}

TEST(the_shape_is_that_of_a_fixed_shape_tensor) {
    static const char *const texts[] = {"ARROW:extension:name", "arrow.fixed_shape_tensor",
                                        "ARROW:extension:metadata", "{\"shape\": [1, 4]}"};
    char room[160];
    arrow_batch *batch = batch_new(0);
    batch->schema[NODE_DATA].metadata = batch_metadata(room, 2, texts);
    rds_reader *reader = write_one(batch);
    check_shape(reader, 2, 1, 4);
    CHECK_OK(rds_reader_close(reader));
    batch_free(batch);
}

static void check_metadata_refused(int node, const char *const *texts, rds_status status) {
    char room[160];
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_batch *batch = batch_new(0);
    batch->schema[node].metadata = batch_metadata(room, 2, texts);
    CHECK_STATUS(batch_write(writer, batch), status);
    batch_check_released(batch);
    CHECK_OK(rds_writer_close(writer));
    batch_free(batch);
}

TEST(metadata_that_does_not_fit_the_data_is_refused) {
    static const char *const wrong[][4] = {
        {"tensor_shape", "[5]", "tensor_dtype", "float32"},
        {"tensor_shape", "[4]", "tensor_dtype", "float64"},
        {"tensor_shape", "[-4]", "tensor_dtype", "float32"},
        {"tensor_shape", "four", "tensor_dtype", "float32"}};
    static const char *const unknown[] = {"tensor_shape", "[4]", "tensor_dtype", "float8"};
    static const char *const tensor[] = {"ARROW:extension:name", "arrow.fixed_shape_tensor",
                                         "ARROW:extension:metadata", "{\"shape\": [5]}"};
    for (int i = 0; i < 4; i++) {
        check_metadata_refused(NODE_ROOT, wrong[i], RDS_ERR_SCHEMA_MISMATCH);
    }
    check_metadata_refused(NODE_ROOT, unknown, RDS_ERR_NOT_SUPPORTED);
    check_metadata_refused(NODE_DATA, tensor, RDS_ERR_SCHEMA_MISMATCH);
}

CHECK_MAIN(RUN(columns_may_come_in_any_order), RUN(a_slice_of_an_array_is_written_as_what_it_shows),
           RUN(offsets_of_children_count), RUN(an_empty_batch_does_nothing),
           RUN(ids_may_be_large_strings_and_binary), RUN(ids_may_be_string_views),
           RUN(ids_may_be_integers_of_every_width),
           RUN(the_shape_is_the_length_of_the_list_where_nothing_else_says_it),
           RUN(the_shape_is_that_of_the_schema_metadata),
           RUN(the_shape_is_that_of_a_fixed_shape_tensor),
           RUN(metadata_that_does_not_fit_the_data_is_refused))
