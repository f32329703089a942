/* NULL for every pointer of every function: an error with a message, or what the header allows.
 * run.py hands over the pointers that the header declares, so that none is forgotten. */
#include "null_sweep.h"

TEST(functions_without_pointers_return_something) {
    CALLED(rds_version, strlen(rds_version()) > 0);
    CALLED(rds_build_info, strlen(rds_build_info()) > 0);
    CALLED(rds_abi_version, rds_abi_version() > 0);
    CALLED(rds_check_abi, rds_check_abi(RDS_ABI_VERSION) == RDS_OK);
    CALLED(rds_last_error_message, rds_last_error_message() != NULL);
    CALLED(rds_last_error_status, rds_last_error_status() <= RDS_ERR_STREAM);
    CALLED(rds_status_name, rds_status_name(0) != NULL);
}

TEST(null_to_the_function_that_tells_the_last_error) {
    rds_error error = RDS_ERROR_INIT;
    SWEEP(rds_last_error, out_error, RDS_ERR_INVALID_ARGUMENT, (NULL));
    CHECK_OK(rds_last_error(&error));
    CHECK_NUMBER(error.argument, 0);
}

TEST(null_is_a_default_where_the_library_is_configured) {
    SWEEP(rds_runtime_configure, options, RDS_OK, (NULL));
    SWEEP(rds_set_log_callback, callback, RDS_OK, (RDS_LOG_TRACE, NULL, &seen_count));
    SWEEP(rds_set_log_callback, user_data, RDS_OK, (RDS_LOG_OFF, NULL, NULL));
}

TEST(null_to_functions_that_write) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_commit_options commit = RDS_COMMIT_OPTIONS_INIT;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    const char *name = "a";
    float value = 1;
    int64_t one = 1;
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 1, &one, &value);
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};

    SWEEP(rds_writer_open, path, RDS_ERR_INVALID_ARGUMENT, (NULL, &options, &writer));
    SWEEP(rds_writer_open, out_writer, RDS_ERR_INVALID_ARGUMENT, (path.text, &options, NULL));
    SWEEP(rds_writer_open, options, RDS_OK, (path.text, NULL, &writer));
    SWEEP(rds_write_tensors, writer, RDS_ERR_INVALID_HANDLE, (NULL, &ids, &tensor, 1));
    SWEEP(rds_write_tensors, ids, RDS_ERR_INVALID_ARGUMENT, (writer, NULL, &tensor, 1));
    SWEEP(rds_write_tensors, tensors, RDS_ERR_INVALID_ARGUMENT, (writer, &ids, NULL, 1));
    SWEEP(rds_write_batch, writer, RDS_ERR_INVALID_HANDLE, (NULL, &schema, &array));
    SWEEP(rds_write_batch, schema, RDS_ERR_INVALID_ARGUMENT, (writer, NULL, &array));
    SWEEP(rds_write_batch, array, RDS_ERR_INVALID_ARGUMENT, (writer, &schema, NULL));
    SWEEP(rds_flush, writer, RDS_ERR_INVALID_HANDLE, (NULL));
    SWEEP(rds_commit, writer, RDS_ERR_INVALID_HANDLE, (NULL, &commit, &info));
    SWEEP(rds_commit, options, RDS_OK, (writer, NULL, &info));
    SWEEP(rds_commit, out_info, RDS_OK, (writer, &commit, NULL));
    SWEEP(rds_writer_stats, writer, RDS_ERR_INVALID_HANDLE, (NULL, &stats));
    SWEEP(rds_writer_stats, out_stats, RDS_ERR_INVALID_ARGUMENT, (writer, NULL));
    SWEEP(rds_writer_abort, writer, RDS_ERR_INVALID_HANDLE, (NULL));
    SWEEP(rds_writer_close, writer, RDS_ERR_INVALID_HANDLE, (NULL));
    CHECK_OK(rds_writer_close(writer));
}

TEST(null_to_the_function_that_writes_streams) {
    check_path_text source = check_path(), target = check_path();
    rds_write_stream_options options = RDS_WRITE_STREAM_OPTIONS_INIT;
    uint64_t rows = 0;
    struct ArrowArrayStream streams[4];
    table_make(source.text, 3);
    rds_reader *reader = table_reader(source.text);
    for (int i = 0; i < 4; i++) CHECK_OK(rds_reader_stream(reader, NULL, &streams[i]));
    rds_writer *writer = table_writer(target.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    SWEEP(rds_write_stream, writer, RDS_ERR_INVALID_HANDLE, (NULL, &streams[0], &options, &rows));
    SWEEP(rds_write_stream, stream, RDS_ERR_INVALID_ARGUMENT, (writer, NULL, &options, &rows));
    SWEEP(rds_write_stream, options, RDS_OK, (writer, &streams[1], NULL, &rows));
    SWEEP(rds_write_stream, out_rows, RDS_OK, (writer, &streams[2], &options, NULL));
    for (int i = 0; i < 3; i++) CHECK(streams[i].release == NULL);
    streams[3].release(&streams[3]);
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
}

TEST(null_to_functions_that_stage_and_clean) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_COMMIT);
    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_vacuum_options vacuum = RDS_VACUUM_OPTIONS_INIT;
    rds_vacuum_info removed = RDS_VACUUM_INFO_INIT;
    rds_recover_options recover = RDS_RECOVER_OPTIONS_INIT;
    rds_recover_info recovered = RDS_RECOVER_INFO_INIT;
    rds_token token = {NULL, 0};
    CHECK_OK(table_write(writer, 0, 1));
    SWEEP(rds_writer_stage, writer, RDS_ERR_INVALID_HANDLE, (NULL, &token));
    SWEEP(rds_writer_stage, out_token, RDS_ERR_INVALID_ARGUMENT, (writer, NULL));
    CHECK(token.data == NULL && token.length == 0);
    CHECK_OK(rds_writer_stage(writer, &token));
    const rds_token missing = {NULL, token.length};
    SWEEP(rds_commit_staged, path, RDS_ERR_INVALID_ARGUMENT, (NULL, &token, 1, &options, &info));
    SWEEP(rds_commit_staged, tokens, RDS_ERR_INVALID_ARGUMENT, (path.text, NULL, 1, &options, &info));
    CHECK_STATUS(rds_commit_staged(path.text, &missing, 1, &options, &info),
                 RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("tokens[0].data");
    SWEEP(rds_commit_staged, options, RDS_OK, (path.text, &token, 1, NULL, &info));
    CHECK_OK(rds_writer_stage(writer, &token));
    options.mode = RDS_MODE_APPEND;
    SWEEP(rds_commit_staged, out_info, RDS_OK, (path.text, &token, 1, &options, NULL));
    SWEEP(rds_vacuum, path, RDS_ERR_INVALID_ARGUMENT, (NULL, &vacuum, &removed));
    SWEEP(rds_vacuum, options, RDS_OK, (path.text, NULL, &removed));
    SWEEP(rds_vacuum, out_info, RDS_OK, (path.text, &vacuum, NULL));
    SWEEP(rds_recover, path, RDS_ERR_INVALID_ARGUMENT, (NULL, &recover, &recovered));
    SWEEP(rds_recover, options, RDS_OK, (path.text, NULL, &recovered));
    SWEEP(rds_recover, out_info, RDS_OK, (path.text, &recover, NULL));
    CHECK_OK(rds_writer_close(writer));
}

static int tell_nothing(void *user, const char *job, uint64_t first, uint64_t last, const rds_token *token) {
    return (void)user, (void)job, (void)first, (void)last, (void)token, 0;
}

TEST(null_to_functions_of_parts) {
    check_path_text path = check_path();
    const rds_token missing = {NULL, 4};
    rds_pack_parts_options options = RDS_PACK_PARTS_OPTIONS_INIT;
    uint64_t rows = 9;
    table_make(path.text, 1);
    SWEEP(rds_pack_parts, path, RDS_ERR_INVALID_ARGUMENT, (NULL, "job", &missing, 0, &options, &rows));
    CHECK_NUMBER(rows, 0);
    SWEEP(rds_pack_parts, job, RDS_ERR_INVALID_ARGUMENT, (path.text, NULL, &missing, 0, &options, &rows));
    SWEEP(rds_pack_parts, tokens, RDS_ERR_INVALID_ARGUMENT, (path.text, "job", NULL, 1, &options, &rows));
    CHECK_STATUS(rds_pack_parts(path.text, "job", &missing, 1, &options, &rows), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("tokens[0].data");
    SWEEP(rds_pack_parts, options, RDS_OK, (path.text, "job", NULL, 0, NULL, &rows));
    SWEEP(rds_pack_parts, out_rows, RDS_OK, (path.text, "job", NULL, 0, &options, NULL));
    SWEEP(rds_list_parts, path, RDS_ERR_INVALID_ARGUMENT, (NULL, "job", &rows, tell_nothing, &rows));
    SWEEP(rds_list_parts, job, RDS_OK, (path.text, NULL, &rows, tell_nothing, &rows));
    SWEEP(rds_list_parts, part, RDS_OK, (path.text, "job", NULL, tell_nothing, &rows));
    SWEEP(rds_list_parts, each, RDS_ERR_INVALID_ARGUMENT, (path.text, "job", &rows, NULL, &rows));
    SWEEP(rds_list_parts, user_data, RDS_OK, (path.text, "job", &rows, tell_nothing, NULL));
}

TEST(null_to_functions_that_open) {
    check_path_text path = check_path();
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    rds_stream_options stream_options = RDS_STREAM_OPTIONS_INIT;
    rds_table_info info = RDS_TABLE_INFO_INIT;
    rds_column_info column_info = RDS_COLUMN_INFO_INIT;
    rds_select_options select = RDS_SELECT_OPTIONS_INIT;
    rds_reader *other = NULL;
    struct ArrowSchema schema;
    struct ArrowArrayStream stream;
    uint32_t changed = 0, column = 0;

    table_make(path.text, 3);
    SWEEP(rds_reader_open, path, RDS_ERR_INVALID_ARGUMENT, (NULL, &options, &reader));
    SWEEP(rds_reader_open, out_reader, RDS_ERR_INVALID_ARGUMENT, (path.text, &options, NULL));
    SWEEP(rds_reader_open, options, RDS_OK, (path.text, NULL, &reader));
    SWEEP(rds_reader_info, reader, RDS_ERR_INVALID_HANDLE, (NULL, &info));
    SWEEP(rds_reader_info, out_info, RDS_ERR_INVALID_ARGUMENT, (reader, NULL));
    SWEEP(rds_reader_column, reader, RDS_ERR_INVALID_HANDLE, (NULL, "data", &column));
    SWEEP(rds_reader_column, name, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, &column));
    SWEEP(rds_reader_column, out_column, RDS_ERR_INVALID_ARGUMENT, (reader, "data", NULL));
    SWEEP(rds_reader_column_info, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, &column_info));
    SWEEP(rds_reader_column_info, out_info, RDS_ERR_INVALID_ARGUMENT, (reader, 0, NULL));
    SWEEP(rds_reader_clone, reader, RDS_ERR_INVALID_HANDLE, (NULL, &other));
    SWEEP(rds_reader_clone, out_reader, RDS_ERR_INVALID_ARGUMENT, (reader, NULL));
    SWEEP(rds_reader_schema, reader, RDS_ERR_INVALID_HANDLE, (NULL, &select, &schema));
    SWEEP(rds_reader_schema, out_schema, RDS_ERR_INVALID_ARGUMENT, (reader, &select, NULL));
    SWEEP(rds_reader_schema, options, RDS_OK, (reader, NULL, &schema));
    if (schema.release) schema.release(&schema);
    SWEEP(rds_reader_stream, reader, RDS_ERR_INVALID_HANDLE, (NULL, &stream_options, &stream));
    SWEEP(rds_reader_stream, out_stream, RDS_ERR_INVALID_ARGUMENT, (reader, &stream_options, NULL));
    SWEEP(rds_reader_stream, options, RDS_OK, (reader, NULL, &stream));
    if (stream.release) stream.release(&stream);
    SWEEP(rds_reader_refresh, reader, RDS_ERR_INVALID_HANDLE, (NULL, &changed));
    SWEEP(rds_reader_refresh, out_changed, RDS_OK, (reader, NULL));
    SWEEP(rds_reader_close, reader, RDS_ERR_INVALID_HANDLE, (NULL));
    CHECK_OK(rds_reader_close(reader));
}

TEST(null_to_functions_that_tell_of_the_table) {
    check_path_text path = check_path();
    rds_string key = {NULL, 0}, value = {NULL, 0};
    rds_version_info version = RDS_VERSION_INFO_INIT;
    const rds_metadata said = {"model", "cnn-7"};
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_writer *writer = NULL;
    uint64_t count = 0;

    options.metadata = &said, options.metadata_count = 1;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    CHECK_OK(table_write(writer, 0, 1));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    SWEEP(rds_reader_metadata, reader, RDS_ERR_INVALID_HANDLE, (NULL, "model", &value));
    SWEEP(rds_reader_metadata, key, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, &value));
    SWEEP(rds_reader_metadata, out_value, RDS_ERR_INVALID_ARGUMENT, (reader, "model", NULL));
    SWEEP(rds_reader_metadata_at, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, &key, &value));
    SWEEP(rds_reader_metadata_at, out_key, RDS_ERR_INVALID_ARGUMENT, (reader, 0, NULL, &value));
    SWEEP(rds_reader_metadata_at, out_value, RDS_ERR_INVALID_ARGUMENT, (reader, 0, &key, NULL));
    SWEEP(rds_reader_versions, reader, RDS_ERR_INVALID_HANDLE, (NULL, &version, 1, &count));
    SWEEP(rds_reader_versions, out_versions, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, 1, &count));
    SWEEP(rds_reader_versions, out_count, RDS_ERR_INVALID_ARGUMENT, (reader, &version, 1, NULL));
    CHECK_OK(rds_reader_versions(reader, NULL, 0, &count));
    CHECK_OK(rds_reader_close(reader));
}

TEST(null_to_functions_that_read_rows) {
    check_path_text path = check_path();
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct DLManagedTensorVersioned *tensor = NULL;
    rds_span span = RDS_SPAN_INIT;
    rds_select_options select = RDS_SELECT_OPTIONS_INIT;
    rds_rows rows = RDS_ROWS_INIT;
    rds_target target = RDS_TARGET_INIT;
    uint64_t row = 0;
    float values[TABLE_WIDTH];

    rows.count = 1;
    target.data = values, target.bytes = sizeof values;

    table_make(path.text, 3);
    rds_reader *reader = table_reader(path.text);
    SWEEP(rds_reader_get, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, 0, &array));
    SWEEP(rds_reader_get, out_array, RDS_ERR_INVALID_ARGUMENT, (reader, 0, 0, NULL));
    SWEEP(rds_reader_take, reader, RDS_ERR_INVALID_HANDLE, (NULL, &row, 1, &select, &schema, &array));
    SWEEP(rds_reader_take, rows, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, 1, &select, &schema, &array));
    SWEEP(rds_reader_take, out_array, RDS_ERR_INVALID_ARGUMENT, (reader, &row, 1, &select, &schema, NULL));
    CHECK(schema.release == NULL);
    SWEEP(rds_reader_take, out_schema, RDS_OK, (reader, &row, 1, &select, NULL, &array));
    if (array.release) array.release(&array);
    SWEEP(rds_reader_take, options, RDS_OK, (reader, &row, 1, NULL, &schema, &array));
    if (array.release) array.release(&array);
    if (schema.release) schema.release(&schema);
    SWEEP(rds_reader_gather, reader, RDS_ERR_INVALID_HANDLE, (NULL, &rows, &target, 1));
    SWEEP(rds_reader_gather, rows, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, &target, 1));
    SWEEP(rds_reader_gather, targets, RDS_ERR_INVALID_ARGUMENT, (reader, &rows, NULL, 1));
    SWEEP(rds_reader_read, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, &row, 1, values, sizeof values));
    SWEEP(rds_reader_read, rows, RDS_ERR_INVALID_ARGUMENT, (reader, 0, NULL, 1, values, sizeof values));
    SWEEP(rds_reader_read, out_data, RDS_ERR_INVALID_ARGUMENT, (reader, 0, &row, 1, NULL, sizeof values));
    SWEEP(rds_reader_read_range, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, 0, 1, values, sizeof values));
    SWEEP(rds_reader_read_range, out_data, RDS_ERR_INVALID_ARGUMENT, (reader, 0, 0, 1, NULL, sizeof values));
    SWEEP(rds_reader_span, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, 0, &span));
    SWEEP(rds_reader_span, out_span, RDS_ERR_INVALID_ARGUMENT, (reader, 0, 0, NULL));
    SWEEP(rds_reader_dlpack, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, 0, 1, &tensor));
    SWEEP(rds_reader_dlpack, out_tensor, RDS_ERR_INVALID_ARGUMENT, (reader, 0, 0, 1, NULL));
    CHECK_OK(rds_reader_close(reader));
}

TEST(null_to_functions_that_read_ids) {
    check_path_text path = check_path();
    struct ArrowSchema schema;
    struct ArrowArray array;
    uint64_t found = 0, count = 0;
    const char *name = "id-0", *id = NULL;
    size_t length = 0;
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name);

    table_make(path.text, 3);
    rds_reader *reader = table_reader(path.text);
    SWEEP(rds_reader_id, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, &id, &length));
    SWEEP(rds_reader_id, out_id, RDS_ERR_INVALID_ARGUMENT, (reader, 0, NULL, &length));
    SWEEP(rds_reader_id, out_length, RDS_ERR_INVALID_ARGUMENT, (reader, 0, &id, NULL));
    SWEEP(rds_reader_find, reader, RDS_ERR_INVALID_HANDLE, (NULL, &ids, &found, &count));
    SWEEP(rds_reader_find, ids, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, &found, &count));
    SWEEP(rds_reader_find, out_rows, RDS_ERR_INVALID_ARGUMENT, (reader, &ids, NULL, &count));
    SWEEP(rds_reader_find, out_counts, RDS_OK, (reader, &ids, &found, NULL));
    SWEEP(rds_reader_find_all, reader, RDS_ERR_INVALID_HANDLE, (NULL, name, 4, &found, 1, &count));
    SWEEP(rds_reader_find_all, id, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, 4, &found, 1, &count));
    SWEEP(rds_reader_find_all, out_rows, RDS_ERR_INVALID_ARGUMENT, (reader, name, 4, NULL, 1, &count));
    SWEEP(rds_reader_find_all, out_count, RDS_ERR_INVALID_ARGUMENT, (reader, name, 4, &found, 1, NULL));
    SWEEP(rds_reader_ids, reader, RDS_ERR_INVALID_HANDLE, (NULL, 0, 1, &schema, &array));
    SWEEP(rds_reader_ids, out_array, RDS_ERR_INVALID_ARGUMENT, (reader, 0, 1, &schema, NULL));
    CHECK(schema.release == NULL);
    SWEEP(rds_reader_ids, out_schema, RDS_OK, (reader, 0, 1, NULL, &array));
    if (array.release) array.release(&array);
    CHECK_OK(rds_reader_close(reader));
}

TEST(null_to_functions_that_load_batches) {
    check_path_text path = check_path();
    rds_loader *loader = NULL;
    rds_loader_options options = RDS_LOADER_OPTIONS_INIT, numbers = RDS_LOADER_OPTIONS_INIT;
    rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
    rds_load_stats stats = RDS_LOAD_STATS_INIT;
    rds_position position;
    int fd = 7;

    options.batch_rows = numbers.batch_rows = 2;
    numbers.row_count = 3, numbers.flags = RDS_LOADER_NO_TABLE;
    table_make(path.text, 3);
    rds_reader *reader = table_reader(path.text);
    SWEEP(rds_loader_open, reader, RDS_ERR_INVALID_HANDLE, (NULL, &options, &loader));
    SWEEP(rds_loader_open, options, RDS_ERR_INVALID_ARGUMENT, (reader, NULL, &loader));
    SWEEP(rds_loader_open, out_loader, RDS_ERR_INVALID_ARGUMENT, (reader, &options, NULL));
    CHECK_OK(rds_loader_open(NULL, &numbers, &loader));
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_loader_open(reader, &options, &loader));
    SWEEP(rds_loader_state, loader, RDS_ERR_INVALID_HANDLE, (NULL, &position));
    SWEEP(rds_loader_state, out_position, RDS_ERR_INVALID_ARGUMENT, (loader, NULL));
    CHECK_OK(rds_loader_state(loader, &position));
    SWEEP(rds_loader_seek, loader, RDS_ERR_INVALID_HANDLE, (NULL, &position, 0, 0));
    SWEEP(rds_loader_seek, position, RDS_OK, (loader, NULL, 0, 0));
    SWEEP(rds_loader_next, loader, RDS_ERR_INVALID_HANDLE, (NULL, &batch));
    SWEEP(rds_loader_next, out_batch, RDS_ERR_INVALID_ARGUMENT, (loader, NULL));
    SWEEP(rds_loader_release, loader, RDS_ERR_INVALID_HANDLE, (NULL, 0));
    SWEEP(rds_loader_stats, loader, RDS_ERR_INVALID_HANDLE, (NULL, &stats));
    SWEEP(rds_loader_stats, out_stats, RDS_ERR_INVALID_ARGUMENT, (loader, NULL));
    SWEEP(rds_loader_fd, loader, RDS_ERR_INVALID_HANDLE, (NULL, &fd));
    SWEEP(rds_loader_fd, out_fd, RDS_ERR_INVALID_ARGUMENT, (loader, NULL));
    SWEEP(rds_loader_close, loader, RDS_ERR_INVALID_HANDLE, (NULL));
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

TEST(outputs_are_emptied_by_a_failed_call) {
    rds_reader *reader = (rds_reader *)&seen_count;
    rds_writer *writer = (rds_writer *)&seen_count;
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    struct DLManagedTensorVersioned *tensor = (struct DLManagedTensorVersioned *)&seen_count;
    uint32_t changed = 77;
    const char *id = "left over";
    size_t length = 9;
    rds_token token = {(const uint8_t *)&length, 9};
    uint64_t row = 9;
    rds_reader_options reader_options = RDS_READER_OPTIONS_INIT;

    CHECK_STATUS(rds_reader_open(NULL, &reader_options, &reader), RDS_ERR_INVALID_ARGUMENT);
    CHECK(reader == NULL);
    CHECK_STATUS(rds_writer_open(NULL, NULL, &writer), RDS_ERR_INVALID_ARGUMENT);
    CHECK(writer == NULL);
    memset(&schema, 0xff, sizeof schema);
    CHECK_STATUS(rds_reader_schema(NULL, NULL, &schema), RDS_ERR_INVALID_HANDLE);
    CHECK(schema.release == NULL);
    memset(&schema, 0xff, sizeof schema);
    memset(&array, 0xff, sizeof array);
    CHECK_STATUS(rds_reader_take(NULL, &row, 1, NULL, &schema, &array), RDS_ERR_INVALID_HANDLE);
    CHECK(schema.release == NULL && array.release == NULL);
    memset(&array, 0xff, sizeof array);
    CHECK_STATUS(rds_reader_get(NULL, 0, 0, &array), RDS_ERR_INVALID_HANDLE);
    CHECK(array.release == NULL);
    memset(&stream, 0xff, sizeof stream);
    CHECK_STATUS(rds_reader_stream(NULL, NULL, &stream), RDS_ERR_INVALID_HANDLE);
    CHECK(stream.release == NULL);
    CHECK_STATUS(rds_reader_id(NULL, 0, &id, &length), RDS_ERR_INVALID_HANDLE);
    CHECK(id == NULL && length == 0);
    memset(&schema, 0xff, sizeof schema);
    memset(&array, 0xff, sizeof array);
    CHECK_STATUS(rds_reader_ids(NULL, 0, 0, &schema, &array), RDS_ERR_INVALID_HANDLE);
    CHECK(schema.release == NULL && array.release == NULL);
    CHECK_STATUS(rds_reader_dlpack(NULL, 0, 0, 0, &tensor), RDS_ERR_INVALID_HANDLE);
    CHECK(tensor == NULL);
    CHECK_STATUS(rds_reader_refresh(NULL, &changed), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(changed, 0);
    CHECK_STATUS(rds_writer_stage(NULL, &token), RDS_ERR_INVALID_HANDLE);
    CHECK(token.data == NULL && token.length == 0);
    reader = (rds_reader *)&seen_count;
    CHECK_STATUS(rds_reader_clone(NULL, &reader), RDS_ERR_INVALID_HANDLE);
    CHECK(reader == NULL);
    changed = 77;
    CHECK_STATUS(rds_reader_column(NULL, "data", &changed), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(changed, 0);
    const rds_string left_over = {"left over", 9};
    rds_string key = left_over, value = left_over;
    CHECK_STATUS(rds_reader_metadata(NULL, "a", &value), RDS_ERR_INVALID_HANDLE);
    CHECK(value.data == NULL && value.length == 0);
    value = left_over;
    CHECK_STATUS(rds_reader_metadata_at(NULL, 0, &key, &value), RDS_ERR_INVALID_HANDLE);
    CHECK(key.data == NULL && key.length == 0 && value.data == NULL && value.length == 0);
    CHECK_STATUS(rds_reader_versions(NULL, NULL, 0, &row), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(row, 0);
    row = 9;
    CHECK_STATUS(rds_reader_find_all(NULL, "a", 1, NULL, 0, &row), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(row, 0);
    row = 9;
    memset(&stream, 0, sizeof stream);
    CHECK_STATUS(rds_write_stream(NULL, &stream, NULL, &row), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(row, 0);
    rds_loader *loader = (rds_loader *)&seen_count;
    rds_position position;
    const rds_position nowhere = {{0}};
    int fd = 7;
    CHECK(rds_loader_open(NULL, NULL, &loader) != RDS_OK);
    CHECK(loader == NULL);
    memset(&position, 0xff, sizeof position);
    CHECK_STATUS(rds_loader_state(NULL, &position), RDS_ERR_INVALID_HANDLE);
    CHECK(memcmp(&position, &nowhere, sizeof position) == 0);
    CHECK_STATUS(rds_loader_fd(NULL, &fd), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(fd, -1);
}

TEST(the_sweep_misses_no_pointer_of_the_header) {
    const char *declared = getenv("RDS_POINTERS");
    REQUIRE(CHECK(declared != NULL)); /* run.py sets it: function:parameter, separated by spaces. */
    char *list = strdup(declared), *rest = list;
    int pointers = 0;
    for (char *entry; (entry = strtok_r(rest, " ", &rest)); pointers++) {
        int found = 0;
        for (int i = 0; i < seen_count; i++) found |= strcmp(seen[i], entry) == 0;
        if (!found) check_fail(__FILE__, __LINE__, entry);
    }
    CHECK_NUMBER(seen_count, pointers);
    free(list);
}

CHECK_MAIN(RUN(functions_without_pointers_return_something), RUN(null_to_the_function_that_tells_the_last_error),
           RUN(null_is_a_default_where_the_library_is_configured), RUN(null_to_functions_that_write),
           RUN(null_to_the_function_that_writes_streams), RUN(null_to_functions_that_stage_and_clean),
           RUN(null_to_functions_of_parts), RUN(null_to_functions_that_open),
           RUN(null_to_functions_that_tell_of_the_table),
           RUN(null_to_functions_that_read_rows), RUN(null_to_functions_that_read_ids),
           RUN(null_to_functions_that_load_batches), RUN(outputs_are_emptied_by_a_failed_call),
           RUN(the_sweep_misses_no_pointer_of_the_header))
