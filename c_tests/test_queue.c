/* The queue between those who write and the disk: everybody gets a turn, a closed writer lets go of those who
 * wait, and memory that was handed in is the caller's again. */
#include <pthread.h>

#include "arrow_batch.h"

enum { SMALL_THREADS = 4, SMALL_ROWS = 1000, LARGE = 5, LARGE_ROWS = 40 * 1000 };

struct shared {
    rds_writer *writer;
    uint64_t done, small, refused;
};

static rds_status write_numbers(rds_writer *writer, const double *values, uint64_t count) {
    int64_t shape[2] = {(int64_t)count / 4, 4};
    rds_ids ids = ids_of(RDS_IDS_INT64, count / 4, values);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, 2, shape, values);
    return rds_write_tensors(writer, &ids, &tensor, 1);
}

static void *write_small(void *data) {
    struct shared *shared = (struct shared *)data;
    double *values = (double *)calloc(SMALL_ROWS * 4, sizeof *values);
    while (!__atomic_load_n(&shared->done, __ATOMIC_SEQ_CST)) {
        if (!CHECK_OK(write_numbers(shared->writer, values, SMALL_ROWS * 4))) break;
        __atomic_add_fetch(&shared->small, 1, __ATOMIC_SEQ_CST);
    }
    free(values);
    return NULL;
}

/* A batch larger than the queue must wait until it is alone: without turns it never is. */
TEST(a_large_batch_gets_its_turn_among_small_ones) {
    check_path_text path = check_path();
    struct shared shared = {0};
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    pthread_t threads[SMALL_THREADS];
    double *values = (double *)calloc(LARGE_ROWS * 4, sizeof *values);
    options.max_queued_bytes = 256 << 10, options.durability = RDS_DURABILITY_COMMIT;
    CHECK_OK(rds_writer_open(path.text, &options, &shared.writer));
    for (int i = 0; i < SMALL_THREADS; i++) {
        pthread_create(&threads[i], NULL, write_small, &shared);
    }
    for (int i = 0; i < LARGE; i++) {
        uint64_t before = __atomic_load_n(&shared.small, __ATOMIC_SEQ_CST);
        CHECK_OK(write_numbers(shared.writer, values, LARGE_ROWS * 4));
        /* So that it is not alone by chance. */
        while (__atomic_load_n(&shared.small, __ATOMIC_SEQ_CST) < before + 20) sleep_ms(1);
    }
    __atomic_store_n(&shared.done, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < SMALL_THREADS; i++) pthread_join(threads[i], NULL);
    CHECK_OK(rds_commit(shared.writer, NULL, NULL));
    CHECK_OK(rds_writer_close(shared.writer));
    CHECK_NUMBER(table_rows(path.text), shared.small * SMALL_ROWS + LARGE * LARGE_ROWS);
    free(values);
}

static void *write_until_refused(void *data) {
    struct shared *shared = (struct shared *)data;
    double values[64] = {0};
    for (;;) {
        rds_status status = write_numbers(shared->writer, values, 64);
        if (status == RDS_OK) continue;
        CHECK(status == RDS_ERR_INVALID_STATE || status == RDS_ERR_INVALID_HANDLE);
        return NULL;
    }
}

static void *commit_until_refused(void *data) {
    struct shared *shared = (struct shared *)data;
    for (;;) {
        rds_status status = rds_commit(shared->writer, NULL, NULL);
        if (status == RDS_OK) status = rds_flush(shared->writer);
        if (status == RDS_OK) continue;
        CHECK(status == RDS_ERR_INVALID_STATE || status == RDS_ERR_INVALID_HANDLE);
        return NULL;
    }
}

TEST(a_close_in_the_middle_of_calls_of_others_is_told_them_and_no_panic) {
    for (int round = 0; round < check_rounds(20); round++) {
        check_path_text path = check_path();
        struct shared shared = {0};
        rds_write_stats stats = RDS_WRITE_STATS_INIT;
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        pthread_t threads[4];
        options.max_queued_bytes = round % 2 ? 4096 : 0;
        options.durability = (uint32_t)round / 2 % 2;
        CHECK_OK(rds_writer_open(path.text, &options, &shared.writer));
        for (int i = 0; i < 4; i++) {
            pthread_create(&threads[i], NULL, i ? write_until_refused : commit_until_refused, &shared);
        }
        sleep_ms(round);
        (void)!rds_writer_stats(shared.writer, &stats);
        CHECK_OK(round % 5 == 4 ? rds_writer_abort(shared.writer) : rds_writer_close(shared.writer));
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        if (stats.durable_rows) CHECK(table_rows(path.text) >= (long long)stats.durable_rows);
    }
}

/* Copied before the call returns, unless the caller asks for less. */
TEST(an_arrow_batch_is_the_callers_again_when_the_call_returns) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (uint64_t i = 0; i < 50; i++) {
        arrow_batch *batch = batch_new(i * BATCH_ROWS);
        CHECK_OK(batch_write(writer, batch));
        batch_check_released(batch);
        memset(batch->values, 0xff, sizeof batch->values);
        memset(batch->names, 'x', sizeof batch->names);
        batch_free(batch);
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    table_check(reader, 0, 50 * BATCH_ROWS);
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_arrow_batch_that_is_kept_is_released_once_when_it_is_written) {
    enum { BATCHES = 50 };
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    arrow_batch *batches[BATCHES];
    options.flags = RDS_WRITER_ALIAS_ARROW;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    for (uint64_t i = 0; i < BATCHES; i++) {
        batches[i] = batch_new(i * BATCH_ROWS);
        CHECK_OK(batch_write(writer, batches[i]));
        CHECK(batches[i]->array[NODE_ROOT].release == NULL);
    }
    CHECK_OK(rds_writer_close(writer));
    for (int i = 0; i < BATCHES; i++) {
        batch_check_released(batches[i]);
        batch_free(batches[i]);
    }
    rds_reader *reader = table_reader(path.text);
    table_check(reader, 0, BATCHES * BATCH_ROWS);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_large_batch_gets_its_turn_among_small_ones),
           RUN(a_close_in_the_middle_of_calls_of_others_is_told_them_and_no_panic),
           RUN(an_arrow_batch_is_the_callers_again_when_the_call_returns),
           RUN(an_arrow_batch_that_is_kept_is_released_once_when_it_is_written))
