/* A small disk of memory, mounted for one process only, so it needs root or a system that lets everybody
 * have name spaces of his own; and rows that fill it soon. */
#ifndef SMALL_DISK_H
#define SMALL_DISK_H

/* For unshare(): this header comes first. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>

#include "processes.h"

/* Rows of 32 KiB. */
enum { DISK_MIB = 64, WIDE = 1 << 13 };

static inline void write_text(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    CHECK(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    if (file >= 0) close(file);
}

static inline int own_name_space(void) {
    char map[64];
    uid_t user = getuid();
    if (unshare(CLONE_NEWNS) == 0) return 1;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 0;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)user);
    write_text("/proc/self/uid_map", map);
    return 1;
}

/* Puts a small disk at `path`, that this process alone sees, and that goes with it. */
static inline int mount_small_disk(const char *path) {
    char size[32];
    snprintf(size, sizeof size, "size=%dm", DISK_MIB);
    CHECK(mkdir(path, 0777) == 0);
    if (own_name_space() && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", path, "tmpfs", 0, size) == 0) {
        return 1;
    }
    perror("    cannot mount a tmpfs, which this test needs");
    return CHECK(!"a small disk can be mounted");
}

/* Takes room away, until the file is removed. */
static inline check_path_text take_room(const char *path, int mebibytes) {
    check_path_text ballast = path_below(path, "ballast");
    int file = open(ballast.text, O_WRONLY | O_CREAT, 0666);
    CHECK(file >= 0 && posix_fallocate(file, 0, (off_t)mebibytes << 20) == 0);
    if (file >= 0) close(file);
    return ballast;
}

/* Rows of one number each, the number of the row. */
static inline rds_status write_wide(rds_writer *writer, uint64_t first, uint64_t count) {
    int64_t *numbers = (int64_t *)calloc(count, sizeof *numbers), shape[2] = {(int64_t)count, WIDE};
    float *values = (float *)calloc(count * WIDE, sizeof *values);
    for (uint64_t i = 0; i < count; i++) {
        numbers[i] = (int64_t)(first + i);
        for (uint64_t c = 0; c < WIDE; c++) values[i * WIDE + c] = (float)(first + i);
    }
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
    rds_status status = rds_write_tensors(writer, &ids, &tensor, 1);
    free(values);
    free(numbers);
    return status;
}

/* The table has rows 0 .. and no others; returns how many. */
static inline uint64_t check_wide_rows(const char *path) {
    float *values = (float *)calloc(WIDE, sizeof *values);
    rds_reader *reader = table_reader(path);
    uint64_t count = table_info(reader).rows, wrong = 0;
    for (uint64_t row = 0; row < count; row++) {
        const char *id = NULL;
        size_t length = 0;
        char name[24];
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, WIDE * sizeof *values));
        CHECK_OK(rds_reader_id(reader, row, &id, &length));
        snprintf(name, sizeof name, "%llu", (unsigned long long)row);
        wrong += length != strlen(name) || memcmp(id, name, length) != 0;
        wrong += values[0] != (float)row || values[WIDE - 1] != (float)row;
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_OK(rds_reader_close(reader));
    free(values);
    return count;
}

static inline void check_wide(const char *path, uint64_t count) {
    CHECK_NUMBER(check_wide_rows(path), count);
}

static inline rds_write_stats stats_of(rds_writer *writer) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    CHECK_OK(rds_writer_stats(writer, &stats));
    return stats;
}

/* Waits until the writer tries again what fails for want of room. */
static inline int await_retrying(rds_writer *writer) {
    /* An attempt that failed gives back what it had taken, so the writer may go on for a while. */
    for (int i = 0, stuck = 0; i < 300 && stuck < 5; i++) {
        rds_write_stats before = stats_of(writer);
        sleep_ms(100);
        rds_write_stats after = stats_of(writer);
        int same = before.accepted_rows == after.accepted_rows && before.durable_rows == after.durable_rows;
        stuck = same && after.state == RDS_WRITER_RETRYING ? stuck + 1 : 0;
    }
    rds_write_stats stats = stats_of(writer);
    CHECK_NUMBER(stats.failure, RDS_ERR_IO);
    CHECK_CONTAINS(stats.failure_message, "o space left");
    return CHECK_NUMBER(stats.state, RDS_WRITER_RETRYING);
}

static inline double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#endif
