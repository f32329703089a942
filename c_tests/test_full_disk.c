/* A disk that is full: the writer waits for room and goes on when there is some; what was durable stays,
 * whatever its owner does meanwhile. */
#include "small_disk.h"

#include <pthread.h>

#include "staging.h"

enum { SAFE_ROWS = 10, ROWS = 810, STEP = 5, BALLAST_MIB = 44 };

/* A writer whose disk is full, and a thread that goes on writing to it. */
struct full {
    check_path_text ballast, results;
    rds_writer *writer;
    pthread_t thread;
    uint64_t written, ended;
    rds_status status;
    rds_token token;
};

static void *write_rows(void *data) {
    struct full *full = (struct full *)data;
    for (uint64_t row = SAFE_ROWS; row < ROWS && full->status == RDS_OK; row += STEP) {
        full->status = write_wide(full->writer, row, STEP);
        if (full->status == RDS_OK) shared_set(&full->written, row + STEP);
    }
    shared_set(&full->ended, 1);
    return NULL;
}

static int fill(struct full *full, const char *path, uint32_t durability) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    memset(full, 0, sizeof *full);
    if (!mount_small_disk(path)) return 0;
    full->results = path_below(path, "results");
    full->ballast = take_room(path, BALLAST_MIB);
    options.durability = durability, options.checkpoint_ms = 50, options.max_queued_bytes = 1 << 20;
    CHECK_OK(rds_writer_open(full->results.text, &options, &full->writer));
    CHECK_OK(write_wide(full->writer, 0, SAFE_ROWS));
    CHECK_OK(rds_commit(full->writer, NULL, NULL));
    CHECK(pthread_create(&full->thread, NULL, write_rows, full) == 0);
    return await_retrying(full->writer);
}

static void check_goes_on(const char *path, uint32_t durability) {
    struct full full;
    REQUIRE(fill(&full, path, durability));
    /* The thread waits: for its batch, or for room in the queue. */
    uint64_t before = shared_get(&full.written);
    sleep_ms(300);
    CHECK(shared_get(&full.written) <= before + 32);
    CHECK(!shared_get(&full.ended));
    CHECK(stats_of(full.writer).queued_bytes <= (1 << 20) + STEP * (WIDE * sizeof(float) + 64));
    CHECK(stats_of(full.writer).durable_rows >= SAFE_ROWS);
    CHECK(unlink(full.ballast.text) == 0);
    pthread_join(full.thread, NULL);
    CHECK_NUMBER(full.status, RDS_OK);
    CHECK_OK(rds_commit(full.writer, NULL, NULL));
    rds_write_stats stats = stats_of(full.writer);
    CHECK_NUMBER(stats.state, RDS_WRITER_RUNNING);
    CHECK_NUMBER(stats.failure, RDS_OK);
    CHECK_TEXT(stats.failure_message, "");
    CHECK_NUMBER(stats.durable_rows, ROWS);
    CHECK_OK(rds_writer_close(full.writer));
    check_wide(full.results.text, ROWS);
}

/* What is durable waits for the next writer, which goes on from there. */
static void check_after(struct full *full, uint64_t durable, uint64_t written, int recovers) {
    const char *table = full->results.text;
    CHECK(unlink(full->ballast.text) == 0);
    if (recovers) CHECK_OK(rds_recover(table, NULL, NULL));
    rds_writer *writer = table_writer(table, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(rds_writer_close(writer));
    uint64_t rows = check_wide_rows(table);
    CHECK(rows >= durable);
    CHECK(rows <= written);
    writer = table_writer(table, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    CHECK_OK(write_wide(writer, rows, STEP));
    CHECK_OK(rds_writer_close(writer));
    check_wide(table, rows + STEP);
}

static void check_closed(const char *path, uint32_t durability, int aborts) {
    struct full full;
    REQUIRE(fill(&full, path, durability));
    uint64_t durable = stats_of(full.writer).durable_rows;
    double since = seconds();
    rds_status status = aborts ? rds_writer_abort(full.writer) : rds_writer_close(full.writer);
    double took = seconds() - since;
    if (aborts) {
        CHECK(status == RDS_OK || status == RDS_ERR_IO);
        CHECK(took < 4);
    } else if (durability != RDS_DURABILITY_COMMIT) {
        CHECK_NUMBER(status, RDS_ERR_IO);
        CHECK_MESSAGE_HAS("rds_writer_close: ");
        CHECK_MESSAGE_HAS("o space left");
        CHECK(took > 3 && took < 20);
    }
    pthread_join(full.thread, NULL);
    CHECK(full.status == RDS_ERR_INVALID_STATE || full.status == RDS_ERR_INVALID_HANDLE ||
          full.status == RDS_ERR_IO);
    CHECK_STATUS(rds_writer_close(full.writer), RDS_ERR_INVALID_HANDLE);
    if (durability == RDS_DURABILITY_COMMIT) CHECK_NUMBER(durable, SAFE_ROWS);
    /* A call that was refused may have got its rows onto the disk; one of COMMIT may not. */
    uint64_t most = shared_get(&full.written) + STEP;
    check_after(&full, durable, durability == RDS_DURABILITY_COMMIT ? durable : most, aborts);
}

static void go_on_interval(void *path) { check_goes_on((char *)path, RDS_DURABILITY_INTERVAL); }
static void go_on_batch(void *path) { check_goes_on((char *)path, RDS_DURABILITY_BATCH); }
static void go_on_commit(void *path) { check_goes_on((char *)path, RDS_DURABILITY_COMMIT); }
static void close_interval(void *path) { check_closed((char *)path, RDS_DURABILITY_INTERVAL, 0); }
static void close_batch(void *path) { check_closed((char *)path, RDS_DURABILITY_BATCH, 0); }
static void close_commit(void *path) { check_closed((char *)path, RDS_DURABILITY_COMMIT, 0); }
static void abort_batch(void *path) { check_closed((char *)path, RDS_DURABILITY_BATCH, 1); }
static void abort_commit(void *path) { check_closed((char *)path, RDS_DURABILITY_COMMIT, 1); }

static void in_children(child_body *const *bodies, int count) {
    for (int i = 0; i < count; i++) {
        check_path_text path = check_path();
        in_child(bodies[i], path.text);
    }
}

TEST(a_writer_on_a_full_disk_waits_and_goes_on_when_there_is_room) {
    child_body *const bodies[] = {go_on_interval, go_on_batch, go_on_commit};
    in_children(bodies, 3);
}

TEST(a_close_on_a_full_disk_gives_up_and_what_was_durable_waits) {
    child_body *const bodies[] = {close_interval, close_batch, close_commit};
    in_children(bodies, 3);
}

TEST(an_abort_on_a_full_disk_does_not_wait_and_what_was_durable_stays) {
    child_body *const bodies[] = {abort_batch, abort_commit};
    in_children(bodies, 2);
}

/* All rows fit, but not twice. */
static void merge_without_room(void *path) {
    enum { PARTS = 12, PART_ROWS = 100 };
    check_path_text results = path_below((char *)path, "results");
    const char *disk = results.text;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    if (!mount_small_disk((char *)path)) return;
    rds_writer *writer = table_writer(disk, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    for (uint64_t i = 0; i < PARTS; i++) {
        CHECK_OK(write_wide(writer, i * PART_ROWS, PART_ROWS));
        CHECK_OK(rds_flush(writer));
    }
    CHECK_OK(rds_commit(writer, NULL, &info));
    CHECK_NUMBER(info.rows, PARTS * PART_ROWS);
    CHECK_NUMBER(info.data_files, PARTS);
    CHECK_NUMBER(data_files(disk), PARTS);
    check_wide(disk, PARTS * PART_ROWS);
    /* It leaves no file behind that takes the room. */
    CHECK_OK(write_wide(writer, PARTS * PART_ROWS, 100));
    CHECK_OK(rds_flush(writer));
    CHECK_NUMBER(stats_of(writer).visible_rows, PARTS * PART_ROWS + 100);
    CHECK_OK(rds_writer_close(writer));
    check_wide(disk, PARTS * PART_ROWS + 100);
}

TEST(a_merge_without_room_fails_alone_and_the_writer_goes_on) {
    check_path_text path = check_path();
    in_child(merge_without_room, path.text);
}

static void *stage_rows_of(void *data) {
    struct full *full = (struct full *)data;
    for (uint64_t row = SAFE_ROWS; row < ROWS && full->status == RDS_OK; row += STEP) {
        full->status = write_wide(full->writer, row, STEP);
    }
    if (full->status != RDS_OK) return NULL;
    full->status = rds_writer_stage(full->writer, &full->token);
    CHECK((full->token.data != NULL) == (full->status == RDS_OK));
    return NULL;
}

static void check_staging(const char *path, int gets_room) {
    struct full full = {.results = path_below(path, "results")};
    if (!mount_small_disk(path)) return;
    full.ballast = take_room(path, BALLAST_MIB);
    full.writer = table_writer(full.results.text, RDS_MODE_STAGED, RDS_DURABILITY_COMMIT);
    CHECK_OK(write_wide(full.writer, 0, SAFE_ROWS));
    rds_token kept = stage(full.writer);
    pthread_create(&full.thread, NULL, stage_rows_of, &full);
    REQUIRE(await_retrying(full.writer));
    if (!gets_room) CHECK_STATUS(rds_writer_close(full.writer), RDS_ERR_IO);
    CHECK(unlink(full.ballast.text) == 0);
    pthread_join(full.thread, NULL);
    CHECK((full.status == RDS_OK) == gets_room);
    /* What was staged before is as good as it was. */
    CHECK_OK(rds_commit_staged(full.results.text, &kept, 1, NULL, NULL));
    token_free(kept);
    if (gets_room) {
        rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
        options.mode = RDS_MODE_APPEND;
        CHECK_OK(rds_commit_staged(full.results.text, &full.token, 1, &options, NULL));
        CHECK_OK(rds_writer_close(full.writer));
    }
    check_wide(full.results.text, gets_room ? ROWS : SAFE_ROWS);
}

static void stage_and_wait(void *path) { check_staging((char *)path, 1); }
static void stage_and_close(void *path) { check_staging((char *)path, 0); }

TEST(staging_on_a_full_disk_waits_and_earlier_tokens_are_good) {
    child_body *const bodies[] = {stage_and_wait, stage_and_close};
    in_children(bodies, 2);
}

/* Of this process, in bytes. */
static uint64_t resident(void) {
    unsigned long long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%llu %llu", &size, &pages) == 2);
    if (file) fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

enum { TINY_ROWS = 4000000, QUEUE = 8 << 20 };

/* One number a batch. */
static void *write_tiny(void *data) {
    struct full *full = (struct full *)data;
    const int64_t one = 1;
    for (int64_t row = 0; row < TINY_ROWS && full->status == RDS_OK; row++) {
        const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &row);
        const rds_tensor tensor = tensor_of(RDS_DTYPE_INT64, 1, &one, &row);
        full->status = rds_write_tensors(full->writer, &ids, &tensor, 1);
        if (full->status == RDS_OK) shared_set(&full->written, (uint64_t)row + 1);
    }
    return NULL;
}

static void queue_of_tiny_batches(void *path) {
    struct full full = {.results = path_below(path, "results")};
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    if (!mount_small_disk(path)) return;
    full.ballast = take_room(path, DISK_MIB - 2);
    options.durability = RDS_DURABILITY_COMMIT, options.max_queued_bytes = QUEUE;
    CHECK_OK(rds_writer_open(full.results.text, &options, &full.writer));
    uint64_t before = resident(), written = 0;
    pthread_create(&full.thread, NULL, write_tiny, &full);
    REQUIRE(await_retrying(full.writer));
    /* Until it waits for room. */
    do {
        written = shared_get(&full.written);
        sleep_ms(200);
    } while (shared_get(&full.written) != written);
    CHECK(written < TINY_ROWS);
    CHECK(stats_of(full.writer).queued_bytes <= QUEUE);
    CHECK(stats_of(full.writer).queued_bytes > QUEUE / 2);
    uint64_t grown = resident() - before;
#ifndef __SANITIZE_ADDRESS__
    if (!CHECK(grown < 3 * QUEUE)) fprintf(stderr, "    %llu\n", (unsigned long long)grown);
#endif
    (void)grown;
    rds_status status = rds_writer_abort(full.writer);
    CHECK(status == RDS_OK || status == RDS_ERR_IO);
    pthread_join(full.thread, NULL);
}

TEST(a_queue_of_one_row_batches_holds_no_more_memory_than_it_says) {
    check_path_text path = check_path();
    in_child(queue_of_tiny_batches, path.text);
}

CHECK_MAIN(RUN(a_writer_on_a_full_disk_waits_and_goes_on_when_there_is_room),
           RUN(a_close_on_a_full_disk_gives_up_and_what_was_durable_waits),
           RUN(an_abort_on_a_full_disk_does_not_wait_and_what_was_durable_stays),
           RUN(a_merge_without_room_fails_alone_and_the_writer_goes_on),
           RUN(a_queue_of_one_row_batches_holds_no_more_memory_than_it_says),
           RUN(staging_on_a_full_disk_waits_and_earlier_tokens_are_good))
