/* What a batch, a version and a token sync, and in which order, and what comes of a sync that fails: the
 * functions of the C library that matter are replaced here, noted, and done. The library finds these before
 * those of libc. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>

#include "parts.h"

long syscall(long number, ...);

enum { EVENTS = 4096 };

typedef struct {
    char what; /* 's' synced, 'd' its data synced, 'n' given its name */
    char path[PATH_MAX];
} event;

static event events[EVENTS];
static int event_count;
/* Syncs of paths with this in them fail so. */
static const char *failing;
static int failure;
/* And those of this one path. */
static const char *failing_path;
/* Syncs of directories are refused, as where there is no such thing. */
static int directories_fail;

static void note(char what, const char *path) {
    int at = __atomic_fetch_add(&event_count, 1, __ATOMIC_SEQ_CST);
    if (at >= EVENTS) return;
    events[at].what = what;
    snprintf(events[at].path, sizeof events[at].path, "%s", path);
}

static int note_sync(int fd, long number, char what) {
    char link[64], path[PATH_MAX] = "";
    struct stat info;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (directories_fail && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    if (readlink(link, path, sizeof path - 1) < 0) path[0] = 0;
    if ((failing && strstr(path, failing)) || (failing_path && strcmp(path, failing_path) == 0)) {
        errno = failure;
        return -1;
    }
    int result = (int)syscall(number, fd);
    /* The next segment of a journal is made in the background. */
    if (result == 0 && !strstr(path, "/spare.")) note(what, path);
    return result;
}

int fsync(int fd);
int fdatasync(int fd);
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);

int fsync(int fd) { return note_sync(fd, SYS_fsync, 's'); }
int fdatasync(int fd) { return note_sync(fd, SYS_fdatasync, 'd'); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    int result = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (result == 0) note('n', to);
    return result;
}

static int ends_in(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

/* The first event of that kind from `from` on whose path has `part` in it and ends in `end`; -1 if there
 * is none. */
static int event_after(int from, char what, const char *part, const char *end) {
    for (int i = from < 0 ? 0 : from; i < event_count && i < EVENTS; i++) {
        if (events[i].what == what && strstr(events[i].path, part) && ends_in(events[i].path, end)) {
            return i;
        }
    }
    return -1;
}

/* A version, from a number of events on: the data file, its name among the table's, their directory; the
 * transaction and its directory; the manifest before it has its name, and the directory of that. */
static int check_version(int from) {
    int data = event_after(from, 's', "/_rds/", ".lance");
    int named = event_after(data, 'n', "/data/rds-", ".lance");
    int data_dir = event_after(named, 's', "/results.lance/data", "/data");
    int transaction = event_after(data_dir, 's', "/_transactions/", ".txn");
    int transactions = event_after(transaction, 's', "/results.lance/_transactions", "s");
    int version = event_after(data_dir, 'n', "/_versions/", ".manifest");
    int manifest = event_after(data_dir, 's', "/_versions/", "");
    int versions = event_after(version, 's', "/results.lance/_versions", "/_versions");
    CHECK(data >= 0);
    CHECK(named > data);
    CHECK(data_dir > named);
    CHECK(transaction > data_dir && transaction < version);
    CHECK(transactions > transaction && transactions < version);
    CHECK(manifest > data_dir && manifest < version);
    CHECK(versions > version);
    return versions + 1;
}

TEST(a_durable_batch_is_on_disk_with_its_directories_and_makes_no_version) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    event_count = 0;
    CHECK_OK(table_write(writer, 0, 3));
    CHECK(event_after(0, 'd', "/_rds/", "") >= 0);
    CHECK(event_after(0, 's', "/results.lance/_rds/", "") >= 0);
    CHECK(event_after(0, 's', path.text, "/_rds") >= 0);
    CHECK(event_after(0, 's', path.text, "/results.lance") >= 0);
    CHECK(event_after(0, 's', path.text, "/lance_db") >= 0);
    CHECK(event_after(0, 's', path.text, path.text) >= 0);
    for (uint64_t i = 1; i < 4; i++) {
        event_count = 0;
        CHECK_OK(table_write(writer, i * 3, 3));
        /* The journal alone, in one go. */
        CHECK_NUMBER(event_count, 1);
        CHECK(event_after(0, 'd', "/_rds/", "") == 0 && strstr(events[0].path, "/journal."));
    }
    CHECK(event_after(0, 'n', "/_versions/", "") < 0);
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_large_durable_batch_is_on_disk_with_its_journal) {
    check_path_text path = check_path();
    int64_t numbers[64], shape[2] = {64, 1 << 14};
    float *values = (float *)calloc(64 << 14, sizeof *values);
    for (int i = 0; i < 64; i++) numbers[i] = i;
    rds_ids ids = ids_of(RDS_IDS_INT64, 64, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    event_count = 0;
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK(event_after(0, 'd', "/_rds/", ".lance") >= 0);
    CHECK(event_after(0, 'd', "/journal.", "") >= 0);
    CHECK_OK(rds_writer_close(writer));
    free(values);
}

TEST(data_is_on_disk_before_its_manifest_and_both_with_their_directories) {
    const uint32_t durabilities[] = {RDS_DURABILITY_BATCH, RDS_DURABILITY_COMMIT};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, durabilities[i]);
        event_count = 0;
        CHECK_OK(table_write(writer, 0, 3));
        CHECK_OK(rds_commit(writer, NULL, NULL));
        int next = check_version(0);
        CHECK(event_after(0, 's', path.text, "/results.lance") >= 0);
        CHECK(event_after(0, 's', path.text, path.text) >= 0);
        CHECK_OK(table_write(writer, 3, 3));
        CHECK_OK(rds_commit(writer, NULL, NULL));
        check_version(next);
        CHECK_OK(rds_writer_close(writer));
    }
}

TEST(a_merged_file_is_on_disk_before_the_manifest_that_names_it) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 0, 3));
    CHECK_OK(rds_flush(writer));
    CHECK_OK(table_write(writer, 3, 3));
    CHECK_OK(rds_flush(writer));
    event_count = 0;
    CHECK_OK(rds_writer_close(writer));
    check_version(0);
    table_check_all(path.text, 6);
}

TEST(staged_rows_are_on_disk_with_their_token) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    rds_token token = {NULL, 0};
    event_count = 0;
    CHECK_OK(table_write(writer, 0, 3));
    CHECK_OK(rds_writer_stage(writer, &token));
    int data = event_after(0, 's', "/_rds/", ".lance");
    CHECK(data >= 0);
    CHECK(event_after(data + 1, 's', "/results.lance/_rds/", "") > data);
    CHECK(event_after(0, 's', path.text, path.text) >= 0);
    CHECK_OK(rds_writer_close(writer));
}

static rds_writer *durable_part(const char *path) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_STAGED, options.job = "job", options.durability = RDS_DURABILITY_BATCH;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    CHECK_OK(small_write(writer, 0, 3));
    return writer;
}

TEST(a_durable_part_is_on_disk_with_all_its_directories) {
    check_path_text path = check_path();
    event_count = 0;
    rds_writer *writer = durable_part(path.text);
    rds_token token = stage(writer);
    int data = event_after(0, 'd', "/_rds/jobs/job/0/0-", ".writing");
    CHECK(data >= 0);
    /* It has its name by then. */
    CHECK(event_after(data, 's', "/_rds/jobs/job/0", "/0") > data);
    CHECK(event_after(0, 's', path.text, "/job") >= 0);
    CHECK(event_after(0, 's', path.text, "/jobs") >= 0);
    CHECK(event_after(0, 's', path.text, "/_rds") >= 0);
    CHECK(event_after(0, 's', path.text, "/results.lance") >= 0);
    CHECK(event_after(0, 's', path.text, "/lance_db") >= 0);
    CHECK(event_after(0, 's', path.text, path.text) >= 0);
    CHECK_OK(rds_writer_close(writer));
    token_free(token);
}

TEST(parts_are_on_disk_as_data_files_before_their_manifest_and_not_earlier) {
    for (int is_packed = 0; is_packed < 2; is_packed++) {
        check_path_text path = check_path();
        rds_token token = small_part(path.text, "job", 0, 0, 10, 10);
        event_count = 0;
        rds_token other = small_part(path.text, "job", 1, 10, 10, 10);
        CHECK_NUMBER(event_count, 0);
        const rds_token tokens[2] = {token, other};
        if (is_packed) CHECK_NUMBER(pack_share(path.text, "job", tokens, 2, 0, 1), 20);
        CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_CREATE, NULL));
        check_version(0);
        token_free(token), token_free(other);
    }
}

/* The token was not given, and so the part is not staged: it is asked for again. */
TEST(a_part_whose_sync_failed_loses_no_row) {
    check_path_text path = check_path(), directory = group_directory(path.text, "job");
    rds_token token = {NULL, 9};
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_writer *writer = durable_part(path.text);
    failing_path = directory.text, failure = EIO;
    CHECK_STATUS(rds_writer_stage(writer, &token), RDS_ERR_IO);
    CHECK_MESSAGE_HAS("fsync of ");
    failing_path = NULL;
    rds_status again = rds_writer_stage(writer, &token);
    CHECK(again == RDS_OK || again == RDS_ERR_IO);
    if (again == RDS_OK) {
        CHECK_OK(commit_job(path.text, "job", &token, 1, RDS_MODE_CREATE, &info));
        CHECK_NUMBER(info.rows, 3);
    }
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_failed_sync_ends_the_writer_and_what_was_durable_stays) {
    const char *const places[] = {"/journal.", "/data", "/_versions"};
    for (int i = 0; i < 3; i++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
        rds_write_stats stats = RDS_WRITE_STATS_INIT;
        CHECK_OK(table_write(writer, 0, 3));
        CHECK_OK(rds_flush(writer));
        CHECK_OK(table_write(writer, 3, 3));
        failing = places[i], failure = EIO;
        rds_status status = i ? rds_flush(writer) : table_write(writer, 6, 3);
        /* After its link a version may be there or not. */
        CHECK(status == RDS_ERR_IO || (i == 2 && status == RDS_ERR_COMMIT_UNKNOWN));
        failing = NULL;
        /* Not tried again: the next sync of the same file would lie. */
        sleep_ms(20);
        CHECK_STATUS(table_write(writer, 9, 3), status);
        CHECK_MESSAGE_HAS("fsync of ");
        CHECK_OK(rds_writer_stats(writer, &stats));
        CHECK_NUMBER(stats.durable_rows, 6);
        CHECK_NUMBER(stats.state, RDS_WRITER_FAILED);
        CHECK_STATUS(rds_writer_close(writer), status);
        CHECK_OK(rds_recover(path.text, NULL, NULL));
        rds_reader *reader = table_reader(path.text);
        uint64_t rows = table_info(reader).rows;
        CHECK(rows == 6 || (i == 0 && rows == 9));
        table_check(reader, 0, rows);
        CHECK_OK(rds_reader_close(reader));
    }
}

/* Some file systems cannot sync directories. */
TEST(directories_that_cannot_be_synced_are_passed_over) {
    check_path_text path = check_path();
    directories_fail = 1;
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 0, 3));
    CHECK_OK(rds_flush(writer));
    CHECK_OK(table_write(writer, 3, 3));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    directories_fail = 0;
    table_check_all(path.text, 6);
}

CHECK_MAIN(RUN(a_durable_batch_is_on_disk_with_its_directories_and_makes_no_version),
           RUN(a_large_durable_batch_is_on_disk_with_its_journal),
           RUN(data_is_on_disk_before_its_manifest_and_both_with_their_directories),
           RUN(a_merged_file_is_on_disk_before_the_manifest_that_names_it),
           RUN(staged_rows_are_on_disk_with_their_token),
           RUN(a_durable_part_is_on_disk_with_all_its_directories),
           RUN(parts_are_on_disk_as_data_files_before_their_manifest_and_not_earlier),
           RUN(a_part_whose_sync_failed_loses_no_row),
           RUN(a_failed_sync_ends_the_writer_and_what_was_durable_stays),
           RUN(directories_that_cannot_be_synced_are_passed_over))
