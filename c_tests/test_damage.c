/* Files that are gone, cut short, or something else altogether: an error, never a crash or wrong
 * rows. */
#include "files.h"

enum { ROWS = 400 };

/* A reader looks at the end of every file when it opens a table: what is wrong there is known
 * before anybody reads, however the rows are to be read. */
static void check_open(const char *path, rds_status expected, const char *part) {
    for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access++) {
        rds_reader *reader = (rds_reader *)(uintptr_t)77;
        rds_reader_options options = RDS_READER_OPTIONS_INIT;
        options.access = access;
        CHECK_STATUS(rds_reader_open(path, &options, &reader), expected);
        CHECK_MESSAGE_HAS("rds_reader_open: ");
        CHECK_MESSAGE_HAS(part);
        CHECK(reader == NULL);
    }
}

static const char *name_of(const check_path_text *file) { return strrchr(file->text, '/') + 1; }

/* A table of two data files; the path of one of them. */
static check_path_text make_two_files(const char *path, int last) {
    table_make(path, ROWS);
    check_path_text first = file_in(path, "data", ".lance");
    table_append(path, ROWS, ROWS);
    /* A run that has ended has its files under another name for a while, where a reader finds them. */
    char runs[4096];
    snprintf(runs, sizeof runs, "%s/lance_db/results.lance/_rds", path);
    check_remove(runs);
    return last ? other_file_in(path, "data", ".lance", &first) : first;
}

TEST(a_data_file_that_is_gone_is_not_found) {
    for (int last = 0; last < 2; last++) {
        check_path_text path = check_path(), file = make_two_files(path.text, last);
        CHECK(unlink(file.text) == 0);
        check_open(path.text, RDS_ERR_NOT_FOUND, name_of(&file));
    }
}

TEST(a_data_file_cut_short_anywhere_is_corrupt) {
    for (int last = 0; last < 2; last++) {
        check_path_text path = check_path(), file = make_two_files(path.text, last);
        long size = size_of(file.text);
        CHECK(truncate(file.text, size - 1) == 0);
        check_open(path.text, RDS_ERR_CORRUPT, name_of(&file));
        for (int part = 7; part >= 0; part--) {
            CHECK(truncate(file.text, size * part / 8) == 0);
            check_open(path.text, RDS_ERR_CORRUPT, name_of(&file));
        }
    }
}

TEST(a_data_file_that_is_another_one_is_corrupt) {
    check_path_text path = check_path(), file = make_two_files(path.text, 1);
    check_path_text other = check_path();
    table_make(other.text, ROWS - 1);
    check_path_text stranger = file_in(other.text, "data", ".lance");
    CHECK(rename(stranger.text, file.text) == 0);
    check_open(path.text, RDS_ERR_CORRUPT, name_of(&file));
}

TEST(a_data_file_that_is_a_directory_is_an_error) {
    check_path_text path = check_path(), file = make_two_files(path.text, 1);
    rds_reader *reader = NULL;
    CHECK(unlink(file.text) == 0 && mkdir(file.text, 0777) == 0);
    rds_status status = rds_reader_open(path.text, NULL, &reader);
    CHECK(status == RDS_ERR_IO || status == RDS_ERR_CORRUPT);
    CHECK_MESSAGE_HAS(name_of(&file));
    CHECK(reader == NULL);
}

/* Root may read anything: then there is nothing to see. */
TEST(a_data_file_that_may_not_be_read_is_an_error_of_the_system) {
    check_path_text path = check_path(), file = make_two_files(path.text, 1);
    CHECK(chmod(file.text, 0) == 0);
    if (access(file.text, R_OK) == 0) return;
    check_open(path.text, RDS_ERR_IO, name_of(&file));
}

TEST(a_manifest_cut_short_is_an_error) {
    for (int part = 0; part < 4; part++) {
        check_path_text path = check_path();
        table_make(path.text, ROWS);
        check_path_text file = file_in(path.text, "_versions", ".manifest");
        CHECK(truncate(file.text, size_of(file.text) * part / 4) == 0);
        rds_reader *reader = NULL;
        rds_status status = rds_reader_open(path.text, NULL, &reader);
        CHECK(status == RDS_ERR_CORRUPT || status == RDS_ERR_IO);
        CHECK(reader == NULL);
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
    rds_reader *reader = table_reader(path.text), *through_lance = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = RDS_ACCESS_LANCE;
    CHECK_OK(rds_reader_open(path.text, &options, &through_lance));
    CHECK(table_row_is(reader, 1, 1));
    CHECK(unlink(file_in(path.text, "data", ".lance").text) == 0);
    float values[TABLE_WIDTH];
    const uint64_t row = ROWS - 1;
    CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values));
    CHECK(values[0] == table_value(row, 0));
    values[0] = 0;
    CHECK_OK(rds_reader_read(through_lance, 0, &row, 1, values, sizeof values));
    CHECK(values[0] == table_value(row, 0));
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_reader_close(through_lance));
}

CHECK_MAIN(RUN(a_data_file_that_is_gone_is_not_found),
           RUN(a_data_file_cut_short_anywhere_is_corrupt),
           RUN(a_data_file_that_is_another_one_is_corrupt),
           RUN(a_data_file_that_is_a_directory_is_an_error),
           RUN(a_data_file_that_may_not_be_read_is_an_error_of_the_system),
           RUN(a_manifest_cut_short_is_an_error), RUN(a_table_that_is_a_file_is_an_error),
           RUN(a_reader_in_use_survives_the_removal_of_its_files))
