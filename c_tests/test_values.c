/* Inbound enums, flags and limits: what is not known is refused, and nothing happens then. */
#include "table.h"

TEST(an_unknown_write_mode_or_durability_is_refused) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    const uint32_t modes[] = {4, 5, 1000, UINT32_MAX}, durabilities[] = {3, 4, 1000, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        options.mode = modes[i];
        CHECK_STATUS(rds_writer_open(path.text, &options, &writer), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("options.mode is ");
        options.mode = RDS_MODE_OVERWRITE;
        options.durability = durabilities[i];
        CHECK_STATUS(rds_writer_open(path.text, &options, &writer), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("options.durability is ");
        CHECK(writer == NULL);
    }
    CHECK_NUMBER(table_rows(path.text), -1);
}

TEST(an_unknown_mode_or_flag_of_a_commit_or_a_vacuum_is_refused) {
    check_path_text path = check_path();
    const uint32_t modes[] = {RDS_MODE_STAGED, 4, UINT32_MAX};
    rds_commit_staged_options staged = RDS_COMMIT_STAGED_OPTIONS_INIT;
    rds_pack_parts_options pack = RDS_PACK_PARTS_OPTIONS_INIT;
    rds_vacuum_options vacuum = RDS_VACUUM_OPTIONS_INIT;
    rds_commit_options commit = RDS_COMMIT_OPTIONS_INIT;
    table_make(path.text, 1);
    for (size_t i = 0; i < 3; i++) {
        staged.mode = modes[i];
        CHECK_STATUS(rds_commit_staged(path.text, NULL, 0, &staged, NULL),
                     RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("options.mode is ");
    }
    staged.mode = RDS_MODE_APPEND;
    staged.flags = 1;
    CHECK_STATUS(rds_commit_staged(path.text, NULL, 0, &staged, NULL), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("options.flags is 0x1");
    for (size_t i = 0; i < 3; i++) {
        pack.mode = modes[i];
        CHECK_STATUS(rds_pack_parts(path.text, "job", NULL, 0, &pack, NULL), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("options.mode is ");
    }
    pack.mode = RDS_MODE_APPEND, pack.flags = 1u << 31;
    CHECK_STATUS(rds_pack_parts(path.text, "job", NULL, 0, &pack, NULL), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("options.flags is 0x80000000");
    vacuum.flags = RDS_VACUUM_DRY_RUN | 4;
    CHECK_STATUS(rds_vacuum(path.text, &vacuum, NULL), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("options.flags is 0x5");
    vacuum.flags = 0;
    vacuum.reserved = 1;
    CHECK_STATUS(rds_vacuum(path.text, &vacuum, NULL), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("options.reserved is 0x1");
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 1, 1));
    commit.flags = 2;
    CHECK_STATUS(rds_commit(writer, &commit, NULL), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("options.flags is 0x2");
    commit.flags = 0;
    commit.reserved = 8;
    CHECK_STATUS(rds_commit(writer, &commit, NULL), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("options.reserved is 0x8");
    CHECK_OK(rds_writer_close(writer));
    /* Nothing was committed by any of it. */
    CHECK_NUMBER(table_rows(path.text), 1);
}

TEST(a_share_is_one_of_their_number) {
    check_path_text path = check_path();
    const uint64_t wrong[][2] = {{1, 0}, {1, 1}, {2, 2}, {UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX}, {7, 3}};
    rds_pack_parts_options options = RDS_PACK_PARTS_OPTIONS_INIT;
    rds_error error = RDS_ERROR_INIT;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options.share = wrong[i][0], options.shares = wrong[i][1];
        CHECK_STATUS(rds_pack_parts(path.text, "job", NULL, 0, &options, NULL), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("rds_pack_parts: options.share is ");
        CHECK_OK(rds_last_error(&error));
        CHECK_NUMBER(error.argument, 4);
    }
    options.share = UINT64_MAX - 1, options.shares = UINT64_MAX;
    CHECK_OK(rds_pack_parts(path.text, "job", NULL, 0, &options, NULL));
    /* Nothing was made. */
    CHECK(access(path.text, F_OK) != 0);
}

/* What is wrong with ids and tensor of a call that would write one row otherwise. */
static void check_refused(rds_writer *writer, rds_ids ids, rds_tensor tensor, rds_status status,
                          const char *part) {
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), status);
    CHECK_MESSAGE_HAS(part);
}

TEST(unknown_values_in_ids_and_tensors_are_refused_by_name) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    const int64_t number = 1, shape[1] = {1};
    const float value = 1;
    const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 1, shape, &value);
    const uint32_t kinds[] = {0, 8, UINT32_MAX}, dtypes[] = {0, 24, 255, UINT32_MAX};
    rds_ids bad_ids;
    rds_tensor bad_tensor;

    for (size_t i = 0; i < 3; i++) {
        bad_ids = ids;
        bad_ids.kind = kinds[i];
        check_refused(writer, bad_ids, tensor, RDS_ERR_INVALID_ARGUMENT, "ids.kind is ");
    }
    for (size_t i = 0; i < 4; i++) {
        bad_tensor = tensor;
        bad_tensor.dtype = dtypes[i];
        check_refused(writer, ids, bad_tensor, RDS_ERR_INVALID_ARGUMENT, "tensors[0]: dtype is ");
    }
    bad_ids = ids;
    bad_ids.flags = 1;
    check_refused(writer, bad_ids, tensor, RDS_ERR_NOT_SUPPORTED, "ids.flags is 0x1");
    bad_tensor = tensor;
    bad_tensor.flags = 2;
    check_refused(writer, ids, bad_tensor, RDS_ERR_NOT_SUPPORTED, "tensors[0]: flags is 0x2");
    bad_ids = ids;
    bad_ids.count = UINT64_MAX;
    check_refused(writer, bad_ids, tensor, RDS_ERR_INVALID_ARGUMENT, "ids.count is ");
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK_OK(rds_writer_close(writer));
}

TEST(impossible_shapes_are_refused) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    const int64_t number = 1;
    const double value = 1;
    const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    const int64_t shapes[][3] = {{1, 0, 2},         {1, -1, 2},        {1, 2, INT64_MIN},
                                 {-1, 1, 1},        {INT64_MIN, 1, 1}, {1, INT64_MAX, INT64_MAX},
                                 {1, INT32_MAX, 2}, {INT64_MAX, 1, 1}, {1 << 30, 1 << 30, 1 << 30}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, 3, shapes[i], &value);
        check_refused(writer, ids, tensor, RDS_ERR_INVALID_ARGUMENT, "rds_write_tensors: ");
    }
    int64_t ones[RDS_MAX_NDIM + 2];
    for (int i = 0; i < RDS_MAX_NDIM + 2; i++) ones[i] = 1;
    const uint64_t ndims[] = {0, RDS_MAX_NDIM + 2, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, ndims[i], ones, &value);
        check_refused(writer, ids, tensor, RDS_ERR_INVALID_ARGUMENT, "tensors[0]: ndim is ");
    }
    const rds_tensor most = tensor_of(RDS_DTYPE_FLOAT64, RDS_MAX_NDIM + 1, ones, &value);
    CHECK_OK(rds_write_tensors(writer, &ids, &most, 1));
    CHECK_OK(rds_writer_close(writer));
}

TEST(strides_that_overflow_are_refused) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    const int64_t numbers[2] = {1, 2}, shape[2] = {2, 2};
    const float values[4] = {0};
    const rds_ids ids = ids_of(RDS_IDS_INT64, 2, numbers);
    const int64_t strides[][2] = {{INT64_MAX, 4}, {INT64_MIN, 4}, {8, INT64_MAX},
                                  {INT64_MAX, INT64_MAX}, {INT64_MIN, INT64_MIN}};
    for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++) {
        rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
        tensor.strides = strides[i];
        check_refused(writer, ids, tensor, RDS_ERR_INVALID_ARGUMENT, "rds_write_tensors: ");
    }
    CHECK_OK(rds_writer_close(writer));
}

TEST(unknown_columns_and_flags_of_reads_are_refused) {
    check_path_text path = check_path();
    table_make(path.text, 2);
    rds_reader *reader = table_reader(path.text);
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    const uint64_t row = 0;
    struct ArrowSchema schema;
    const uint32_t columns[] = {1, 8, 7, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
        rds_select_options chosen = RDS_SELECT_OPTIONS_INIT;
        options.columns = chosen.columns = &columns[i];
        options.column_count = chosen.column_count = 1;
        CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_take(reader, &row, 1, &chosen, NULL, &array),
                     RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_schema(reader, &chosen, &schema), RDS_ERR_INVALID_ARGUMENT);
    }
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    rds_select_options chosen = RDS_SELECT_OPTIONS_INIT;
    const uint32_t flags[] = {8, 9, 16, 512, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < 6; i++) {
        options.flags = chosen.flags = flags[i];
        CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("options.flags is 0x");
        CHECK_STATUS(rds_reader_take(reader, &row, 1, &chosen, NULL, &array), RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("options.flags is 0x");
        CHECK_STATUS(rds_reader_schema(reader, &chosen, &schema), RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("options.flags is 0x");
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(row_ranges_beyond_the_table_are_refused) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    struct ArrowArrayStream stream;
    const uint64_t ranges[][2] = {{6, 0}, {0, 6}, {5, 1}, {4, 2}, {UINT64_MAX, 1},
                                  {1, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
        options.first_row = ranges[i][0];
        options.row_count = ranges[i][1];
        CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_OUT_OF_RANGE);
        CHECK(stream.release == NULL);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_unknown_log_level_is_refused) {
    CHECK_STATUS(rds_set_log_callback(RDS_LOG_TRACE + 1, NULL, NULL), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("level is 6");
    CHECK_STATUS(rds_set_log_callback(UINT32_MAX, NULL, NULL), RDS_ERR_INVALID_ARGUMENT);
}

TEST(null_within_ids_and_tensors) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    const char *names[2] = {"a", NULL};
    float values[2] = {1, 2};
    int64_t shape[1] = {2};
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 1, shape, values);

    for (uint32_t kind = RDS_IDS_UTF8; kind <= RDS_IDS_STRINGS; kind++) {
        rds_ids ids = ids_of(kind, 2, NULL);
        ids.item_bytes = kind == RDS_IDS_NUMPY_S || kind == RDS_IDS_NUMPY_U ? 4 : 0;
        CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("is NULL");
    }
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 2, names);
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_write_tensors: ids.data[1] is NULL");
    const rds_string strings[2] = {{"a", 1}, {NULL, 1}};
    const rds_ids of_strings = ids_of(RDS_IDS_STRINGS, 2, strings);
    CHECK_STATUS(rds_write_tensors(writer, &of_strings, &tensor, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_write_tensors: ids.data[1]");
    CHECK_MESSAGE_HAS("NULL");
    names[1] = "b";
    tensor.shape = NULL;
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_write_tensors: tensors[0]: shape is NULL");
    tensor.shape = shape;
    tensor.data = NULL;
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_write_tensors: tensors[0]: data is NULL");
    CHECK_OK(rds_writer_close(writer));
}

CHECK_MAIN(RUN(null_within_ids_and_tensors), RUN(an_unknown_write_mode_or_durability_is_refused),
           RUN(an_unknown_mode_or_flag_of_a_commit_or_a_vacuum_is_refused), RUN(a_share_is_one_of_their_number),
           RUN(unknown_values_in_ids_and_tensors_are_refused_by_name),
           RUN(impossible_shapes_are_refused), RUN(strides_that_overflow_are_refused),
           RUN(unknown_columns_and_flags_of_reads_are_refused),
           RUN(row_ranges_beyond_the_table_are_refused), RUN(an_unknown_log_level_is_refused))
