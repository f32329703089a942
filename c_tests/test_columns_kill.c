/* Durable rows of several columns outlive a kill, with all their columns. */
#include "columns.h"
#include "dead_runs.h"

struct killed {
    check_path_text path;
    uint64_t mode, first, *acknowledged;
};

static struct killed killed_new(void) {
    struct killed killed = {check_path(), RDS_MODE_CREATE, 0, (uint64_t *)shared_memory(sizeof(uint64_t))};
    return killed;
}

/* Batches of growing size, in changing orders, each durable with its call; then the end. */
static void write_and_die(void *data) {
    const struct killed *killed = (const struct killed *)data;
    rds_writer *writer = table_writer(killed->path.text, (uint32_t)killed->mode, RDS_DURABILITY_BATCH);
    uint64_t row = killed->first;
    for (uint64_t i = 1; i <= 12 && !check_failures; i++) {
        CHECK_OK(columns_write_turned(writer, mixed, MIXED, row, i, (size_t)i % MIXED));
        row += i;
        shared_set(killed->acknowledged, row);
        if (i == 7) CHECK_OK(rds_flush(writer));
    }
    if (!check_failures) kill(getpid(), SIGKILL);
}

static void in_killed_child(struct killed *killed) {
    int status = 0;
    pid_t child = child_start(write_and_die, killed);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void recover_and_check(void *data) {
    const struct killed *killed = (const struct killed *)data;
    recover(killed->path.text, NULL, 0, RDS_OK);
    columns_check_at(killed->path.text, mixed, MIXED, shared_get(killed->acknowledged));
}

static void append_and_check(void *data) {
    const struct killed *killed = (const struct killed *)data;
    rds_writer *writer = table_writer(killed->path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
    CHECK_OK(columns_write_turned(writer, mixed, MIXED, shared_get(killed->acknowledged), 5, 4));
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(killed->path.text, mixed, MIXED, shared_get(killed->acknowledged) + 5);
}

TEST(batches_that_were_durable_are_recovered_and_finished_by_who_appends) {
    child_body *const ways[] = {recover_and_check, append_and_check};
    for (int way = 0; way < 2; way++) {
        struct killed killed = killed_new();
        in_killed_child(&killed);
        CHECK_NUMBER(shared_get(killed.acknowledged), 78);
        in_child(recover_and_check, &killed);
        killed.mode = RDS_MODE_APPEND, killed.first = 78;
        in_killed_child(&killed);
        CHECK_NUMBER(shared_get(killed.acknowledged), 156);
        in_child(ways[way], &killed);
    }
}

/* Until it is killed. Batches of all sizes, so that some go into the journal whole and others beside it. */
static void write_on(void *data) {
    const struct killed *killed = (const struct killed *)data;
    rds_writer *writer = table_writer(killed->path.text, (uint32_t)killed->mode, RDS_DURABILITY_BATCH);
    uint64_t row = killed->first;
    for (uint64_t i = 0; !check_failures; i++) {
        uint64_t rows = i % 5 == 4 ? 3000 : 1 + i % 7;
        CHECK_OK(columns_write_turned(writer, mixed, MIXED, row, rows, (size_t)i % MIXED));
        row += rows;
        shared_set(killed->acknowledged, row);
        if (i % 11 == 10) CHECK_OK(rds_flush(writer));
        if (i % 40 == 39) CHECK_OK(rds_commit(writer, NULL, NULL));
    }
}

/* All that were acknowledged, perhaps one batch more, and nothing else. */
static void recover_and_count(void *data) {
    const struct killed *killed = (const struct killed *)data;
    recover(killed->path.text, NULL, 0, RDS_OK);
    long long rows = table_rows(killed->path.text);
    uint64_t acknowledged = shared_get(killed->acknowledged);
    if (rows < 0) rows = 0;
    CHECK(rows >= (long long)acknowledged && rows <= (long long)acknowledged + 3000);
    if (rows) columns_check_at(killed->path.text, mixed, MIXED, (uint64_t)rows);
    shared_set(killed->acknowledged, (uint64_t)rows);
}

TEST(a_kill_at_any_moment_loses_no_column_of_an_acknowledged_row) {
    uint32_t state = 7;
    for (int table = 0; table < 3; table++) {
        struct killed killed = killed_new();
        for (int round = 0; round < check_rounds(10) && !check_failures; round++) {
            pid_t child = child_start(write_on, &killed);
            state = state * 1664525u + 1013904223u;
            sleep_ms((long)(state >> 24));
            child_kill(child);
            in_child(recover_and_count, &killed);
            killed.first = shared_get(killed.acknowledged);
            killed.mode = killed.first ? RDS_MODE_APPEND : RDS_MODE_CREATE;
        }
    }
}

CHECK_MAIN(RUN(batches_that_were_durable_are_recovered_and_finished_by_who_appends),
           RUN(a_kill_at_any_moment_loses_no_column_of_an_acknowledged_row))
