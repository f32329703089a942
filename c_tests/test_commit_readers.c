/* Readers of other processes beside a writer that commits all the time, and so merges files all the time:
 * each opens and refreshes to a prefix of the rows. */
#include "processes.h"

enum { READERS = 2, BATCHES = 60, BATCH = 3 };

static struct shared {
    check_path_text path;
    uint64_t durability, durable, done, opened[READERS];
} *shared;

static void write_and_commit(void *unused) {
    int batches = check_rounds(BATCHES);
    (void)unused;
    rds_writer *writer =
        table_writer(shared->path.text, RDS_MODE_CREATE, (uint32_t)shared->durability);
    for (uint64_t i = 0; i < (uint64_t)batches && !check_failures; i++) {
        CHECK_OK(table_write(writer, i * BATCH, BATCH));
        CHECK_OK(rds_commit(writer, NULL, NULL));
        shared_set(&shared->durable, (i + 1) * BATCH);
    }
    CHECK_OK(rds_writer_close(writer));
}

/* What it shows is all that was visible before, in order. */
static void check_prefix(const rds_reader *reader, uint64_t durable) {
    uint64_t rows = table_info(reader).rows;
    CHECK(rows >= durable);
    for (uint64_t row = 0; row < rows; row++) {
        if (!CHECK(table_row_is(reader, row, row))) return;
    }
}

static void open_on(void *number) {
    shared_await(&shared->durable, BATCH);
    while (!shared_get(&shared->done) && !check_failures) {
        uint64_t durable = shared_get(&shared->durable);
        rds_reader *reader = table_reader(shared->path.text);
        check_prefix(reader, durable);
        CHECK_OK(rds_reader_close(reader));
        shared->opened[*(uint64_t *)number]++;
    }
}

static void refresh_on(void *number) {
    shared_await(&shared->durable, BATCH);
    rds_reader *reader = table_reader(shared->path.text);
    while (!shared_get(&shared->done) && !check_failures) {
        uint64_t durable = shared_get(&shared->durable);
        CHECK_OK(rds_reader_refresh(reader, NULL));
        check_prefix(reader, durable);
        shared->opened[*(uint64_t *)number]++;
    }
    CHECK_OK(rds_reader_close(reader));
}

static void check_beside(uint32_t durability) {
    uint64_t numbers[READERS] = {0, 1};
    shared = (struct shared *)shared_memory(sizeof *shared);
    shared->path = check_path();
    shared->durability = durability;
    pid_t writer = child_start(write_and_commit, NULL);
    pid_t readers[READERS] = {child_start(open_on, &numbers[0]),
                              child_start(refresh_on, &numbers[1])};
    child_wait(writer);
    shared_set(&shared->done, 1);
    for (int i = 0; i < READERS; i++) {
        child_wait(readers[i]);
        CHECK(shared->opened[i] > 0);
    }
}

TEST(readers_open_beside_a_writer_that_commits_each_batch) {
    check_beside(RDS_DURABILITY_COMMIT);
}

TEST(readers_open_beside_a_writer_that_commits_and_makes_each_batch_durable) {
    check_beside(RDS_DURABILITY_BATCH);
}

CHECK_MAIN(RUN(readers_open_beside_a_writer_that_commits_each_batch),
           RUN(readers_open_beside_a_writer_that_commits_and_makes_each_batch_durable))
