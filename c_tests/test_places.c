/* Places that go away, are taken, or may not be written to: a clear status with the next call that
 * needs them, nothing lost that was durable, and a writer that closes. */
#include <linux/capability.h>
#include <sys/syscall.h>

#include "actors.h"

/* Declared by unistd.h only for programs that ask for more than POSIX. */
extern long syscall(long number, ...);

/* Permissions count for this process from here on, also if it is root. */
static void obey_permissions(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0, 0, 0}, {0, 0, 0}};
    if (geteuid() != 0) return;
    if (!CHECK(syscall(SYS_capget, &header, sets) == 0)) return;
    const uint32_t ignoring = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
    sets[0].effective &= ~ignoring, sets[0].permitted &= ~ignoring, sets[0].inheritable = 0;
    CHECK(syscall(SYS_capset, &header, sets) == 0);
}

/* It failed: every later call says so too. */
static void check_failed(actor *writer, rds_status status) {
    TELL_FOR(writer, status, WRITE, 900, 1);
    TELL_FOR(writer, status, COMMIT, 0, 0);
    TELL_FOR(writer, status, CLOSE, 0, 0);
    TELL_FOR(writer, RDS_ERR_INVALID_HANDLE, CLOSE, 0, 0);
}

TEST(a_table_that_is_removed_under_its_writer_is_not_found_and_does_not_come_back) {
    for (uint32_t durability = 0; durability <= RDS_DURABILITY_COMMIT; durability++) {
        for (int whole = 0; whole < 2; whole++) {
            check_path_text path = check_path();
            actor *writer = actor_start(path);
            TELL(writer, OPEN, RDS_MODE_CREATE, durability);
            TELL(writer, WRITE, 0, 5);
            TELL(writer, COMMIT, 0, 0);
            check_remove(whole ? path.text : path_below(path.text, "lance_db/results.lance").text);
            rds_status status = tell(writer, WRITE, 5, 5);
            if (durability != RDS_DURABILITY_BATCH) {
                CHECK_NUMBER(status, RDS_OK);
                status = tell(writer, COMMIT, 0, 0);
            }
            CHECK_NUMBER(status, RDS_ERR_NOT_FOUND);
            check_failed(writer, RDS_ERR_NOT_FOUND);
            TELL(writer, CHECK_NO_TABLE, 0, 0);
            /* Nor is it in the way of another. */
            TELL(writer, OPEN, RDS_MODE_CREATE, durability);
            TELL(writer, WRITE, 0, 3);
            TELL(writer, COMMIT, 0, 0);
            TELL(writer, CLOSE, 0, 0);
            TELL(writer, CHECK_ROWS, 0, 3);
            actor_leave(writer);
        }
    }
}

/* With the file that rows go into gone before there is a table. */
TEST(a_directory_that_is_removed_before_the_first_version_is_an_error) {
    check_path_text path = check_path();
    actor *writer = actor_start(path);
    TELL(writer, OPEN, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    TELL(writer, WRITE, 0, 5);
    for (int i = 0; i < 5000 && !files_named(path.text, "_rds", "", ""); i++) sleep_ms(1);
    CHECK(files_named(path.text, "_rds", "", "") > 0);
    sleep_ms(100);
    check_remove(path.text);
    rds_status status = tell(writer, COMMIT, 0, 0);
    CHECK(status == RDS_ERR_NOT_FOUND || status == RDS_ERR_IO);
    check_failed(writer, status);
    TELL(writer, CHECK_NO_TABLE, 0, 0);
    actor_leave(writer);
}

/* Another table is where the one was that the writer holds. */
TEST(a_table_in_the_place_of_one_that_was_removed_is_not_touched) {
    for (uint32_t durability = 0; durability <= RDS_DURABILITY_COMMIT; durability++) {
        check_path_text path = check_path();
        actor *writer = actor_start(path), *other = actor_start(path);
        TELL(writer, OPEN, RDS_MODE_CREATE, durability);
        TELL(writer, WRITE, 0, 5);
        TELL(writer, COMMIT, 0, 0);
        check_remove(path.text);
        TELL(other, OPEN, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
        TELL(other, WRITE, 100, 4);
        TELL(other, COMMIT, 0, 0);
        rds_status status = tell(writer, WRITE, 5, 5);
        if (durability != RDS_DURABILITY_BATCH) {
            CHECK_NUMBER(status, RDS_OK);
            status = tell(writer, COMMIT, 0, 0);
        }
        CHECK(status == RDS_ERR_NOT_FOUND || status == RDS_ERR_COMMIT_CONFLICT);
        CHECK_CONTAINS(writer->message, "replaced");
        check_failed(writer, status);
        TELL(other, WRITE, 104, 4);
        TELL(other, COMMIT, 0, 0);
        CHECK_NUMBER(data_files(path.text), 2);
        TELL(other, CLOSE, 0, 0);
        TELL(other, CHECK_ROWS, 100, 8);
        actor_leave(writer);
        actor_leave(other);
    }
}

static void make_file(const char *path) {
    FILE *file = fopen(path, "w");
    if (CHECK(file != NULL)) fclose(file);
}

/* Calls until the first that needs the directory. Staged rows need no directory of data. */
static rds_status write_and_flush(actor *writer, uint32_t mode) {
    rds_status status = tell(writer, OPEN, mode, RDS_DURABILITY_BATCH);
    for (int n = 0; n < 100 && status == RDS_OK; n++) {
        status = tell(writer, WRITE, 0, 5);
        if (status == RDS_OK && mode != RDS_MODE_STAGED) status = tell(writer, FLUSH, 0, 0);
        if (mode == RDS_MODE_STAGED) sleep_ms(5);
    }
    return status;
}

TEST(a_file_where_a_directory_is_to_be_is_an_error_of_the_system) {
    const char *const names[] = {"", "lance_db", "lance_db/results.lance",
                                 "lance_db/results.lance/_rds", "lance_db/results.lance/data"};
    for (uint32_t mode = RDS_MODE_CREATE; mode <= RDS_MODE_STAGED; mode++) {
        if (mode == RDS_MODE_APPEND) continue;
        for (int i = 0; i < (mode == RDS_MODE_STAGED ? 4 : 5); i++) {
            check_path_text path = check_path(), file = i ? path_below(path.text, names[i]) : path;
            actor *writer = actor_start(path);
            if (i > 0) CHECK(mkdir(path.text, 0777) == 0);
            if (i > 1) CHECK(mkdir(path_below(path.text, names[1]).text, 0777) == 0);
            if (i > 2) CHECK(mkdir(path_below(path.text, names[2]).text, 0777) == 0);
            make_file(file.text);
            rds_status status = write_and_flush(writer, mode);
            if (!CHECK_NUMBER(status, RDS_ERR_IO)) {
                fprintf(stderr, "    mode %u, \"%s\": %s\n", mode, names[i], writer->message);
            }
            CHECK(access(file.text, F_OK) == 0 && size_of(file.text) == 0);
            actor_leave(writer);
        }
    }
}

/* The directory may be read and not written to, from some moment on. */
static void check_read_only(const char *name, enum command call, uint32_t durability) {
    check_path_text path = check_path(), directory = path_below(path.text, name);
    actor *writer = actor_start_with(path, obey_permissions);
    TELL(writer, OPEN, RDS_MODE_CREATE, durability);
    TELL(writer, WRITE, 0, 5);
    TELL(writer, COMMIT, 0, 0);
    CHECK(chmod(directory.text, 0555) == 0);
    rds_status status = tell(writer, WRITE, 5, 5);
    if (status == RDS_OK) status = tell(writer, call, 0, 0);
    CHECK_NUMBER(status, RDS_ERR_IO);
    CHECK_CONTAINS(writer->message, "ermission denied");
    check_failed(writer, RDS_ERR_IO);
    /* What was durable stays so. */
    TELL(writer, CHECK_ROWS, 0, 5);
    CHECK(chmod(directory.text, 0777) == 0);
    TELL(writer, VACUUM, 0, 0);
    /* Rows that were durable are not lost; those of a commit that failed do not come by themselves. */
    uint64_t rows = durability == RDS_DURABILITY_COMMIT ? 5 : 10;
    TELL(writer, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    TELL(writer, WRITE, rows, 5);
    TELL(writer, COMMIT, 0, 0);
    TELL(writer, CLOSE, 0, 0);
    TELL(writer, CHECK_ROWS, 0, rows + 5);
    actor_leave(writer);
}

TEST(permission_to_write_data_that_is_lost_is_an_error_of_the_system) {
    check_read_only("lance_db/results.lance/data", FLUSH, RDS_DURABILITY_INTERVAL);
    check_read_only("lance_db/results.lance/data", FLUSH, RDS_DURABILITY_BATCH);
    check_read_only("lance_db/results.lance/data", COMMIT, RDS_DURABILITY_COMMIT);
}

TEST(permission_to_write_versions_that_is_lost_is_an_error_of_the_system) {
    check_read_only("lance_db/results.lance/_versions", FLUSH, RDS_DURABILITY_INTERVAL);
    check_read_only("lance_db/results.lance/_versions", FLUSH, RDS_DURABILITY_BATCH);
    check_read_only("lance_db/results.lance/_versions", COMMIT, RDS_DURABILITY_COMMIT);
}

TEST(a_place_that_may_not_be_written_to_is_an_error_of_the_system) {
    check_path_text path = check_path(), inside = path_below(path.text, "results");
    CHECK(mkdir(path.text, 0555) == 0);
    actor *writer = actor_start_with(inside, obey_permissions);
    rds_status status = tell(writer, OPEN, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    if (status == RDS_OK) status = tell(writer, WRITE, 0, 5);
    CHECK_NUMBER(status, RDS_ERR_IO);
    CHECK_CONTAINS(writer->message, "ermission denied");
    CHECK(access(inside.text, F_OK) != 0);
    actor_leave(writer);
    CHECK(chmod(path.text, 0777) == 0);
}

TEST(a_table_that_may_not_be_read_is_an_error_of_the_system_and_not_absent) {
    check_path_text path = check_path();
    check_path_text versions = path_below(path.text, "lance_db/results.lance/_versions");
    actor *writer = actor_start_with(path, obey_permissions);
    TELL(writer, OPEN, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    TELL(writer, WRITE, 0, 5);
    TELL(writer, CLOSE, 0, 0);
    CHECK(chmod(versions.text, 0) == 0);
    for (uint32_t mode = RDS_MODE_CREATE; mode <= RDS_MODE_OVERWRITE; mode++) {
        TELL_FOR(writer, RDS_ERR_IO, OPEN, mode, RDS_DURABILITY_BATCH);
    }
    TELL_FOR(writer, RDS_ERR_IO, VACUUM, 0, 0);
    CHECK(chmod(versions.text, 0777) == 0);
    TELL(writer, CHECK_ROWS, 0, 5);
    actor_leave(writer);
}

CHECK_MAIN(
    RUN(a_table_that_is_removed_under_its_writer_is_not_found_and_does_not_come_back),
    RUN(a_directory_that_is_removed_before_the_first_version_is_an_error),
    RUN(a_table_in_the_place_of_one_that_was_removed_is_not_touched),
    RUN(a_file_where_a_directory_is_to_be_is_an_error_of_the_system),
    RUN(permission_to_write_data_that_is_lost_is_an_error_of_the_system),
    RUN(permission_to_write_versions_that_is_lost_is_an_error_of_the_system),
    RUN(a_place_that_may_not_be_written_to_is_an_error_of_the_system),
    RUN(a_table_that_may_not_be_read_is_an_error_of_the_system_and_not_absent))
