/* A vacuum beside writers of other processes, alive and dead. */
#include "processes.h"
#include "staging.h"

enum { ROWS = 500, BATCHES = 60 };

static struct shared {
    check_path_text path;
    uint64_t mode, wrote, vacuumed, removed, kept, done;
} *shared;

static void begin(uint32_t mode) {
    shared = (struct shared *)shared_memory(sizeof *shared);
    shared->path = check_path();
    shared->mode = mode;
}

static void make_table(void *rows) { table_make(shared->path.text, *(uint64_t *)rows); }

static void vacuum_once(void *older_than_ms) {
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = *(uint64_t *)older_than_ms;
    CHECK_OK(rds_vacuum(shared->path.text, &options, &info));
    shared->removed = info.removed_files, shared->kept = info.kept_files;
}

static void vacuum_in_a_process(uint64_t older_than_ms, uint64_t removed, uint64_t kept) {
    in_child(vacuum_once, &older_than_ms);
    CHECK_NUMBER(shared->removed, removed);
    CHECK_NUMBER(shared->kept, kept);
}

/* Has a data file of its own, in no version, when it says so. */
static void write_and_wait(void *unused) {
    (void)unused;
    const char *path = shared->path.text;
    int before = data_files(path);
    rds_writer *writer = table_writer(path, (uint32_t)shared->mode, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, ROWS, ROWS));
    while (data_files(path) == before) sleep_ms(1);
    shared_set(&shared->wrote, 1);
    shared_await(&shared->vacuumed, 1);
    CHECK_OK(table_write(writer, 2 * ROWS, ROWS));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

static void check_table(void *rows) { table_check_all(shared->path.text, *(uint64_t *)rows); }

TEST(the_file_of_a_living_writer_is_left_alone) {
    uint64_t rows = ROWS, all = 3 * ROWS;
    begin(RDS_MODE_APPEND);
    in_child(make_table, &rows);
    pid_t writer = child_start(write_and_wait, NULL);
    shared_await(&shared->wrote, 1);
    sleep_ms(5);
    vacuum_in_a_process(1, 0, 1);
    CHECK_NUMBER(data_files(shared->path.text), 2);
    shared_set(&shared->vacuumed, 1);
    child_wait(writer);
    in_child(check_table, &all);
}

TEST(the_file_of_a_killed_writer_goes_at_once) {
    uint64_t rows = ROWS;
    begin(RDS_MODE_APPEND);
    in_child(make_table, &rows);
    pid_t writer = child_start(write_and_wait, NULL);
    shared_await(&shared->wrote, 1);
    child_kill(writer);
    CHECK_NUMBER(data_files(shared->path.text), 2);
    vacuum_in_a_process(0, 1, 0);
    CHECK_NUMBER(data_files(shared->path.text), 1);
    in_child(check_table, &rows);
}

TEST(a_run_killed_before_its_first_checkpoint_leaves_what_a_vacuum_removes) {
    uint64_t rows = ROWS;
    begin(RDS_MODE_CREATE);
    pid_t writer = child_start(write_and_wait, NULL);
    shared_await(&shared->wrote, 1);
    child_kill(writer);
    CHECK_NUMBER(data_files(shared->path.text), 1);
    CHECK_NUMBER(versions(shared->path.text), 0);
    vacuum_in_a_process(0, 1, 0);
    CHECK_NUMBER(data_files(shared->path.text), 0);
    in_child(make_table, &rows);
    in_child(check_table, &rows);
}

TEST(what_a_killed_writer_had_not_staged_goes_when_it_is_old) {
    begin(RDS_MODE_STAGED);
    pid_t writer = child_start(write_and_wait, NULL);
    shared_await(&shared->wrote, 1);
    child_kill(writer);
    vacuum_in_a_process(0, 0, 1);
    CHECK_NUMBER(data_files(shared->path.text), 1);
    sleep_ms(5);
    vacuum_in_a_process(1, 1, 0);
    CHECK_NUMBER(data_files(shared->path.text), 0);
}

static void write_many(void *unused) {
    (void)unused;
    int batches = check_rounds(BATCHES);
    rds_writer *writer = table_writer(shared->path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    for (int i = 0; i < batches; i++) {
        CHECK_OK(table_write(writer, (uint64_t)i * 5, 5));
        if (i % 20 == 19) CHECK_OK(rds_commit(writer, NULL, NULL));
        shared_set(&shared->wrote, 1);
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    shared_set(&shared->done, 1);
    table_check_all(shared->path.text, (uint64_t)batches * 5);
    CHECK_NUMBER(data_files(shared->path.text), 1);
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
    begin(RDS_MODE_CREATE);
    pid_t writer = child_start(write_many, NULL), vacuum = child_start(vacuum_on, NULL);
    child_wait(writer);
    shared_set(&shared->done, 1);
    child_wait(vacuum);
}

CHECK_MAIN(RUN(the_file_of_a_living_writer_is_left_alone),
           RUN(the_file_of_a_killed_writer_goes_at_once),
           RUN(a_run_killed_before_its_first_checkpoint_leaves_what_a_vacuum_removes),
           RUN(what_a_killed_writer_had_not_staged_goes_when_it_is_old),
           RUN(vacuums_in_a_row_take_nothing_from_a_writer_that_merges_and_commits))
