/* A vacuum beside writers of other processes, alive and dead. */
#include "processes.h"
#include "staging.h"

enum { ROWS = 500, BATCHES = 60 };

static struct shared {
    check_path_text path;
    uint64_t mode, durability, wrote, vacuumed, removed, done;
} *shared;

static void begin(uint32_t mode, uint32_t durability) {
    shared = (struct shared *)shared_memory(sizeof *shared);
    shared->path = check_path();
    shared->mode = mode, shared->durability = durability;
}

static void make_table(void *rows) { table_make(shared->path.text, *(uint64_t *)rows); }
static void check_table(void *rows) { table_check_all(shared->path.text, *(uint64_t *)rows); }

static void vacuum_once(void *unused) {
    (void)unused;
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = 1;
    sleep_ms(5);
    CHECK_OK(rds_vacuum(shared->path.text, &options, &info));
    shared->removed = info.removed_files;
}

static void recover_once(void *unused) {
    (void)unused;
    CHECK_OK(rds_recover(shared->path.text, NULL, NULL));
}

/* Has rows of its own, in no version, when it says so. */
static void write_and_wait(void *unused) {
    (void)unused;
    const char *path = shared->path.text;
    rds_writer *writer = table_writer(path, (uint32_t)shared->mode, (uint32_t)shared->durability);
    CHECK_OK(table_write(writer, ROWS, ROWS));
    while (run_files(path, ".lance") == 0) sleep_ms(1);
    shared_set(&shared->wrote, 1);
    shared_await(&shared->vacuumed, 1);
    CHECK_OK(table_write(writer, 2 * ROWS, ROWS));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

TEST(the_rows_of_a_living_writer_are_left_alone) {
    for (uint32_t durability = 0; durability <= RDS_DURABILITY_COMMIT; durability++) {
        uint64_t rows = ROWS, all = 3 * ROWS;
        begin(RDS_MODE_APPEND, durability);
        in_child(make_table, &rows);
        in_child(vacuum_once, NULL);
        pid_t writer = child_start(write_and_wait, NULL);
        shared_await(&shared->wrote, 1);
        in_child(vacuum_once, NULL);
        CHECK_NUMBER(shared->removed, 0);
        shared_set(&shared->vacuumed, 1);
        child_wait(writer);
        in_child(check_table, &all);
    }
}

TEST(the_durable_rows_of_a_killed_writer_are_left_alone) {
    uint64_t rows = ROWS, all = 2 * ROWS;
    begin(RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    in_child(make_table, &rows);
    in_child(vacuum_once, NULL);
    pid_t writer = child_start(write_and_wait, NULL);
    shared_await(&shared->wrote, 1);
    child_kill(writer);
    in_child(vacuum_once, NULL);
    CHECK_NUMBER(shared->removed, 0);
    in_child(recover_once, NULL);
    in_child(check_table, &all);
}

/* Of rows that were not durable nothing is left for ever. */
TEST(what_a_killed_writer_had_not_made_durable_is_removed_by_a_recovery_or_a_vacuum) {
    const uint32_t modes[] = {RDS_MODE_CREATE, RDS_MODE_APPEND, RDS_MODE_OVERWRITE, RDS_MODE_STAGED};
    for (int i = 0; i < 4; i++) {
        uint64_t rows = ROWS;
        begin(modes[i], RDS_DURABILITY_COMMIT);
        if (modes[i] != RDS_MODE_CREATE) {
            in_child(make_table, &rows);
            in_child(vacuum_once, NULL);
        }
        pid_t writer = child_start(write_and_wait, NULL);
        shared_await(&shared->wrote, 1);
        child_kill(writer);
        in_child(recover_once, NULL);
        in_child(vacuum_once, NULL);
        if (!CHECK_NUMBER(run_files(shared->path.text, ""), 0)) {
            fprintf(stderr, "    mode %u\n", modes[i]);
        }
        if (modes[i] == RDS_MODE_CREATE) in_child(make_table, &rows);
        in_child(check_table, &rows);
    }
}

static void write_many(void *unused) {
    (void)unused;
    int batches = check_rounds(BATCHES);
    rds_writer *writer = table_writer(shared->path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    for (int i = 0; i < batches; i++) {
        CHECK_OK(table_write(writer, (uint64_t)i * 5, 5));
        if (i % 3 == 2) CHECK_OK(rds_commit(writer, NULL, NULL));
        shared_set(&shared->wrote, 1);
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    shared_set(&shared->done, 1);
    table_check_all(shared->path.text, (uint64_t)batches * 5);
}

static void vacuum_on(void *unused) {
    (void)unused;
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = 3600 * 1000;
    shared_await(&shared->wrote, 1);
    while (!shared_get(&shared->done) && !check_failures) {
        CHECK_OK(rds_vacuum(shared->path.text, &options, NULL));
        shared_set(&shared->vacuumed, shared->vacuumed + 1);
    }
    CHECK(shared->vacuumed > 1);
}

TEST(vacuums_in_a_row_take_nothing_from_a_writer_that_merges_and_commits) {
    begin(RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    pid_t writer = child_start(write_many, NULL), vacuum = child_start(vacuum_on, NULL);
    child_wait(writer);
    shared_set(&shared->done, 1);
    child_wait(vacuum);
}

CHECK_MAIN(RUN(the_rows_of_a_living_writer_are_left_alone),
           RUN(the_durable_rows_of_a_killed_writer_are_left_alone),
           RUN(what_a_killed_writer_had_not_made_durable_is_removed_by_a_recovery_or_a_vacuum),
           RUN(vacuums_in_a_row_take_nothing_from_a_writer_that_merges_and_commits))
