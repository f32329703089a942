/* What a checkpoint syncs, and in which order: the functions of the C library that matter are replaced
 * here, noted, and done. The library finds these before those of libc. */
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>

#include "files.h"

#ifndef SYS_linkat
#error "no linkat"
#endif

long syscall(long number, ...);

enum { EVENTS = 4096 };

typedef struct {
    char what; /* 's' synced, 'n' given its name */
    char path[PATH_MAX];
} event;

static event events[EVENTS];
static int event_count;

static void note(char what, const char *path) {
    int at = __atomic_fetch_add(&event_count, 1, __ATOMIC_SEQ_CST);
    if (at >= EVENTS) return;
    events[at].what = what;
    snprintf(events[at].path, sizeof events[at].path, "%s", path);
}

static int note_sync(int fd, long number) {
    char link[64], path[PATH_MAX] = "";
    int result = (int)syscall(number, fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0 && result == 0) note('s', path);
    return result;
}

int fsync(int fd);
int fdatasync(int fd);
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);

int fsync(int fd) { return note_sync(fd, SYS_fsync); }

/* Does not count: a file that grew is durable with fsync only. */
int fdatasync(int fd) { return (int)syscall(SYS_fdatasync, fd); }

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
    for (int i = from; i < event_count && i < EVENTS; i++) {
        if (events[i].what == what && strstr(events[i].path, part) && ends_in(events[i].path, end)) {
            return i;
        }
    }
    return -1;
}

/* One commit, between two numbers of events: data, its directory, the manifest's name, the manifest,
 * the directory of that. */
static int check_commit(int from) {
    int data = event_after(from, 's', "/data/rds-", ".lance");
    int data_dir = event_after(data, 's', "/results.lance/data", "/data");
    int named = event_after(from, 'n', "/_versions/", ".manifest");
    int manifest = event_after(named, 's', "/_versions/", ".manifest");
    int versions = event_after(manifest, 's', "/results.lance/_versions", "/_versions");
    CHECK(data >= 0);
    CHECK(data_dir > data);
    CHECK(named > data_dir);
    CHECK(manifest > named);
    CHECK(versions > manifest);
    return versions + 1;
}

TEST(data_is_on_disk_before_its_manifest_and_both_with_their_directories) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    event_count = 0;
    CHECK_OK(table_write(writer, 0, 3));
    int next = check_commit(0);
    /* The first one makes the directories too. */
    CHECK(event_after(0, 's', path.text, "/results.lance") >= 0);
    CHECK(event_after(0, 's', path.text, "/lance_db") >= 0);
    CHECK(event_after(0, 's', path.text, path.text) >= 0);
    CHECK_OK(table_write(writer, 3, 3));
    check_commit(next);
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_merged_file_is_on_disk_before_the_manifest_that_names_it) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 0, 3));
    CHECK_OK(table_write(writer, 3, 3));
    event_count = 0;
    CHECK_OK(rds_commit(writer, NULL, NULL));
    check_commit(0);
    CHECK_OK(rds_writer_close(writer));
}

TEST(staged_rows_are_on_disk_with_their_token) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    const uint8_t *token = NULL;
    size_t length = 0;
    CHECK_OK(table_write(writer, 0, 3));
    event_count = 0;
    CHECK_OK(rds_writer_stage(writer, &token, &length));
    int data = event_after(0, 's', "/data/rds-staged-", ".lance");
    CHECK(data >= 0);
    CHECK(event_after(data, 's', "/results.lance/data", "/data") > data);
    CHECK(event_after(0, 's', path.text, path.text) >= 0);
    CHECK_OK(rds_writer_close(writer));
}

CHECK_MAIN(RUN(data_is_on_disk_before_its_manifest_and_both_with_their_directories),
           RUN(a_merged_file_is_on_disk_before_the_manifest_that_names_it),
           RUN(staged_rows_are_on_disk_with_their_token))
