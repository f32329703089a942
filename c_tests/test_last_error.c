/* All that is known of the last call that failed: which argument is to blame, and whether it may pass. */
#include "small_disk.h"

#include <pthread.h>
#include <sys/resource.h>

#include "arrow_stream_in.h"
#include "staging.h"

static rds_error last_error(void) {
    rds_error error = RDS_ERROR_INIT;
    CHECK_OK(rds_last_error(&error));
    CHECK_NUMBER(error.reserved, 0);
    CHECK_NUMBER(error.status, rds_last_error_status());
    CHECK(error.message == rds_last_error_message());
    return error;
}

static void check_blamed(rds_status got, rds_status expected, int argument, const char *call, int line) {
    int before = check_failures;
    rds_error error = last_error();
    check_status(got, expected, call, __FILE__, line);
    check_number(error.status, expected, "the status", __FILE__, line);
    check_number(error.argument, argument, "the number of the argument", __FILE__, line);
    check_number(error.may_pass, 0, "whether it may pass", __FILE__, line);
    if (check_failures != before) fprintf(stderr, "    of %s\n", call);
}

/* Another call fails first, so that what it left cannot pass for this one's. */
#define BLAMED(call, status, argument) \
    do { \
        CHECK_STATUS(rds_last_error(NULL), RDS_ERR_INVALID_ARGUMENT); \
        check_blamed((call), (status), (argument), #call, __LINE__); \
    } while (0)
#define INVALID(call, argument) BLAMED(call, RDS_ERR_INVALID_ARGUMENT, argument)
#define BEYOND(call, argument) BLAMED(call, RDS_ERR_OUT_OF_RANGE, argument)
#define UNKNOWN(call, argument) BLAMED(call, RDS_ERR_NOT_SUPPORTED, argument)
#define NO_HANDLE(call) BLAMED(call, RDS_ERR_INVALID_HANDLE, 0)

TEST(there_is_no_error_before_the_first) {
    rds_error error = last_error();
    CHECK_NUMBER(error.status, RDS_OK);
    CHECK_TEXT(error.message, "");
    CHECK_NUMBER(error.argument, -1);
    CHECK_NUMBER(error.may_pass, 0);
}

TEST(what_cannot_be_told_is_the_last_error_itself) {
    CHECK_STATUS(rds_check_abi(0), RDS_ERR_NOT_SUPPORTED);
    INVALID(rds_last_error(NULL), 0);
    CHECK_MESSAGE_HAS("rds_last_error: out_error");
    rds_error error = RDS_ERROR_INIT;
    error.struct_size = 8;
    INVALID(rds_last_error(&error), 0);
    CHECK_MESSAGE_HAS("RDS_ERROR_INIT");
    CHECK(error.message == NULL && error.status == 0);
}

TEST(success_and_telling_it_leave_it) {
    check_path_text path = check_path();
    CHECK_STATUS(rds_set_log_callback(77, NULL, NULL), RDS_ERR_INVALID_ARGUMENT);
    rds_error before = last_error();
    CHECK_NUMBER(before.argument, 0);
    table_make(path.text, 3);
    table_check_all(path.text, 3);
    rds_error after = last_error();
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    CHECK_CONTAINS(after.message, "rds_set_log_callback: level");
}

static void *fail_on_another_thread(void *unused) {
    (void)unused;
    rds_error error = last_error();
    CHECK(error.status == RDS_OK && error.argument == -1 && !*error.message);
    NO_HANDLE(rds_writer_close(NULL));
    return NULL;
}

TEST(each_thread_has_its_own) {
    pthread_t threads[4];
    CHECK_STATUS(rds_check_abi(0), RDS_ERR_NOT_SUPPORTED);
    rds_error before = last_error();
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, fail_on_another_thread, NULL);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    rds_error after = last_error();
    CHECK(memcmp(&before, &after, sizeof before) == 0);
}

TEST(the_argument_of_functions_without_a_handle) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_reader *reader = NULL;
    rds_runtime_options runtime = RDS_RUNTIME_OPTIONS_INIT;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_reader_options of_reader = RDS_READER_OPTIONS_INIT;
    rds_vacuum_options vacuum = RDS_VACUUM_OPTIONS_INIT;
    rds_vacuum_info removed = RDS_VACUUM_INFO_INIT;
    rds_commit_staged_options staged = RDS_COMMIT_STAGED_OPTIONS_INIT;
    const rds_metadata twice[] = {{"a", "1"}, {"a", "2"}};

    INVALID(rds_set_log_callback(77, NULL, NULL), 0);
    runtime.struct_size = 8;
    INVALID(rds_runtime_configure(&runtime), 0);
    INVALID(rds_writer_open(NULL, &options, &writer), 0);
    INVALID(rds_writer_open("", &options, &writer), 0);
    INVALID(rds_writer_open("\xff", &options, &writer), 0);
    UNKNOWN(rds_writer_open("gopher://a/b", &options, &writer), 0);
    INVALID(rds_writer_open(path.text, &options, NULL), 2);
    options.mode = 77;
    INVALID(rds_writer_open(path.text, &options, &writer), 1);
    options.mode = 0, options.flags = 1u << 31;
    UNKNOWN(rds_writer_open(path.text, &options, &writer), 1);
    options.flags = 0, options.metadata = twice, options.metadata_count = 2;
    INVALID(rds_writer_open(path.text, &options, &writer), 1);
    options.struct_size = 8;
    INVALID(rds_writer_open(path.text, &options, &writer), 1);
    INVALID(rds_reader_open(NULL, NULL, &reader), 0);
    of_reader.access = 77;
    INVALID(rds_reader_open(path.text, &of_reader, &reader), 1);
    INVALID(rds_reader_open(path.text, NULL, NULL), 2);
    INVALID(rds_vacuum(NULL, &vacuum, &removed), 0);
    vacuum.reserved = 1;
    UNKNOWN(rds_vacuum(path.text, &vacuum, &removed), 1);
    removed.struct_size = 0;
    INVALID(rds_vacuum(path.text, NULL, &removed), 2);
    INVALID(rds_commit_staged(path.text, NULL, 1, NULL, NULL), 1);
    staged.mode = 77;
    INVALID(rds_commit_staged(path.text, NULL, 0, &staged, NULL), 3);
    /* What is wrong with the world is no argument's fault. */
    BLAMED(rds_reader_open(path.text, NULL, &reader), RDS_ERR_NOT_FOUND, -1);
    BLAMED(rds_vacuum(path.text, NULL, NULL), RDS_ERR_NOT_FOUND, -1);
    table_make(path.text, 1);
    BLAMED(rds_writer_open(path.text, NULL, &writer), RDS_ERR_ALREADY_EXISTS, -1);
}

TEST(the_argument_of_functions_that_write) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    const int64_t numbers[2] = {1, 2}, shape[1] = {2};
    const float values[2] = {1, 2};
    rds_ids ids = ids_of(RDS_IDS_INT64, 2, numbers);
    rds_tensor tensors[2] = {tensor_of(RDS_DTYPE_FLOAT32, 1, shape, values),
                             tensor_of(RDS_DTYPE_FLOAT32, 1, shape, values)};
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    uint64_t rows;

    tensors[1].name = "other";
    NO_HANDLE(rds_write_tensors(NULL, &ids, tensors, 2));
    NO_HANDLE(rds_flush((rds_writer *)(uintptr_t)0xabc));
    INVALID(rds_write_tensors(writer, NULL, tensors, 2), 1);
    INVALID(rds_write_tensors(writer, &ids, NULL, 2), 2);
    ids.kind = 77;
    INVALID(rds_write_tensors(writer, &ids, tensors, 2), 1);
    ids.kind = RDS_IDS_INT64, ids.flags = 1;
    UNKNOWN(rds_write_tensors(writer, &ids, tensors, 2), 1);
    ids.flags = 0, tensors[1].dtype = 77;
    INVALID(rds_write_tensors(writer, &ids, tensors, 2), 2);
    tensors[1].dtype = RDS_DTYPE_FLOAT32, tensors[1].reserved = 1;
    UNKNOWN(rds_write_tensors(writer, &ids, tensors, 2), 2);
    tensors[1].reserved = 0;
    options.flags = 1u << 31;
    UNKNOWN(rds_commit(writer, &options, &info), 1);
    info.struct_size = 1;
    INVALID(rds_commit(writer, NULL, &info), 2);
    INVALID(rds_writer_stats(writer, NULL), 1);

    arrow_batch *batch = batch_new(0);
    INVALID(rds_write_batch(writer, NULL, &batch->array[NODE_ROOT]), 1);
    INVALID(rds_write_batch(writer, &batch->schema[NODE_ROOT], NULL), 2);
    batch_free(batch);
    batch = batch_new(0);
    batch->schema[NODE_ITEMS].format = "?";
    INVALID(batch_write(writer, batch), 1);
    batch_free(batch);
    batch = batch_new(0);
    batch->array[NODE_IDS].offset = -1;
    INVALID(batch_write(writer, batch), 2);
    batch_free(batch);
    arrow_producer *producer = producer_new(0, 2);
    rds_write_stream_options streaming = RDS_WRITE_STREAM_OPTIONS_INIT;
    INVALID(rds_write_stream(writer, NULL, &streaming, &rows), 1);
    streaming.struct_size = 1;
    INVALID(rds_write_stream(writer, &producer->stream, &streaming, &rows), 2);
    producer_free(producer);
    producer = producer_new(0, 2);
    producer->fails_at = 0, producer->error_text = "no sensor";
    BLAMED(rds_write_stream(writer, &producer->stream, NULL, &rows), RDS_ERR_STREAM, -1);
    producer_free(producer);
    CHECK_OK(rds_writer_close(writer));
    NO_HANDLE(rds_writer_close(writer));
}

TEST(the_argument_of_functions_that_read) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    const uint64_t beyond = 5, row = 0;
    float values[TABLE_WIDTH];
    rds_span span = RDS_SPAN_INIT;
    rds_string text;
    rds_column_info column = RDS_COLUMN_INFO_INIT;
    rds_rows rows = RDS_ROWS_INIT;
    rds_target targets[2] = {RDS_TARGET_INIT, RDS_TARGET_INIT};
    rds_select_options select = RDS_SELECT_OPTIONS_INIT;
    struct ArrowSchema schema;
    struct ArrowArray array;
    uint32_t number;

    NO_HANDLE(rds_reader_read(NULL, 0, &row, 1, values, sizeof values));
    INVALID(rds_reader_read(reader, 9, &row, 1, values, sizeof values), 1);
    INVALID(rds_reader_read(reader, 0, NULL, 1, values, sizeof values), 2);
    BEYOND(rds_reader_read(reader, 0, &beyond, 1, values, sizeof values), 2);
    INVALID(rds_reader_read(reader, 0, &row, 1, NULL, sizeof values), 4);
    INVALID(rds_reader_read(reader, 0, &row, 1, values, 3), 5);
    BEYOND(rds_reader_read_range(reader, 0, 5, 1, values, sizeof values), 2);
    INVALID(rds_reader_read_range(reader, 0, 0, 1, values, 3), 5);
    BEYOND(rds_reader_span(reader, 0, 5, &span), 2);
    INVALID(rds_reader_span(reader, 1, 0, &span), 1);
    INVALID(rds_reader_span(reader, 0, 0, NULL), 3);
    INVALID(rds_reader_column(reader, NULL, &number), 1);
    INVALID(rds_reader_column(reader, "data", NULL), 2);
    BLAMED(rds_reader_column(reader, "nothing", &number), RDS_ERR_NOT_FOUND, -1);
    INVALID(rds_reader_column_info(reader, 1, &column), 1);
    INVALID(rds_reader_metadata(reader, "\xff", &text), 1);
    BEYOND(rds_reader_metadata_at(reader, 0, &text, &text), 1);
    INVALID(rds_reader_metadata_at(reader, 0, &text, NULL), 3);
    rows.count = 1, targets[0].data = targets[1].data = values, targets[0].bytes = sizeof values;
    INVALID(rds_reader_gather(reader, NULL, targets, 1), 1);
    INVALID(rds_reader_gather(reader, &rows, targets, 2), 2);
    CHECK_MESSAGE_HAS("rds_reader_gather: targets[1]");
    rows.first_row = 5;
    BEYOND(rds_reader_gather(reader, &rows, targets, 1), 1);
    BEYOND(rds_reader_take(reader, &beyond, 1, NULL, &schema, &array), 1);
    select.flags = 1u << 31;
    UNKNOWN(rds_reader_take(reader, &row, 1, &select, &schema, &array), 3);
    INVALID(rds_reader_take(reader, &row, 1, NULL, &schema, NULL), 5);
    UNKNOWN(rds_reader_schema(reader, &select, &schema), 1);
    BEYOND(rds_reader_get(reader, 0, 5, &array), 2);
    CHECK_OK(rds_reader_close(reader));
}

TEST(the_argument_of_functions_of_ids) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    const char *id = NULL, *const asked[2] = {"a", "\xff"};
    size_t length = 0;
    uint64_t row, count;
    struct ArrowArray array;
    rds_version_info version = RDS_VERSION_INFO_INIT;
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 2, asked), one = ids_of(RDS_IDS_CSTRINGS, 1, asked);

    BEYOND(rds_reader_id(reader, 5, &id, &length), 1);
    INVALID(rds_reader_id(reader, 0, NULL, &length), 2);
    INVALID(rds_reader_id(reader, 0, &id, NULL), 3);
    BEYOND(rds_reader_ids(reader, 5, 1, NULL, &array), 1);
    INVALID(rds_reader_find(reader, &ids, &row, &count), 1);
    INVALID(rds_reader_find(reader, &one, NULL, &count), 2);
    INVALID(rds_reader_find_all(reader, "\xff", 1, &row, 1, &count), 1);
    INVALID(rds_reader_find_all(reader, "a", 1, NULL, 1, &count), 3);
    INVALID(rds_reader_find_all(reader, "a", 1, &row, 1, NULL), 5);
    INVALID(rds_reader_versions(reader, NULL, 1, &count), 1);
    INVALID(rds_reader_versions(reader, &version, 1, NULL), 3);
    INVALID(rds_reader_refresh(reader, (uint32_t *)((char *)&count + 1)), 1);
    CHECK_OK(rds_reader_close(reader));
}

/* Whatever the message begins with. */
TEST(an_argument_is_blamed_for_what_it_says_within) {
    check_path_text path = check_path(), other = check_path();
    rds_runtime_options runtime = RDS_RUNTIME_OPTIONS_INIT;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    rds_writer_options columns = RDS_WRITER_OPTIONS_INIT;
    rds_column_spec column = RDS_COLUMN_SPEC_INIT;
    const rds_token damaged = {(const uint8_t *)"no token", 8};
    const int64_t number = 1, shape[1] = {1};
    const float value = 1;
    const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 1, shape, &value);
    struct ArrowArrayStream stream;
    rds_writer *writer = NULL, *refused = NULL;

    UNKNOWN(rds_check_abi(0), 0);
    runtime.worker_threads = 1025;
    INVALID(rds_runtime_configure(&runtime), 0);
    INVALID(rds_commit_staged(path.text, &damaged, 1, NULL, NULL), 1);
    column.name = "a.b", column.dtype = RDS_DTYPE_INT8, columns.columns = &column, columns.column_count = 1;
    INVALID(rds_writer_open(other.text, &columns, &refused), 1);
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    options.first_row = 3, options.row_count = 3;
    BEYOND(rds_reader_stream(reader, &options, &stream), 1);
    writer = table_writer(other.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    tensor.name = "a.b";
    INVALID(rds_write_tensors(writer, &ids, &tensor, 1), 2);
    tensor.name = "";
    INVALID(rds_write_tensors(writer, &ids, &tensor, 1), 2);
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
}

static void check_may_pass(rds_status got, rds_status expected, const char *part) {
    rds_error error = last_error();
    CHECK_STATUS(got, expected);
    CHECK_CONTAINS(error.message, part);
    CHECK_NUMBER(error.may_pass, 1);
    CHECK_NUMBER(error.argument, -1);
}

TEST(that_there_is_no_room_may_pass) {
    check_path_text path = check_path();
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_writer *writer = NULL;
    options.max_queued_bytes = 1, options.flags = RDS_WRITER_NO_WAIT;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    rds_status status = RDS_OK;
    for (uint64_t i = 0; i < 1000 && status == RDS_OK; i++) status = write_wide(writer, i, 20);
    check_may_pass(status, RDS_ERR_NO_ROOM, "rds_write_tensors: ");
    CHECK_OK(rds_writer_close(writer));
}

static void open_without_descriptors(void *path) {
    rds_reader *reader = NULL;
    struct rlimit limit;
    table_make((char *)path, 3);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    check_may_pass(rds_reader_open((char *)path, NULL, &reader), RDS_ERR_IO, "rds_reader_open: ");
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_OK(rds_reader_open((char *)path, NULL, &reader));
    CHECK_OK(rds_reader_close(reader));
}

TEST(that_descriptors_are_short_may_pass) {
    check_path_text path = check_path();
    in_child(open_without_descriptors, path.text);
}

static void publish_on_full_disk(void *path) {
    static const char block[4096];
    REQUIRE(mount_small_disk((char *)path));
    check_path_text results = path_below((char *)path, "results"), ballast = path_below((char *)path, "all");
    rds_token token = stage_rows(results.text, 0, 3);
    int file = open(ballast.text, O_WRONLY | O_CREAT, 0666);
    while (write(file, block, sizeof block) > 0) continue;
    close(file);
    check_may_pass(publish(results.text, &token, 1, RDS_MODE_CREATE, NULL), RDS_ERR_IO, "o space left");
    /* The same call. */
    CHECK(unlink(ballast.text) == 0);
    CHECK_OK(publish(results.text, &token, 1, RDS_MODE_CREATE, NULL));
    token_free(token);
    table_check_all(results.text, 3);
}

TEST(that_the_disk_is_full_may_pass) {
    check_path_text path = check_path();
    in_child(publish_on_full_disk, path.text);
}

CHECK_MAIN(RUN(there_is_no_error_before_the_first), RUN(that_descriptors_are_short_may_pass),
           RUN(that_the_disk_is_full_may_pass), RUN(what_cannot_be_told_is_the_last_error_itself),
           RUN(success_and_telling_it_leave_it), RUN(each_thread_has_its_own),
           RUN(the_argument_of_functions_without_a_handle), RUN(the_argument_of_functions_that_write),
           RUN(the_argument_of_functions_that_read), RUN(the_argument_of_functions_of_ids),
           RUN(an_argument_is_blamed_for_what_it_says_within),
           RUN(that_there_is_no_room_may_pass))
