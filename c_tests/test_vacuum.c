/* What a vacuum removes, and what it leaves: versions that were replaced and files that no version names,
 * from an age on. */
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

static int all_files(const char *path) {
    return data_files(path) + files_named(path, "_versions", "", "") +
           files_named(path, "_transactions", "", "") + run_files(path, "");
}

/* The next vacuum does what it says, whether it only counts, counts again, or removes. */
static rds_vacuum_info check_vacuum(const char *path, uint64_t older_than_ms, uint32_t flags) {
    int before = all_files(path);
    rds_vacuum_info dry = vacuum(path, older_than_ms, flags | RDS_VACUUM_DRY_RUN);
    CHECK_NUMBER(all_files(path), before);
    rds_vacuum_info info = vacuum(path, older_than_ms, flags);
    CHECK_NUMBER(info.removed_files, dry.removed_files);
    CHECK_NUMBER(info.removed_bytes, dry.removed_bytes);
    CHECK_NUMBER(info.kept_files, dry.kept_files);
    CHECK_NUMBER(info.removed_versions, dry.removed_versions);
    CHECK((info.removed_bytes > 0) == (info.removed_files > 0));
    rds_vacuum_info again = vacuum(path, older_than_ms, flags);
    CHECK_NUMBER(again.removed_files + again.removed_bytes + again.removed_versions, 0);
    CHECK_NUMBER(again.kept_files, info.kept_files);
    return info;
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

/* All files of a directory of the table. */
static void make_all_older(const char *path, const char *directory, long seconds) {
    char parent[1300];
    CHECK(snprintf(parent, sizeof parent, "%s/lance_db/results.lance/%s", path, directory) > 0);
    DIR *entries = opendir(parent);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] != '.') make_older(path_below(parent, entry->d_name).text, seconds);
    }
    if (entries) closedir(entries);
}

/* The files of all runs too. */
static void make_everything_older(const char *path, long seconds) {
    const char *const directories[] = {"data", "_versions", "_transactions"};
    for (int i = 0; i < 3; i++) make_all_older(path, directories[i], seconds);
    check_path_text runs = path_below(path, "lance_db/results.lance/_rds");
    DIR *entries = opendir(runs.text);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        make_all_older(path, path_below("_rds", entry->d_name).text, seconds);
    }
    if (entries) closedir(entries);
}

static rds_status open_version(const char *path, uint64_t version, uint64_t rows) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = version;
    rds_status status = rds_reader_open(path, &options, &reader);
    if (status != RDS_OK) return status;
    table_check(reader, 0, rows);
    CHECK_OK(rds_reader_close(reader));
    return status;
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

TEST(a_table_that_is_young_is_left_alone) {
    check_path_text path = check_path();
    for (uint64_t i = 0; i < 3; i++) table_make(path.text, 10 + i);
    make_file(path.text, "data/rds-0123-1.lance", 1000);
    rds_vacuum_info info = check_vacuum(path.text, 0, 0);
    CHECK_NUMBER(info.removed_files + info.removed_versions, 0);
    CHECK_NUMBER(info.kept_files, 1);
    for (uint64_t version = 1; version <= 3; version++) {
        CHECK_OK(open_version(path.text, version, 9 + version));
    }
}

TEST(versions_go_when_it_is_long_ago_that_they_were_replaced) {
    check_path_text path = check_path(), manifests[3] = {{""}, {""}, {""}};
    table_make(path.text, 10);
    manifests[0] = file_in(path.text, "_versions", ".manifest");
    table_append(path.text, 10, 5);
    manifests[1] = other_file_in(path.text, "_versions", ".manifest", &manifests[0]);
    table_make(path.text, 7);
    /* The first one is old, but was the newest a moment ago. */
    make_older(manifests[0].text, 30 * DAY);
    CHECK_NUMBER(check_vacuum(path.text, 0, 0).removed_versions, 0);
    make_older(manifests[1].text, 6 * DAY);
    CHECK_NUMBER(check_vacuum(path.text, 0, 0).removed_versions, 0);
    make_older(manifests[1].text, 8 * DAY);
    CHECK_NUMBER(check_vacuum(path.text, 0, RDS_VACUUM_KEEP_VERSIONS).removed_versions, 0);
    CHECK_OK(open_version(path.text, 1, 10));
    CHECK_NUMBER(check_vacuum(path.text, 0, 0).removed_versions, 1);
    CHECK_STATUS(open_version(path.text, 1, 10), RDS_ERR_NOT_FOUND);
    /* It named a file that the next version has too. */
    CHECK_OK(open_version(path.text, 2, 15));
    CHECK_OK(open_version(path.text, 3, 7));
    CHECK_NUMBER(data_files(path.text), 3);
}

TEST(from_an_age_of_nothing_only_the_newest_version_is_left) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_OK(table_write(writer, i * 5, 5));
        CHECK_OK(rds_commit(writer, NULL, NULL));
    }
    CHECK_OK(rds_writer_close(writer));
    int made = versions(path.text);
    sleep_ms(5);
    CHECK_NUMBER(check_vacuum(path.text, 1, RDS_VACUUM_KEEP_VERSIONS).removed_versions, 0);
    CHECK_NUMBER(versions(path.text), made);
    CHECK_NUMBER(check_vacuum(path.text, 1, 0).removed_versions, made - 1);
    CHECK_NUMBER(versions(path.text), 1);
    CHECK_NUMBER(data_files(path.text), 1);
    CHECK_NUMBER(files_named(path.text, "_transactions", "", ""), 1);
    table_check_all(path.text, 50);
    table_append(path.text, 50, 5);
    table_check_all(path.text, 55);
}

TEST(a_reader_of_a_version_that_went_is_what_it_was) {
    check_path_text path = check_path();
    const char *id = NULL;
    size_t length = 0;
    table_make(path.text, 10);
    rds_reader *loaded = table_reader_with(path.text, RDS_ACCESS_MAPPED);
    rds_reader *fresh = table_reader_with(path.text, RDS_ACCESS_AUTO);
    rds_reader *slow = table_reader_with(path.text, RDS_ACCESS_LANCE);
    CHECK_OK(rds_reader_id(loaded, 0, &id, &length));
    table_make(path.text, 7);
    sleep_ms(5);
    vacuum(path.text, 1, 0);
    rds_reader *const readers[] = {loaded, fresh, slow};
    for (int i = 0; i < 3; i++) {
        table_check(readers[i], 0, 10);
        CHECK_OK(rds_reader_refresh(readers[i], NULL));
        table_check(readers[i], 0, 7);
        CHECK_OK(rds_reader_close(readers[i]));
    }
}

TEST(data_files_that_no_version_names_go_when_they_are_old) {
    const char *const names[] = {"data/0123.lance", "data/rds-0123-1.lance"};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        table_make(path.text, 10);
        check_path_text file = make_file(path.text, names[i], 1000);
        CHECK_NUMBER(check_vacuum(path.text, 0, 0).kept_files, 1);
        make_older(file.text, 6 * DAY);
        CHECK_NUMBER(check_vacuum(path.text, 0, 0).kept_files, 1);
        CHECK(access(file.text, F_OK) == 0);
        /* The default is a week. */
        make_older(file.text, 8 * DAY);
        rds_vacuum_info info = check_vacuum(path.text, 0, 0);
        CHECK_NUMBER(info.removed_files, 1);
        CHECK_NUMBER(info.removed_bytes, 1000);
        CHECK(access(file.text, F_OK) != 0);
        file = make_file(path.text, names[i], 234);
        make_older(file.text, 100);
        CHECK_NUMBER(check_vacuum(path.text, 200 * 1000, 0).kept_files, 1);
        CHECK_NUMBER(check_vacuum(path.text, 50 * 1000, 0).removed_bytes, 234);
        table_check_all(path.text, 10);
    }
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
    vacuum(path.text, 1, 0);
    for (int i = 0; i < 3; i++) CHECK(access(files[i].text, F_OK) == 0);
    table_check_all(path.text, 10);
}

TEST(tokens_are_kept_at_any_age) {
    check_path_text path = check_path();
    rds_token token = stage_rows(path.text, 0, 10);
    make_everything_older(path.text, 800 * DAY);
    CHECK_NUMBER(check_vacuum(path.text, 1, 0).removed_files, 0);
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_CREATE, NULL));
    token_free(token);
    /* What is published is of the table, however old. */
    make_everything_older(path.text, 800 * DAY);
    vacuum(path.text, 1, 0);
    CHECK_NUMBER(data_files(path.text), 1);
    table_check_all(path.text, 10);
}

TEST(what_a_writer_holds_is_left_alone_however_old) {
    const uint32_t modes[] = {RDS_MODE_APPEND, RDS_MODE_STAGED};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        table_make(path.text, 10);
        vacuum(path.text, 1, 0);
        rds_writer *writer = table_writer(path.text, modes[i], RDS_DURABILITY_COMMIT);
        CHECK_OK(table_write(writer, 10, 1000));
        rds_write_stats stats = RDS_WRITE_STATS_INIT;
        do {
            sleep_ms(1);
            CHECK_OK(rds_writer_stats(writer, &stats));
        } while (stats.queued_rows > 0);
        make_everything_older(path.text, 800 * DAY);
        CHECK_NUMBER(check_vacuum(path.text, 1, 0).removed_files, 0);
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
    make_older(orphan.text, 8 * DAY);
    CHECK(truncate(first.text, 20) == 0);
    CHECK_STATUS(rds_vacuum(path.text, NULL, NULL), RDS_ERR_CORRUPT);
    CHECK(access(orphan.text, F_OK) == 0);
    CHECK_NUMBER(data_files(path.text), 3);
    table_check_all(path.text, 20);
}

CHECK_MAIN(RUN(where_nothing_is_there_is_nothing_to_clean),
           RUN(a_table_that_is_young_is_left_alone),
           RUN(versions_go_when_it_is_long_ago_that_they_were_replaced),
           RUN(from_an_age_of_nothing_only_the_newest_version_is_left),
           RUN(a_reader_of_a_version_that_went_is_what_it_was),
           RUN(data_files_that_no_version_names_go_when_they_are_old),
           RUN(leftovers_of_commits_go_when_they_are_old),
           RUN(nothing_beside_the_table_is_touched), RUN(tokens_are_kept_at_any_age),
           RUN(what_a_writer_holds_is_left_alone_however_old),
           RUN(a_version_that_cannot_be_read_is_an_error_and_nothing_is_removed))
