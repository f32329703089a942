/* Reading rows into memory of the caller, and what a snapshot does not see. */
#include "table.h"

enum { ROWS = 3000 };

static rds_reader *open_rows(uint64_t rows) {
    check_path_text path = check_path();
    table_make(path.text, rows);
    return table_reader(path.text);
}

TEST(every_row_is_read_one_by_one) {
    rds_reader *reader = open_rows(ROWS);
    long long wrong = 0;
    for (uint64_t row = 0; row < ROWS; row++) wrong += !table_row_is(reader, row, row);
    CHECK_NUMBER(wrong, 0);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_gather_keeps_order_and_duplicates) {
    uint64_t rows[ROWS];
    static float values[ROWS][TABLE_WIDTH];
    rds_reader *reader = open_rows(ROWS);
    for (uint64_t i = 0; i < ROWS; i++) rows[i] = i % 3 ? i * 7919 % ROWS : ROWS - 1;
    CHECK_OK(rds_reader_read(reader, 0, rows, ROWS, values, sizeof values));
    long long wrong = 0;
    for (int i = 0; i < ROWS; i++) {
        for (int c = 0; c < TABLE_WIDTH; c++) wrong += values[i][c] != table_value(rows[i], c);
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_read_of_no_rows_touches_nothing) {
    float untouched = 77;
    rds_reader *reader = open_rows(3);
    CHECK_OK(rds_reader_read(reader, 0, NULL, 0, NULL, 0));
    CHECK_OK(rds_reader_read(reader, 0, NULL, 0, &untouched, sizeof untouched));
    CHECK(untouched == 77);
    CHECK_OK(rds_reader_close(reader));
}

TEST(memory_beyond_the_rows_asked_for_is_not_written) {
    unsigned char memory[3 * TABLE_WIDTH * sizeof(float)];
    const size_t used = 2 * TABLE_WIDTH * sizeof(float);
    const uint64_t rows[2] = {2, 1};
    rds_reader *reader = open_rows(3);
    memset(memory, 0xa5, sizeof memory);
    CHECK_OK(rds_reader_read(reader, 0, rows, 2, memory, sizeof memory));
    for (size_t i = used; i < sizeof memory; i++) CHECK_NUMBER(memory[i], 0xa5);
    CHECK_OK(rds_reader_close(reader));
}

TEST(memory_may_have_any_alignment) {
    unsigned char memory[64];
    const uint64_t rows[2] = {1, 2};
    const float expected[2][TABLE_WIDTH] = {{1000, 1001, 1002, 1003}, {2000, 2001, 2002, 2003}};
    rds_reader *reader = open_rows(3);
    for (size_t at = 0; at < 8; at++) {
        memset(memory, 0, sizeof memory);
        CHECK_OK(rds_reader_read(reader, 0, rows, 2, memory + at, sizeof expected));
        CHECK(memcmp(memory + at, expected, sizeof expected) == 0);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(too_little_memory_is_refused_untouched) {
    unsigned char memory[32];
    const uint64_t rows[2] = {0, 1};
    rds_reader *reader = open_rows(3);
    memset(memory, 0xa5, sizeof memory);
    CHECK_STATUS(rds_reader_read(reader, 0, rows, 2, memory, 31), RDS_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(rds_reader_read(reader, 0, rows, SIZE_MAX, memory, 32), RDS_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(rds_reader_read(reader, 0, rows, SIZE_MAX / 16 + 2, memory, 32),
                 RDS_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < sizeof memory; i++) CHECK_NUMBER(memory[i], 0xa5);
    CHECK_OK(rds_reader_close(reader));
}

TEST(rows_beyond_the_table_are_out_of_range) {
    float values[2][TABLE_WIDTH];
    const uint64_t beyond[] = {3, 4, 1u << 31, 1ull << 32, INT64_MAX, UINT64_MAX - 1,
                               RDS_ROW_NONE};
    rds_reader *reader = open_rows(3);
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        const uint64_t rows[2] = {0, beyond[i]};
        struct ArrowArray array;
        const char *id;
        size_t length;
        CHECK_STATUS(rds_reader_read(reader, 0, rows, 2, values, sizeof values),
                     RDS_ERR_OUT_OF_RANGE);
        CHECK_STATUS(rds_reader_get(reader, 0, beyond[i], &array), RDS_ERR_OUT_OF_RANGE);
        CHECK(array.release == NULL);
        CHECK_STATUS(rds_reader_take(reader, rows, 2, NULL, NULL, &array), RDS_ERR_OUT_OF_RANGE);
        CHECK(array.release == NULL);
        CHECK_STATUS(rds_reader_id(reader, beyond[i], &id, &length), RDS_ERR_OUT_OF_RANGE);
        CHECK(id == NULL && length == 0);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_id_stays_where_it_is_until_the_reader_is_closed) {
    const char *first = NULL, *again = NULL;
    size_t length = 0;
    rds_reader *reader = open_rows(ROWS);
    CHECK_OK(rds_reader_id(reader, 1, &first, &length));
    for (uint64_t row = 0; row < ROWS; row++) CHECK_OK(rds_reader_id(reader, row, &again, &length));
    CHECK_OK(rds_reader_id(reader, 1, &again, &length));
    REQUIRE(CHECK(first != NULL && first == again));
    CHECK(length == 4 && memcmp(first, "id-1", 4) == 0);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_snapshot_does_not_see_later_writes) {
    check_path_text path = check_path();
    table_make(path.text, 3);
    rds_reader *reader = table_reader(path.text);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 3, 4));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_info(reader).rows, 3);
    CHECK_NUMBER(table_rows(path.text), 7);
    table_make(path.text, 1);
    CHECK_NUMBER(table_rows(path.text), 1);
    CHECK_NUMBER(table_info(reader).rows, 3);
    for (uint64_t row = 0; row < 3; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_earlier_version_is_opened_by_its_number) {
    check_path_text path = check_path();
    uint64_t versions[2];
    for (uint64_t i = 0; i < 2; i++) {
        table_make(path.text, i + 3);
        rds_reader *reader = table_reader(path.text);
        versions[i] = table_info(reader).version;
        CHECK_OK(rds_reader_close(reader));
    }
    CHECK(versions[0] < versions[1]);
    for (uint64_t i = 0; i < 2; i++) {
        rds_reader *reader = NULL;
        rds_reader_options options = RDS_READER_OPTIONS_INIT;
        options.version = versions[i];
        CHECK_OK(rds_reader_open(path.text, &options, &reader));
        CHECK_NUMBER(table_info(reader).version, versions[i]);
        CHECK_NUMBER(table_info(reader).rows, i + 3);
        CHECK(table_row_is(reader, 2, 2));
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(a_version_that_does_not_exist_is_not_found) {
    check_path_text path = check_path();
    const uint64_t versions[] = {99, UINT64_MAX};
    table_make(path.text, 3);
    for (int i = 0; i < 2; i++) {
        rds_reader *reader = NULL;
        rds_reader_options options = RDS_READER_OPTIONS_INIT;
        options.version = versions[i];
        CHECK_STATUS(rds_reader_open(path.text, &options, &reader), RDS_ERR_NOT_FOUND);
        CHECK(reader == NULL);
    }
}

TEST(a_directory_that_is_no_table_is_not_found) {
    check_path_text path = check_path();
    rds_reader *reader = NULL;
    CHECK_STATUS(rds_reader_open(path.text, NULL, &reader), RDS_ERR_NOT_FOUND);
    CHECK(mkdir(path.text, 0777) == 0);
    CHECK_STATUS(rds_reader_open(path.text, NULL, &reader), RDS_ERR_NOT_FOUND);
    CHECK(reader == NULL);
}

TEST(rows_survive_a_change_of_the_working_directory) {
    check_path_text path = check_path();
    char before[1024];
    REQUIRE(CHECK(getcwd(before, sizeof before) != NULL));
    REQUIRE(CHECK(mkdir(path.text, 0777) == 0 && chdir(path.text) == 0));
    table_make("relative", 3);
    rds_reader *reader = table_reader("relative");
    CHECK(chdir(before) == 0);
    CHECK(table_row_is(reader, 2, 2));
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(every_row_is_read_one_by_one), RUN(a_gather_keeps_order_and_duplicates),
           RUN(a_read_of_no_rows_touches_nothing),
           RUN(memory_beyond_the_rows_asked_for_is_not_written), RUN(memory_may_have_any_alignment),
           RUN(too_little_memory_is_refused_untouched), RUN(rows_beyond_the_table_are_out_of_range),
           RUN(an_id_stays_where_it_is_until_the_reader_is_closed),
           RUN(a_snapshot_does_not_see_later_writes), RUN(an_earlier_version_is_opened_by_its_number),
           RUN(a_version_that_does_not_exist_is_not_found),
           RUN(a_directory_that_is_no_table_is_not_found),
           RUN(rows_survive_a_change_of_the_working_directory))
