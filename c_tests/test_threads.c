/* One reader for many threads, one writer for many threads. */
#include <pthread.h>

#include "table.h"

enum { THREADS = 8, ROWS = 5000, BATCH = 4 };

struct job {
    rds_reader *reader;
    rds_writer *writer;
    pthread_barrier_t *start;
    uint64_t number;
    int rounds;
    long long wrong;
};

/* Runs `run` on THREADS threads at once and returns the sum of what was wrong. */
static long long on_threads(void *(*run)(void *), rds_reader *reader, rds_writer *writer,
                            int rounds) {
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    pthread_barrier_t start;
    long long wrong = 0;
    pthread_barrier_init(&start, NULL, THREADS);
    for (uint64_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){reader, writer, &start, i, rounds, 0};
        pthread_create(&threads[i], NULL, run, &jobs[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        wrong += jobs[i].wrong;
    }
    pthread_barrier_destroy(&start);
    return wrong;
}

static void *read_rows(void *data) {
    struct job *job = (struct job *)data;
    pthread_barrier_wait(job->start);
    for (int i = 0; i < job->rounds; i++) {
        uint64_t row = ((uint64_t)i * 7919 + job->number * 613) % ROWS;
        job->wrong += !table_row_is(job->reader, row, row);
    }
    return NULL;
}

TEST(eight_threads_read_rows_and_ids_through_one_reader) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(on_threads(read_rows, reader, NULL, check_rounds(1000)), 0);
    CHECK_OK(rds_reader_close(reader));
}

/* Everything that a reader makes on first use, asked for by all threads at once. */
static void *first_use(void *data) {
    struct job *job = (struct job *)data;
    char name[24];
    const char *pointer = name;
    uint64_t row = job->number * 7, found = 0;
    struct ArrowArray array, batch;
    struct ArrowArrayStream stream;
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &pointer);
    snprintf(name, sizeof name, "id-%llu", (unsigned long long)row);
    pthread_barrier_wait(job->start);
    CHECK_OK(rds_reader_find(job->reader, &ids, &found, NULL));
    CHECK_NUMBER(found, row);
    CHECK(table_row_is(job->reader, row, row));
    if (CHECK_OK(rds_reader_get(job->reader, 0, row, &array))) array.release(&array);
    if (CHECK_OK(rds_reader_take(job->reader, &row, 1, NULL, NULL, &batch))) batch.release(&batch);
    if (!CHECK_OK(rds_reader_stream(job->reader, NULL, &stream))) return NULL;
    CHECK_NUMBER(stream.get_next(&stream, &batch), 0);
    if (batch.release) batch.release(&batch);
    stream.release(&stream);
    return NULL;
}

TEST(what_is_made_on_first_use_is_made_once_for_all_threads) {
    check_path_text path = check_path();
    table_make(path.text, 200);
    for (int round = 0; round < check_rounds(30); round++) {
        rds_reader *reader = table_reader(path.text);
        CHECK_NUMBER(on_threads(first_use, reader, NULL, 1), 0);
        CHECK_OK(rds_reader_close(reader));
    }
}

static void *write_batches(void *data) {
    struct job *job = (struct job *)data;
    pthread_barrier_wait(job->start);
    for (int i = 0; i < job->rounds; i++) {
        uint64_t first = (job->number * (uint64_t)job->rounds + (uint64_t)i) * BATCH;
        job->wrong += table_write(job->writer, first, BATCH) != RDS_OK;
    }
    return NULL;
}

/* Rows of several threads interleave by batch, and each thread's keep their order. */
static void check_written(const char *path, int rounds) {
    rds_reader *reader = table_reader(path);
    uint64_t count = table_info(reader).rows, next[THREADS] = {0};
    CHECK_NUMBER(count, (uint64_t)rounds * THREADS * BATCH);
    for (uint64_t row = 0; row < count; row += BATCH) {
        float values[TABLE_WIDTH] = {0};
        if (!CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values))) break;
        uint64_t written = (uint64_t)values[0] / 1000;
        uint64_t thread = written / BATCH / (uint64_t)rounds;
        if (!CHECK(thread < THREADS)) break;
        CHECK_NUMBER(written, (thread * (uint64_t)rounds + next[thread]++) * BATCH);
        for (uint64_t i = 0; i < BATCH; i++) CHECK(table_row_is(reader, row + i, written + i));
    }
    CHECK_OK(rds_reader_close(reader));
}

static void check_many_writing(uint32_t durability, int rounds) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, durability);
    CHECK_NUMBER(on_threads(write_batches, NULL, writer, rounds), 0);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    check_written(path.text, rounds);
}

TEST(eight_threads_write_to_one_writer) {
    check_many_writing(RDS_DURABILITY_INTERVAL, 100);
    check_many_writing(RDS_DURABILITY_COMMIT, 100);
}

TEST(eight_threads_write_to_one_writer_that_makes_each_batch_durable) {
    check_many_writing(RDS_DURABILITY_BATCH, 3);
}

static void *commit_now_and_then(void *data) {
    struct job *job = (struct job *)data;
    pthread_barrier_wait(job->start);
    for (int i = 0; i < job->rounds; i++) {
        uint64_t first = (job->number * (uint64_t)job->rounds + (uint64_t)i) * BATCH;
        job->wrong += table_write(job->writer, first, BATCH) != RDS_OK;
        if (i % 5 == (int)job->number % 5) job->wrong += rds_flush(job->writer) != RDS_OK;
        if (i % 10 == (int)job->number) {
            job->wrong += rds_commit(job->writer, NULL, NULL) != RDS_OK;
        }
    }
    return NULL;
}

TEST(writes_flushes_and_commits_of_many_threads_take_turns) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    int rounds = check_rounds(20);
    CHECK_NUMBER(on_threads(commit_now_and_then, NULL, writer, rounds), 0);
    CHECK_OK(rds_writer_close(writer));
    check_written(path.text, rounds);
}

TEST(a_full_queue_makes_writers_wait_and_loses_nothing) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.max_queued_bytes = 1;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    CHECK_NUMBER(on_threads(write_batches, NULL, writer, 20), 0);
    CHECK_OK(rds_writer_close(writer));
    check_written(path.text, 20);
}

CHECK_MAIN(RUN(eight_threads_read_rows_and_ids_through_one_reader),
           RUN(what_is_made_on_first_use_is_made_once_for_all_threads),
           RUN(eight_threads_write_to_one_writer),
           RUN(eight_threads_write_to_one_writer_that_makes_each_batch_durable),
           RUN(writes_flushes_and_commits_of_many_threads_take_turns),
           RUN(a_full_queue_makes_writers_wait_and_loses_nothing))
