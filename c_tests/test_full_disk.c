/* A disk that is full: a small one of memory, mounted for one process only, so it needs root or a
 * system that lets everybody have name spaces of his own. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>

#include "processes.h"

enum { DISK = 8 << 20, SAFE_ROWS = 10, WIDE = 1 << 13 };

static void write_text(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    CHECK(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    if (file >= 0) close(file);
}

static int own_name_space(void) {
    char map[64];
    uid_t user = getuid();
    if (unshare(CLONE_NEWNS) == 0) return 1;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 0;
    snprintf(map, sizeof map, "0 %u 1", (unsigned)user);
    write_text("/proc/self/uid_map", map);
    return 1;
}

/* Puts a small disk at `path`, that this process alone sees, and that goes with it. */
static int mount_small_disk(const char *path) {
    CHECK(mkdir(path, 0777) == 0);
    if (own_name_space() && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", path, "tmpfs", 0, "size=8m") == 0) {
        return 1;
    }
    perror("    cannot mount a tmpfs, which this test needs");
    return CHECK(!"a small disk can be mounted");
}

/* Rows of 32 KiB, of one number each. */
static rds_status write_wide(rds_writer *writer, uint64_t first, uint64_t count) {
    int64_t *numbers = (int64_t *)calloc(count, sizeof *numbers), shape[2] = {(int64_t)count, WIDE};
    float *values = (float *)calloc(count * WIDE, sizeof *values);
    for (uint64_t i = 0; i < count; i++) {
        numbers[i] = (int64_t)(first + i);
        for (uint64_t c = 0; c < WIDE; c++) values[i * WIDE + c] = (float)(first + i);
    }
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
    rds_status status = rds_write_tensors(writer, &ids, &tensor);
    free(values);
    free(numbers);
    return status;
}

static void check_wide(const char *path, uint64_t count) {
    float *values = (float *)calloc(WIDE, sizeof *values);
    rds_reader *reader = table_reader(path);
    uint64_t wrong = 0;
    CHECK_NUMBER(table_info(reader).rows, count);
    for (uint64_t row = 0; row < count; row++) {
        CHECK_OK(rds_reader_read(reader, &row, 1, values, WIDE * sizeof *values));
        wrong += values[0] != (float)row || values[WIDE - 1] != (float)row;
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_OK(rds_reader_close(reader));
    free(values);
}

/* At most files of a manifest that could not be written, and these a vacuum can remove. */
static void check_vacuum(const char *path, uint64_t most) {
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = 1;
    sleep_ms(5);
    CHECK_OK(rds_vacuum(path, &options, &info));
    CHECK(info.removed_files <= most);
    CHECK_NUMBER(info.kept_files, 0);
}

static uint64_t durable_rows(rds_writer *writer) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    CHECK_OK(rds_writer_stats(writer, &stats));
    return stats.durable_rows;
}

static void check_refuses(rds_writer *writer, uint32_t durability) {
    CHECK_MESSAGE_HAS("o space left");
    CHECK_STATUS(write_wide(writer, 0, 1), RDS_ERR_IO);
    CHECK_MESSAGE_HAS("o space left");
    if (durability != RDS_DURABILITY_COMMIT) CHECK_STATUS(rds_flush(writer), RDS_ERR_IO);
    CHECK_STATUS(rds_commit(writer, NULL, NULL), RDS_ERR_IO);
}

/* Writes until the disk is full, then goes on when there is room again. */
static void fill(const char *path, uint32_t durability, int aborts) {
    check_path_text ballast = path_below(path, "ballast"), results = path_below(path, "results");
    const char *disk = results.text;
    if (!mount_small_disk(path)) return;
    FILE *file = fopen(ballast.text, "w");
    REQUIRE(CHECK(file != NULL));
    for (int i = 0; i < DISK / 4; i++) fputc('x', file);
    REQUIRE(CHECK(fclose(file) == 0));

    rds_writer *writer = table_writer(disk, RDS_MODE_CREATE, durability);
    CHECK_OK(write_wide(writer, 0, SAFE_ROWS));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    rds_status status = RDS_OK;
    uint64_t rows = SAFE_ROWS;
    for (; rows < DISK / WIDE && status == RDS_OK; rows += 5) status = write_wide(writer, rows, 5);
    if (status == RDS_OK) status = rds_commit(writer, NULL, NULL);
    CHECK_NUMBER(status, RDS_ERR_IO);
    check_refuses(writer, durability);
    uint64_t durable = durable_rows(writer);
    CHECK(durable >= SAFE_ROWS);
    if (durability == RDS_DURABILITY_COMMIT) CHECK_NUMBER(durable, SAFE_ROWS);
    CHECK_STATUS(aborts ? rds_abort(writer) : rds_writer_close(writer), RDS_ERR_IO);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_INVALID_HANDLE);
    check_wide(disk, durable);

    CHECK(unlink(ballast.text) == 0);
    check_vacuum(disk, 3);
    check_wide(disk, durable);
    writer = table_writer(disk, RDS_MODE_APPEND, durability);
    CHECK_OK(write_wide(writer, durable, 5));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    check_wide(disk, durable + 5);
}

static void fill_interval(void *path) { fill((char *)path, RDS_DURABILITY_INTERVAL, 0); }
static void fill_batch(void *path) { fill((char *)path, RDS_DURABILITY_BATCH, 0); }
static void fill_commit(void *path) { fill((char *)path, RDS_DURABILITY_COMMIT, 0); }
static void fill_and_abort(void *path) { fill((char *)path, RDS_DURABILITY_COMMIT, 1); }

TEST(a_full_disk_is_told_and_what_was_durable_stays) {
    child_body *const bodies[] = {fill_interval, fill_batch, fill_commit, fill_and_abort};
    for (int i = 0; i < 4; i++) {
        check_path_text path = check_path();
        in_child(bodies[i], path.text);
    }
}

/* All rows fit, but not twice. */
static void merge_without_room(void *path) {
    enum { PARTS = 6, ROWS = 25 };
    check_path_text results = path_below((char *)path, "results");
    const char *disk = results.text;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    if (!mount_small_disk((char *)path)) return;
    rds_writer *writer = table_writer(disk, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    for (uint64_t i = 0; i < PARTS; i++) CHECK_OK(write_wide(writer, i * ROWS, ROWS));
    CHECK_STATUS(rds_commit(writer, NULL, &info), RDS_ERR_IO);
    CHECK_MESSAGE_HAS("all rows are durable");
    CHECK_MESSAGE_HAS("o space left");
    CHECK_NUMBER(info.rows, 0);
    check_wide(disk, PARTS * ROWS);
    CHECK_NUMBER(data_files(disk), PARTS);
    /* The writer goes on. */
    CHECK_OK(write_wide(writer, PARTS * ROWS, 1));
    CHECK_NUMBER(durable_rows(writer), PARTS * ROWS + 1);
    CHECK_STATUS(rds_commit(writer, NULL, NULL), RDS_ERR_IO);
    CHECK_OK(rds_writer_close(writer));
    check_wide(disk, PARTS * ROWS + 1);
    check_vacuum(disk, 0);
}

TEST(a_merge_without_room_fails_alone_and_the_writer_goes_on) {
    check_path_text path = check_path();
    in_child(merge_without_room, path.text);
}

static void stage_without_room(void *path) {
    check_path_text results = path_below((char *)path, "results");
    const char *disk = results.text;
    rds_token token = {NULL, 0};
    rds_status status = RDS_OK;
    if (!mount_small_disk((char *)path)) return;
    rds_writer *writer = table_writer(disk, RDS_MODE_STAGED, RDS_DURABILITY_COMMIT);
    CHECK_OK(write_wide(writer, 0, SAFE_ROWS));
    CHECK_OK(rds_writer_stage(writer, &token.data, &token.length));
    for (uint64_t rows = 0; rows < DISK / WIDE && status == RDS_OK; rows += 5) {
        status = write_wide(writer, rows, 5);
    }
    const uint8_t *none = NULL;
    size_t length = 0;
    CHECK_STATUS(rds_writer_stage(writer, &none, &length), RDS_ERR_IO);
    CHECK_MESSAGE_HAS("o space left");
    CHECK(none == NULL && length == 0);
    /* What was staged before is as good as it was; its token lives as long as the writer. */
    CHECK_OK(rds_commit_staged(disk, &token, 1, NULL, NULL));
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_IO);
    check_wide(disk, SAFE_ROWS);
    check_vacuum(disk, 0);
}

TEST(staging_on_a_full_disk_is_told_and_earlier_tokens_are_good) {
    check_path_text path = check_path();
    in_child(stage_without_room, path.text);
}

CHECK_MAIN(RUN(a_full_disk_is_told_and_what_was_durable_stays),
           RUN(a_merge_without_room_fails_alone_and_the_writer_goes_on),
           RUN(staging_on_a_full_disk_is_told_and_earlier_tokens_are_good))
