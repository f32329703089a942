/* The last error: whose it is, how long it stays, and what it says. */
#include <pthread.h>

#include "table.h"

TEST(there_is_no_error_before_the_first) {
    CHECK_TEXT(rds_last_error_message(), "");
    CHECK_NUMBER(rds_last_error_status(), RDS_OK);
}

TEST(reading_an_error_does_not_consume_it) {
    CHECK_STATUS(rds_check_abi(0), RDS_ERR_NOT_SUPPORTED);
    const char *first = rds_last_error_message();
    CHECK(rds_last_error_message() == first);
    CHECK_NUMBER(rds_last_error_status(), RDS_ERR_NOT_SUPPORTED);
    CHECK_NUMBER(rds_last_error_status(), RDS_ERR_NOT_SUPPORTED);
}

TEST(success_does_not_clear_an_error) {
    check_path_text path = check_path();
    CHECK_STATUS(rds_reader_close(NULL), RDS_ERR_INVALID_HANDLE);
    table_make(path.text, 1);
    CHECK_OK(rds_check_abi(RDS_ABI_VERSION));
    CHECK_MESSAGE("rds_reader_close: the reader is NULL");
    CHECK_NUMBER(rds_last_error_status(), RDS_ERR_INVALID_HANDLE);
}

static void *fail_on_another_thread(void *unused) {
    (void)unused;
    CHECK_TEXT(rds_last_error_message(), "");
    CHECK_NUMBER(rds_last_error_status(), RDS_OK);
    CHECK_STATUS(rds_writer_close(NULL), RDS_ERR_INVALID_HANDLE);
    CHECK_MESSAGE("rds_writer_close: the writer is NULL");
    return NULL;
}

TEST(each_thread_has_its_own_error) {
    pthread_t thread;
    CHECK_STATUS(rds_reader_close(NULL), RDS_ERR_INVALID_HANDLE);
    const char *mine = rds_last_error_message();
    pthread_create(&thread, NULL, fail_on_another_thread, NULL);
    pthread_join(thread, NULL);
    CHECK(rds_last_error_message() == mine);
    CHECK_TEXT(mine, "rds_reader_close: the reader is NULL");
}

TEST(errors_of_handles_say_what_was_passed) {
    CHECK_STATUS(rds_reader_close((rds_reader *)(uintptr_t)0xabc), RDS_ERR_INVALID_HANDLE);
    CHECK_MESSAGE("rds_reader_close: 0xabc is no open reader: it was closed, or is not a reader at "
                  "all");
    CHECK_STATUS(rds_writer_close((rds_writer *)(uintptr_t)0xabc), RDS_ERR_INVALID_HANDLE);
    CHECK_MESSAGE("rds_writer_close: 0xabc is no open writer: it was closed, or is not a writer at "
                  "all");
}

TEST(errors_of_rows_name_the_row_and_the_size_of_the_table) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    struct ArrowArray array;
    float values[TABLE_WIDTH];
    rds_span span = RDS_SPAN_INIT;
    const uint64_t row = 90210;
    const char *id;
    size_t length;
    CHECK_STATUS(rds_reader_get(reader, 0, row, &array), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_get: row 90210 is out of range (the table has 5 rows)");
    CHECK_STATUS(rds_reader_read(reader, 0, &row, 1, values, sizeof values), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_read: row 90210 is out of range (the table has 5 rows)");
    CHECK_STATUS(rds_reader_take(reader, &row, 1, NULL, NULL, &array), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_take: row 90210 is out of range (the table has 5 rows)");
    CHECK_STATUS(rds_reader_id(reader, 5, &id, &length), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_id: row 5 is out of range (the table has 5 rows)");
    CHECK_STATUS(rds_reader_read(reader, 0, &row, 1, values, 3), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_reader_read: out_bytes is 3; 1 rows need 16");
    CHECK_STATUS(rds_reader_span(reader, 0, 5, &span), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_span: row 5 is out of range (the table has 5 rows)");
    CHECK_OK(rds_reader_close(reader));
}

TEST(errors_of_ranges_name_the_range_and_the_size_of_the_table) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    struct DLManagedTensorVersioned *tensor;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    float values[3][TABLE_WIDTH];
    CHECK_STATUS(rds_reader_read_range(reader, 0, 3, 3, values, sizeof values), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_read_range: 3 rows from row 3 are out of range (the table has 5 "
                  "rows)");
    CHECK_STATUS(rds_reader_read_range(reader, 0, 0, 3, values, 47), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_reader_read_range: out_bytes is 47; 3 rows need 48");
    CHECK_STATUS(rds_reader_ids(reader, 5, 1, NULL, &array), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_ids: 1 rows from row 5 are out of range (the table has 5 rows)");
    CHECK_STATUS(rds_reader_dlpack(reader, 0, 6, 0, &tensor), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_dlpack: 0 rows from row 6 are out of range (the table has 5 rows)");
    options.first_row = 4;
    options.row_count = 2;
    CHECK_STATUS(rds_reader_stream(reader, &options, &stream), RDS_ERR_OUT_OF_RANGE);
    CHECK_MESSAGE("rds_reader_stream: 2 rows from row 4 are out of range (the table has 5 rows)");
    CHECK_OK(rds_reader_close(reader));
}

TEST(errors_of_batches_name_what_was_expected_and_what_came) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    const int64_t numbers[3] = {1, 2, 3};
    const double values[3 * TABLE_WIDTH] = {0};
    int64_t shape[2] = {2, TABLE_WIDTH};
    rds_ids ids = ids_of(RDS_IDS_INT64, 3, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);

    CHECK_OK(table_write(writer, 0, 2));
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_write_tensors: ");
    CHECK_MESSAGE_HAS("3 ids");
    CHECK_MESSAGE_HAS("2 rows");
    shape[0] = 3;
    tensor.dtype = RDS_DTYPE_FLOAT64;
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("float32");
    CHECK_MESSAGE_HAS("float64");
    tensor.dtype = RDS_DTYPE_FLOAT32;
    shape[1] = 3;
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("[4]");
    CHECK_MESSAGE_HAS("[3]");
    CHECK_OK(rds_writer_close(writer));
}

static pthread_key_t at_exit_of_thread;

static void fail_in_a_destructor(void *unused) {
    (void)unused;
    CHECK_STATUS(rds_reader_close(NULL), RDS_ERR_INVALID_HANDLE);
    CHECK(rds_last_error_message() != NULL);
}

static void *fail_and_end(void *unused) {
    (void)unused;
    CHECK_STATUS(rds_reader_close(NULL), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(pthread_setspecific(at_exit_of_thread, &at_exit_of_thread), 0);
    return NULL;
}

TEST(a_call_that_fails_while_its_thread_ends_is_an_error_not_a_crash) {
    pthread_t thread;
    CHECK_NUMBER(pthread_key_create(&at_exit_of_thread, fail_in_a_destructor), 0);
    CHECK_NUMBER(pthread_create(&thread, NULL, fail_and_end, NULL), 0);
    CHECK_NUMBER(pthread_join(thread, NULL), 0);
    CHECK_NUMBER(pthread_key_delete(at_exit_of_thread), 0);
}

TEST(errors_of_paths_name_the_path) {
    check_path_text path = check_path();
    rds_reader *reader = NULL;
    rds_writer *writer = NULL;
    rds_writer_options append = RDS_WRITER_OPTIONS_INIT;
    append.mode = RDS_MODE_APPEND;

    CHECK_STATUS(rds_reader_open(path.text, NULL, &reader), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS(path.text);
    CHECK_STATUS(rds_writer_open(path.text, &append, &writer), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS(path.text);
    table_make(path.text, 1);
    CHECK_STATUS(rds_writer_open(path.text, NULL, &writer), RDS_ERR_ALREADY_EXISTS);
    CHECK_MESSAGE_HAS(path.text);
    CHECK_STATUS(rds_reader_open("", NULL, &reader), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_reader_open: path is empty");
    CHECK_STATUS(rds_reader_open("\xff\xfe", NULL, &reader), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_reader_open: path is not UTF-8");
    CHECK_STATUS(rds_reader_open("gopher://a/b", NULL, &reader), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("gopher");
    CHECK(reader == NULL && writer == NULL);
}

TEST(every_status_has_its_name) {
#define NAMED(status) CHECK_TEXT(rds_status_name(status), #status)
    NAMED(RDS_OK);
    NAMED(RDS_ERR_INVALID_ARGUMENT);
    NAMED(RDS_ERR_INVALID_HANDLE);
    NAMED(RDS_ERR_INVALID_STATE);
    NAMED(RDS_ERR_NOT_FOUND);
    NAMED(RDS_ERR_ALREADY_EXISTS);
    NAMED(RDS_ERR_SCHEMA_MISMATCH);
    NAMED(RDS_ERR_OUT_OF_RANGE);
    NAMED(RDS_ERR_IO);
    NAMED(RDS_ERR_COMMIT_CONFLICT);
    NAMED(RDS_ERR_NOT_SUPPORTED);
    NAMED(RDS_ERR_CORRUPT);
    NAMED(RDS_ERR_CANCELLED);
    NAMED(RDS_ERR_PANIC);
    NAMED(RDS_ERR_INTERNAL);
    NAMED(RDS_ERR_COMMIT_UNKNOWN);
    NAMED(RDS_ERR_NO_ROOM);
    NAMED(RDS_ERR_STREAM);
#undef NAMED
    CHECK_TEXT(rds_status_name(RDS_ERR_STREAM + 1), "RDS_ERR_UNKNOWN");
    CHECK_TEXT(rds_status_name(UINT32_MAX), "RDS_ERR_UNKNOWN");
}

TEST(the_abi_of_this_header_is_accepted_and_a_newer_or_a_former_one_is_not) {
    CHECK_NUMBER(rds_abi_version(), RDS_ABI_VERSION);
    CHECK_OK(rds_check_abi(RDS_ABI_VERSION));
    const uint32_t refused[] = {0, 1, 999, RDS_ABI_VERSION + 1, RDS_ABI_VERSION + 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char number[16];
        CHECK_STATUS(rds_check_abi(refused[i]), RDS_ERR_NOT_SUPPORTED);
        snprintf(number, sizeof number, "%u", refused[i]);
        CHECK_MESSAGE_HAS(number);
    }
}

TEST(the_library_knows_what_it_was_built_from) {
    char line[64];
    snprintf(line, sizeof line, "librds %s\n", rds_version());
    CHECK_CONTAINS(rds_build_info(), line);
    CHECK_CONTAINS(rds_build_info(), "\nlance ");
    CHECK_CONTAINS(rds_build_info(), "\narrow ");
    CHECK_CONTAINS(rds_build_info(), "\nrustc ");
    CHECK(strstr(rds_build_info(), "unknown") == NULL);
}

CHECK_MAIN(RUN(there_is_no_error_before_the_first), RUN(reading_an_error_does_not_consume_it),
           RUN(success_does_not_clear_an_error), RUN(each_thread_has_its_own_error),
           RUN(errors_of_handles_say_what_was_passed),
           RUN(errors_of_rows_name_the_row_and_the_size_of_the_table),
           RUN(errors_of_ranges_name_the_range_and_the_size_of_the_table),
           RUN(errors_of_batches_name_what_was_expected_and_what_came),
           RUN(a_call_that_fails_while_its_thread_ends_is_an_error_not_a_crash),
           RUN(errors_of_paths_name_the_path), RUN(every_status_has_its_name),
           RUN(the_abi_of_this_header_is_accepted_and_a_newer_or_a_former_one_is_not),
           RUN(the_library_knows_what_it_was_built_from))
