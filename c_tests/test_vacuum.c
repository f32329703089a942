/* What a vacuum removes, and what it leaves: files that no version names, when they are abandoned. */
#include <fcntl.h>
#include <time.h>

#include "staging.h"

enum { DAY = 24 * 3600 };

static rds_vacuum_info vacuum(const char *path, uint64_t older_than_ms, uint32_t flags) {
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = older_than_ms, options.flags = flags;
    CHECK_OK(rds_vacuum(path, &options, &info));
    return info;
}

/* The next vacuum does so, whether it only counts, counts again, or removes. */
static void check_vacuum(const char *path, uint64_t older_than_ms, int removed, int kept) {
    int before = data_files(path);
    for (int i = 0; i < 3; i++) {
        rds_vacuum_info info = vacuum(path, older_than_ms, i < 2 ? RDS_VACUUM_DRY_RUN : 0);
        CHECK_NUMBER(info.removed_files, removed);
        CHECK_NUMBER(info.kept_files, kept);
        CHECK((info.removed_bytes > 0) == (removed > 0));
        CHECK_NUMBER(data_files(path), i < 2 ? before : before - removed);
    }
    rds_vacuum_info info = vacuum(path, older_than_ms, 0);
    CHECK_NUMBER(info.removed_files + info.removed_bytes, 0);
    CHECK_NUMBER(info.kept_files, kept);
}

static check_path_text make_file(const char *path, const char *name, size_t bytes) {
    check_path_text file;
    CHECK(snprintf(file.text, sizeof file.text, "%s/lance_db/results.lance/%s", path, name) > 0);
    FILE *made = fopen(file.text, "w");
    if (!CHECK(made != NULL)) return file;
    for (size_t i = 0; i < bytes; i++) fputc('x', made);
    fclose(made);
    return file;
}

static void make_older(const char *file, long seconds) {
    const struct timespec then = {time(NULL) - seconds, 0}, times[2] = {then, then};
    CHECK(utimensat(AT_FDCWD, file, times, 0) == 0);
}

TEST(where_nothing_is_there_is_nothing_to_clean) {
    check_path_text path = check_path();
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    CHECK_STATUS(rds_vacuum(path.text, NULL, &info), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS("rds_vacuum: ");
    CHECK(mkdir(path.text, 0777) == 0);
    CHECK_STATUS(rds_vacuum(path.text, NULL, &info), RDS_ERR_NOT_FOUND);
    /* Nor is anything made. */
    CHECK(rmdir(path.text) == 0);
}

TEST(a_table_in_order_is_left_alone) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    table_append(path.text, 10, 10);
    check_vacuum(path.text, 1, 0, 0);
    table_check_all(path.text, 20);
}

TEST(what_older_versions_name_is_left_alone) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    table_make(path.text, 5);
    check_vacuum(path.text, 1, 0, 0);
    CHECK_NUMBER(data_files(path.text), 2);
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    rds_reader *reader = NULL;
    options.version = 1;
    CHECK_OK(rds_reader_open(path.text, &options, &reader));
    table_check(reader, 0, 10);
    CHECK_OK(rds_reader_close(reader));
}

TEST(files_of_dead_writers_go_at_once_and_are_counted) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    check_path_text one = make_file(path.text, "data/rds-0123-1.lance", 1000);
    check_path_text two = make_file(path.text, "data/rds-0123-2.lance", 234);
    rds_vacuum_info info = vacuum(path.text, 0, RDS_VACUUM_DRY_RUN);
    CHECK_NUMBER(info.removed_bytes, 1234);
    check_vacuum(path.text, 0, 2, 0);
    CHECK(access(one.text, F_OK) != 0 && access(two.text, F_OK) != 0);
    table_check_all(path.text, 10);
}

TEST(files_of_other_writers_go_when_they_are_old) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    check_path_text file = make_file(path.text, "data/0123.lance", 1000);
    check_vacuum(path.text, 0, 0, 1);
    make_older(file.text, 6 * DAY);
    check_vacuum(path.text, 0, 0, 1);
    CHECK(access(file.text, F_OK) == 0);
    /* The default is a week. */
    make_older(file.text, 8 * DAY);
    check_vacuum(path.text, 0, 1, 0);
    file = make_file(path.text, "data/4567.lance", 1000);
    make_older(file.text, 100);
    check_vacuum(path.text, 200 * 1000, 0, 1);
    check_vacuum(path.text, 50 * 1000, 1, 0);
    table_check_all(path.text, 10);
}

TEST(leftovers_of_commits_go_when_they_are_old) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    check_path_text files[2] = {make_file(path.text, "_transactions/9-dead.txn", 100),
                                make_file(path.text, "_versions/7.manifest.tmp", 100)};
    CHECK_NUMBER(vacuum(path.text, 0, 0).kept_files, 2);
    for (int i = 0; i < 2; i++) make_older(files[i].text, 8 * DAY);
    rds_vacuum_info info = vacuum(path.text, 0, 0);
    CHECK_NUMBER(info.removed_files, 2);
    CHECK_NUMBER(info.kept_files, 0);
    for (int i = 0; i < 2; i++) CHECK(access(files[i].text, F_OK) != 0);
    table_check_all(path.text, 10);
}

TEST(nothing_beside_the_table_is_touched) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    check_path_text files[3] = {make_file(path.text, "../rds-1-1.lance", 10),
                                make_file(path.text, "../../weights.pt", 10),
                                make_file(path.text, "notes.txt", 10)};
    for (int i = 0; i < 3; i++) make_older(files[i].text, 1000 * DAY);
    check_vacuum(path.text, 1, 0, 0);
    for (int i = 0; i < 3; i++) CHECK(access(files[i].text, F_OK) == 0);
}

TEST(staged_rows_wait_for_their_commit_until_they_are_old) {
    check_path_text path = check_path();
    rds_token token = stage_rows(path.text, 0, 10);
    check_vacuum(path.text, 0, 0, 1);
    check_path_text file = file_in(path.text, "data", ".lance");
    make_older(file.text, 6 * DAY);
    check_vacuum(path.text, 0, 0, 1);
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_CREATE, NULL));
    token_free(token);
    /* What is published is of the table, however old. */
    make_older(file.text, 800 * DAY);
    check_vacuum(path.text, 0, 0, 0);
    token = stage_rows(path.text, 10, 10);
    file = other_file_in(path.text, "data", ".lance", &file);
    make_older(file.text, 8 * DAY);
    check_vacuum(path.text, 0, 1, 0);
    CHECK_STATUS(publish(path.text, &token, 1, RDS_MODE_APPEND, NULL), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS("token 0");
    token_free(token);
    table_check_all(path.text, 10);
}

/* Waits until the writer has begun a data file. */
static int has_file(const char *path, int count) {
    for (int i = 0; i < 5000 && data_files(path) < count; i++) sleep_ms(1);
    return CHECK_NUMBER(data_files(path), count);
}

TEST(what_a_writer_holds_is_left_alone_however_old) {
    const uint32_t modes[] = {RDS_MODE_APPEND, RDS_MODE_STAGED};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        table_make(path.text, 10);
        check_path_text known = file_in(path.text, "data", ".lance");
        rds_writer *writer = table_writer(path.text, modes[i], RDS_DURABILITY_COMMIT);
        CHECK_OK(table_write(writer, 10, 1000));
        if (has_file(path.text, 2)) {
            make_older(other_file_in(path.text, "data", ".lance", &known).text, 800 * DAY);
            check_vacuum(path.text, 1, 0, 1);
        }
        if (modes[i] == RDS_MODE_STAGED) {
            rds_token token = stage(writer);
            CHECK_OK(publish(path.text, &token, 1, RDS_MODE_APPEND, NULL));
            token_free(token);
        } else {
            CHECK_OK(rds_commit(writer, NULL, NULL));
        }
        CHECK_OK(rds_writer_close(writer));
        table_check_all(path.text, 1010);
    }
}

TEST(a_version_that_cannot_be_read_is_an_error_and_nothing_is_removed) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    check_path_text first = file_in(path.text, "_versions", ".manifest");
    table_append(path.text, 10, 10);
    check_path_text orphan = make_file(path.text, "data/rds-0123-1.lance", 1000);
    CHECK(truncate(first.text, 20) == 0);
    CHECK_STATUS(rds_vacuum(path.text, NULL, NULL), RDS_ERR_CORRUPT);
    CHECK(access(orphan.text, F_OK) == 0);
    CHECK_NUMBER(data_files(path.text), 3);
    table_check_all(path.text, 20);
}

CHECK_MAIN(RUN(where_nothing_is_there_is_nothing_to_clean), RUN(a_table_in_order_is_left_alone),
           RUN(what_older_versions_name_is_left_alone),
           RUN(files_of_dead_writers_go_at_once_and_are_counted),
           RUN(files_of_other_writers_go_when_they_are_old),
           RUN(leftovers_of_commits_go_when_they_are_old),
           RUN(nothing_beside_the_table_is_touched),
           RUN(staged_rows_wait_for_their_commit_until_they_are_old),
           RUN(what_a_writer_holds_is_left_alone_however_old),
           RUN(a_version_that_cannot_be_read_is_an_error_and_nothing_is_removed))
