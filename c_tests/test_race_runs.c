/* Writers in several processes on one table at full speed, none waiting for another: what each was
 * told is what the table has. */
#include "processes.h"

enum { MOST = 6, BATCH = 3, RANGE = 2000 };

static struct shared {
    check_path_text path;
    uint64_t ready, go;
    struct {
        uint64_t mode, durability, batches, commits_every;
        /* What it was told: rows it may count on, and the first call that failed. */
        uint64_t rows, status;
        char message[400];
    } runs[MOST];
} *shared;

static void begin(int runs, uint32_t mode, uint32_t durability, uint64_t batches) {
    shared = (struct shared *)shared_memory(sizeof *shared);
    shared->path = check_path();
    for (int i = 0; i < runs; i++) {
        shared->runs[i].mode = mode, shared->runs[i].durability = durability;
        shared->runs[i].batches = batches;
    }
}

/* Rows (number + 1) * RANGE .. of the writer with that number; number 0 makes the table before the
 * others. */
static void write_some(void *data) {
    uint64_t number = *(uint64_t *)data, rows = 0;
    uint64_t batches = shared->runs[number].batches, every = shared->runs[number].commits_every;
    rds_writer *writer = table_writer(shared->path.text, (uint32_t)shared->runs[number].mode,
                                      (uint32_t)shared->runs[number].durability);
    rds_status status = RDS_OK;
    __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    shared_await(&shared->go, 1);
    for (uint64_t i = 0; i < batches && status == RDS_OK; i++, rows += BATCH) {
        status = table_write(writer, (number + 1) * RANGE + rows, BATCH);
        if (status == RDS_OK && every && i % every == every - 1) {
            status = rds_commit(writer, NULL, NULL);
        }
    }
    if (status == RDS_OK) status = rds_commit(writer, NULL, NULL);
    snprintf(shared->runs[number].message, 400, "%s", rds_last_error_message());
    CHECK_STATUS(rds_writer_close(writer), status);
    shared->runs[number].status = status;
    shared->runs[number].rows = status == RDS_OK ? rows : 0;
}

static void race(int runs) {
    pid_t children[MOST];
    uint64_t numbers[MOST];
    for (int i = 0; i < runs; i++) {
        numbers[i] = (uint64_t)i;
        children[i] = child_start(write_some, &numbers[i]);
    }
    shared_await(&shared->ready, (uint64_t)runs);
    shared_set(&shared->go, 1);
    for (int i = 0; i < runs; i++) child_wait(children[i]);
}

static void make_table(void *unused) {
    (void)unused;
    table_make(shared->path.text, BATCH);
}

/* The table has the rows of `before`, if any, and all rows of every run that was told so, whole
 * batches of a run in their order, and no others. */
static void check_table(void *before) {
    uint64_t next[MOST + 1] = {0}, rows, expected = *(uint64_t *)before;
    rds_reader *reader = table_reader(shared->path.text);
    rows = table_info(reader).rows;
    for (int i = 0; i < MOST; i++) expected += shared->runs[i].rows;
    CHECK_NUMBER(rows, expected);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, expected);
    for (uint64_t row = 0; row < rows && !check_failures; row++) {
        float values[TABLE_WIDTH] = {0};
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values));
        uint64_t written = (uint64_t)values[0] / 1000, run = written / RANGE;
        if (!CHECK(run <= MOST)) break;
        CHECK_NUMBER(written % RANGE, next[run]++);
        CHECK(table_row_is(reader, row, written));
    }
    CHECK_NUMBER(next[0], *(uint64_t *)before);
    for (int i = 0; i < MOST; i++) CHECK_NUMBER(next[i + 1], shared->runs[i].rows);
    CHECK_OK(rds_reader_close(reader));
}

/* Removes what no version names, however young. */
static void vacuum(void) {
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = 1, options.flags = RDS_VACUUM_KEEP_VERSIONS;
    sleep_ms(5);
    CHECK_OK(rds_vacuum(shared->path.text, &options, NULL));
}

static void check_everything(void *before) {
    check_table(before);
    /* Files that losers had given a name among the data are of no use to anybody. */
    vacuum();
    check_table(before);
}

static void check(uint64_t before) { in_child(check_everything, &before); }

static int winners(int runs, rds_status lost) {
    int won = 0;
    for (int i = 0; i < runs; i++) {
        won += shared->runs[i].status == RDS_OK;
        if (shared->runs[i].status == RDS_OK) continue;
        if (!CHECK_NUMBER(shared->runs[i].status, lost)) {
            fprintf(stderr, "    its last error: %s\n", shared->runs[i].message);
        }
    }
    return won;
}

TEST(of_processes_that_create_at_once_one_wins) {
    for (int round = 0; round < check_rounds(9); round++) {
        begin(4, RDS_MODE_CREATE, (uint32_t)round % 3, 3);
        race(4);
        CHECK_NUMBER(winners(4, RDS_ERR_ALREADY_EXISTS), 1);
        check(0);
    }
}

TEST(of_processes_that_overwrite_at_once_one_wins) {
    for (int round = 0; round < check_rounds(9); round++) {
        begin(4, RDS_MODE_OVERWRITE, (uint32_t)round % 3, 3);
        in_child(make_table, NULL);
        race(4);
        CHECK_NUMBER(winners(4, RDS_ERR_COMMIT_CONFLICT), 1);
        check(0);
    }
}

TEST(of_processes_that_overwrite_what_is_not_there_one_wins) {
    for (int round = 0; round < check_rounds(6); round++) {
        begin(3, RDS_MODE_OVERWRITE, (uint32_t)round % 3, 3);
        race(3);
        CHECK_NUMBER(winners(3, RDS_ERR_COMMIT_CONFLICT), 1);
        check(0);
    }
}

TEST(processes_that_append_at_once_all_land) {
    for (uint32_t durability = 0; durability <= RDS_DURABILITY_COMMIT; durability++) {
        begin(3, RDS_MODE_APPEND, durability, (uint64_t)check_rounds(25));
        in_child(make_table, NULL);
        race(3);
        CHECK_NUMBER(winners(3, RDS_OK), 3);
        check(BATCH);
    }
}

TEST(processes_that_append_and_commit_at_once_all_land) {
    for (uint32_t durability = 0; durability <= RDS_DURABILITY_COMMIT; durability++) {
        begin(3, RDS_MODE_APPEND, durability, (uint64_t)check_rounds(20));
        for (uint64_t i = 0; i < 3; i++) shared->runs[i].commits_every = 2 + 3 * i;
        in_child(make_table, NULL);
        race(3);
        CHECK_NUMBER(winners(3, RDS_OK), 3);
        check(BATCH);
    }
}

/* Whoever commits first, the other one is told: all opened what was there before both. */
TEST(an_overwrite_against_an_append_at_once_has_one_winner) {
    for (int round = 0; round < check_rounds(16); round++) {
        begin(2, RDS_MODE_APPEND, (uint32_t)round % 2 + 1, 1);
        shared->runs[round / 2 % 2].mode = RDS_MODE_OVERWRITE;
        in_child(make_table, NULL);
        race(2);
        CHECK_NUMBER(winners(2, RDS_ERR_COMMIT_CONFLICT), 1);
        check(shared->runs[round / 2 % 2].status == RDS_OK ? 0 : BATCH);
    }
}

CHECK_MAIN(RUN(of_processes_that_create_at_once_one_wins),
           RUN(of_processes_that_overwrite_at_once_one_wins),
           RUN(of_processes_that_overwrite_what_is_not_there_one_wins),
           RUN(processes_that_append_at_once_all_land),
           RUN(processes_that_append_and_commit_at_once_all_land),
           RUN(an_overwrite_against_an_append_at_once_has_one_winner))
