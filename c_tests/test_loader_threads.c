/* Threads that ask one loader for batches get different ones, whoever gathers them. It has threads of its own as long
 * as it is open, if it may have any. */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <pthread.h>

#include "loader.h"

enum { ROWS = 1000, BATCH = 7, STEPS = (ROWS + BATCH - 1) / BATCH, ASKING = 4, MOST_EPOCHS = 8 };

static rds_reader *open_table(uint64_t rows) {
    check_path_text path = check_path();
    table_make(path.text, rows);
    return table_reader(path.text);
}

struct shared {
    rds_loader *loader;
    /* Calls that are still to be made; all of an epoch and its end are STEPS + 1. */
    int calls, stop;
    /* How often each row came in each epoch, and how often its end was told. */
    uint8_t seen[MOST_EPOCHS][ROWS];
    int ends[MOST_EPOCHS];
    uint64_t wrong;
};

static void *ask_for_batches(void *data) {
    struct shared *shared = (struct shared *)data;
    rds_loader_batch batch;
    uint64_t wrong = 0;
    while (__atomic_sub_fetch(&shared->calls, 1, __ATOMIC_SEQ_CST) >= 0) {
        const int is_step = loader_next(shared->loader, &batch);
        if (batch.epoch >= MOST_EPOCHS) {
            wrong++;
            continue;
        }
        if (!is_step) __atomic_add_fetch(&shared->ends[batch.epoch], 1, __ATOMIC_SEQ_CST);
        for (uint64_t i = 0; i < batch.row_count; i++) {
            __atomic_add_fetch(&shared->seen[batch.epoch][batch.rows[i]], 1, __ATOMIC_SEQ_CST);
        }
        wrong += batch.column_count && !batch_is_right(&batch);
        wrong += is_step && batch.consumed % BATCH != 0;
        loader_release(shared->loader, &batch);
    }
    __atomic_add_fetch(&shared->wrong, wrong, __ATOMIC_SEQ_CST);
    return NULL;
}

static void check_asking(const rds_reader *reader, const rds_loader_options *options, uint64_t epochs) {
    struct shared *shared = (struct shared *)calloc(1, sizeof *shared);
    pthread_t threads[ASKING];
    uint64_t wrong = 0;
    shared->loader = loader_open(reader, options);
    shared->calls = (int)epochs * (STEPS + 1);
    for (int i = 0; i < ASKING; i++) pthread_create(&threads[i], NULL, ask_for_batches, shared);
    for (int i = 0; i < ASKING; i++) pthread_join(threads[i], NULL);
    for (uint64_t epoch = 0; epoch < epochs; epoch++) {
        for (int row = 0; row < ROWS; row++) wrong += shared->seen[epoch][row] != 1;
        CHECK_NUMBER(shared->ends[epoch], 1);
    }
    CHECK_NUMBER(wrong + shared->wrong, 0);
    check_at(shared->loader, epochs, 0);
    CHECK_NUMBER(loader_stats(shared->loader).lent, 0);
    CHECK_NUMBER(loader_stats(shared->loader).batches, epochs * STEPS);
    CHECK_OK(rds_loader_close(shared->loader));
    free(shared);
}

TEST(each_row_comes_once_whoever_asks) {
    rds_reader *reader = open_table(ROWS);
    for (uint32_t threads = 0; threads < 4; threads++) {
        for (uint32_t ahead = 1; ahead < 20; ahead += 6) {
            rds_loader_options options = loader_options(BATCH);
            options.threads = threads, options.ahead = ahead, options.flags = threads ? 0 : RDS_LOADER_NO_THREADS;
            check_asking(reader, &options, (uint64_t)check_rounds(MOST_EPOCHS - 1) + 1);
        }
    }
    const rds_loader_options numbers = loader_numbers(ROWS, BATCH);
    check_asking(NULL, &numbers, MOST_EPOCHS);
    CHECK_OK(rds_reader_close(reader));
}

static void *ask_until_closed(void *data) {
    struct shared *shared = (struct shared *)data;
    for (;;) {
        rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
        const rds_status status = rds_loader_next(shared->loader, &batch);
        if (status != RDS_OK) {
            CHECK(status == RDS_ERR_CANCELLED || status == RDS_ERR_INVALID_HANDLE);
            return NULL;
        }
        const rds_status released = rds_loader_release(shared->loader, batch.buffer);
        CHECK(released == RDS_OK || released == RDS_ERR_INVALID_HANDLE);
    }
}

TEST(a_close_while_others_ask_ends_their_calls) {
    rds_reader *reader = open_table(ROWS);
    for (int i = 0; i < check_rounds(100); i++) {
        struct shared shared = {.stop = 0};
        pthread_t threads[ASKING];
        rds_loader_options options = loader_options(BATCH);
        options.threads = (uint32_t)i % 3, options.ahead = (uint32_t)i % 5;
        options.flags = i % 4 ? 0 : RDS_LOADER_NO_THREADS;
        shared.loader = loader_open(reader, &options);
        for (int t = 0; t < ASKING; t++) pthread_create(&threads[t], NULL, ask_until_closed, &shared);
        sleep_ms(i % 7);
        CHECK_OK(rds_loader_close(shared.loader));
        for (int t = 0; t < ASKING; t++) pthread_join(threads[t], NULL);
    }
    CHECK_OK(rds_reader_close(reader));
}

static void *seek_about(void *data) {
    struct shared *shared = (struct shared *)data;
    for (uint64_t i = 0; !__atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST); i++) {
        const rds_position position = loader_state(shared->loader);
        CHECK_OK(rds_loader_seek(shared->loader, NULL, i % 5, i * 31 % ROWS));
        CHECK_OK(rds_loader_seek(shared->loader, &position, 0, 0));
        (void)loader_stats(shared->loader);
        sleep_ms(1);
    }
    return NULL;
}

/* Each batch is whole, of whatever position it is. */
TEST(a_seek_while_others_ask_gives_whole_batches) {
    rds_reader *reader = open_table(ROWS);
    struct shared *shared = (struct shared *)calloc(1, sizeof *shared);
    pthread_t seeking, threads[ASKING];
    rds_loader_options options = loader_options(BATCH);
    rds_loader_batch batch;
    options.threads = 2;
    shared->loader = loader_open(reader, &options);
    pthread_create(&seeking, NULL, seek_about, shared);
    for (int t = 0; t < ASKING; t++) pthread_create(&threads[t], NULL, ask_until_closed, shared);
    for (int i = 0; i < check_rounds(3000); i++) {
        if (!loader_next(shared->loader, &batch)) continue;
        CHECK(batch_is_right(&batch));
        CHECK(batch.row_count == (batch.consumed + BATCH > ROWS ? ROWS - batch.consumed : BATCH));
        loader_release(shared->loader, &batch);
    }
    __atomic_store_n(&shared->stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(seeking, NULL);
    CHECK_OK(rds_loader_close(shared->loader));
    for (int t = 0; t < ASKING; t++) pthread_join(threads[t], NULL);
    free(shared);
    CHECK_OK(rds_reader_close(reader));
}

/* Threads of this process. */
static int threads_now(void) {
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) count += entry->d_name[0] != '.';
    if (tasks) closedir(tasks);
    return count;
}

/* Those that end are gone a little later. */
static int threads_become(int count) {
    for (int i = 0; i < 5000 && threads_now() != count; i++) sleep_ms(1);
    return CHECK_NUMBER(threads_now(), count);
}

TEST(threads_are_those_that_are_asked_for_from_the_first_batch_to_the_close) {
    rds_reader *reader = open_table(ROWS);
    rds_loader_batch batch;
    /* Whatever the library has for others is there then. */
    rds_loader_options options = loader_options(BATCH);
    rds_loader *loader = loader_open(reader, &options);
    CHECK(loader_next(loader, &batch));
    CHECK_OK(rds_loader_close(loader));
    sleep_ms(100);
    const int before = threads_now();
    for (int kind = 0; kind < 4; kind++) {
        const rds_loader_options numbers = loader_numbers(ROWS, BATCH);
        options = kind == 3 ? numbers : loader_options(BATCH);
        options.threads = kind == 1 ? 1 : 3, options.flags |= kind == 0 ? RDS_LOADER_NO_THREADS : 0;
        loader = loader_open(kind == 3 ? NULL : reader, &options);
        CHECK_NUMBER(threads_now(), before);
        CHECK(loader_next(loader, &batch));
        threads_become(before + (kind == 0 || kind == 3 ? 0 : (int)options.threads));
        CHECK_OK(rds_loader_close(loader));
        threads_become(before);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(many_loaders_of_one_reader_go_their_own_ways) {
    enum { LOADERS = 40 };
    rds_reader *reader = open_table(ROWS);
    rds_loader *loaders[LOADERS];
    uint64_t *rows = (uint64_t *)malloc(ROWS * sizeof *rows);
    for (int i = 0; i < LOADERS; i++) {
        rds_loader_options options = loader_options(BATCH);
        options.seed = (uint64_t)i, options.threads = 1, options.ahead = 2;
        loaders[i] = loader_open(reader, &options);
    }
    CHECK_OK(rds_reader_close(reader));
    for (int i = 0; i < LOADERS; i++) {
        rds_loader_batch batch;
        for (int step = 0; step < i; step++) {
            CHECK(loader_next(loaders[i], &batch) && batch_is_right(&batch));
            loader_release(loaders[i], &batch);
        }
    }
    for (int i = 0; i < LOADERS; i++) {
        const uint64_t left = ROWS - (uint64_t)i * BATCH;
        CHECK_NUMBER(loader_drain(loaders[i], rows, ROWS), left);
        CHECK_OK(rds_loader_close(loaders[i]));
    }
    free(rows);
}

CHECK_MAIN(RUN(each_row_comes_once_whoever_asks), RUN(a_close_while_others_ask_ends_their_calls),
           RUN(a_seek_while_others_ask_gives_whole_batches),
           RUN(threads_are_those_that_are_asked_for_from_the_first_batch_to_the_close),
           RUN(many_loaders_of_one_reader_go_their_own_ways))
