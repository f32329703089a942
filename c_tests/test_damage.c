/* Files that are gone, cut short, or something else altogether: an error, never a crash or wrong
 * rows. */
#include "files.h"

enum { ROWS = 400 };

/* Opens and reads everything. RDS_OK only if each row is what was written. */
static rds_status read_all(const char *path) {
    rds_reader *reader = NULL;
    static float values[ROWS][TABLE_WIDTH];
    uint64_t rows[ROWS];
    const char *id;
    size_t length;
    rds_status status = rds_reader_open(path, NULL, &reader);
    if (status != RDS_OK) return status;
    for (uint64_t row = 0; row < ROWS; row++) rows[row] = row;
    memset(values, 0xff, sizeof values);
    if (table_info(reader).rows != ROWS) status = RDS_ERR_CORRUPT;
    if (status == RDS_OK) status = rds_reader_read(reader, rows, ROWS, values, sizeof values);
    if (status == RDS_OK) status = rds_reader_id(reader, 0, &id, &length);
    if (status == RDS_OK) {
        long long wrong = 0;
        for (uint64_t row = 0; row < ROWS; row++) wrong += !table_row_is(reader, row, row);
        CHECK_NUMBER(wrong, 0);
    }
    CHECK_OK(rds_reader_close(reader));
    return status;
}

static void check_damaged(const char *path) {
    rds_status status = read_all(path);
    if (!CHECK(status == RDS_ERR_CORRUPT || status == RDS_ERR_IO)) {
        fprintf(stderr, "    status %s\n", rds_status_name((uint32_t)status));
    }
}

TEST(a_data_file_that_is_gone_is_not_found) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    CHECK(unlink(file_in(path.text, "data", ".lance").text) == 0);
    CHECK_STATUS(read_all(path.text), RDS_ERR_NOT_FOUND);
}

TEST(a_data_file_cut_short_anywhere_is_an_error) {
    for (int part = 0; part < 8; part++) {
        check_path_text path = check_path();
        table_make(path.text, ROWS);
        check_path_text file = file_in(path.text, "data", ".lance");
        CHECK(truncate(file.text, size_of(file.text) * part / 8) == 0);
        check_damaged(path.text);
    }
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    check_path_text file = file_in(path.text, "data", ".lance");
    CHECK(truncate(file.text, size_of(file.text) - 1) == 0);
    check_damaged(path.text);
}

TEST(a_manifest_cut_short_is_an_error) {
    for (int part = 0; part < 4; part++) {
        check_path_text path = check_path();
        table_make(path.text, ROWS);
        check_path_text file = file_in(path.text, "_versions", ".manifest");
        CHECK(truncate(file.text, size_of(file.text) * part / 4) == 0);
        check_damaged(path.text);
    }
}

TEST(a_table_that_is_a_file_is_an_error) {
    check_path_text path = check_path();
    rds_reader *reader = NULL;
    rds_writer *writer = NULL;
    FILE *file = fopen(path.text, "w");
    REQUIRE(CHECK(file != NULL));
    fclose(file);
    rds_status status = rds_reader_open(path.text, NULL, &reader);
    CHECK(status == RDS_ERR_NOT_FOUND || status == RDS_ERR_IO);
    status = rds_writer_open(path.text, NULL, &writer);
    if (status == RDS_OK) {
        status = table_write(writer, 0, 1);
        rds_status closed = rds_writer_close(writer);
        if (status == RDS_OK) status = closed;
    }
    if (!CHECK(status == RDS_ERR_NOT_FOUND || status == RDS_ERR_IO)) {
        fprintf(stderr, "    status %s\n", rds_status_name((uint32_t)status));
    }
}

TEST(a_reader_in_use_survives_the_removal_of_its_files) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    rds_reader *reader = table_reader(path.text);
    CHECK(table_row_is(reader, 1, 1));
    CHECK(unlink(file_in(path.text, "data", ".lance").text) == 0);
    float values[TABLE_WIDTH];
    const uint64_t row = ROWS - 1;
    rds_status status = rds_reader_read(reader, &row, 1, values, sizeof values);
    CHECK(status == RDS_OK || status == RDS_ERR_NOT_FOUND);
    if (status == RDS_OK) CHECK(values[0] == table_value(ROWS - 1, 0));
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_data_file_that_is_gone_is_not_found),
           RUN(a_data_file_cut_short_anywhere_is_an_error), RUN(a_manifest_cut_short_is_an_error),
           RUN(a_table_that_is_a_file_is_an_error),
           RUN(a_reader_in_use_survives_the_removal_of_its_files))
