/* Finding rows of a table so large that its index is built by several threads at once. */
#include <pthread.h>

#include "table.h"

/* Enough for four parts of the index; two are enough where everything is slow. */
static uint64_t rows_of_a_large_table(void) { return check_rounds(10) < 10 ? 140000 : 300000; }

enum { MOST_IN_A_BATCH = 1 << 16, THREADS = 8 };

typedef int64_t id_of_row(uint64_t row);

/* A table of `rows` scalars whose ids are numbers, id(row) of each. */
static check_path_text make_large(uint64_t rows, id_of_row *id) {
    static uint8_t values[MOST_IN_A_BATCH];
    static int64_t numbers[MOST_IN_A_BATCH];
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (uint64_t first = 0, count; first < rows; first += count) {
        count = rows - first < MOST_IN_A_BATCH ? rows - first : MOST_IN_A_BATCH;
        for (uint64_t i = 0; i < count; i++) numbers[i] = id(first + i);
        const int64_t shape[1] = {(int64_t)count};
        const rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
        const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 1, shape, values);
        CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    return path;
}

/* Asks for `count` numbers at once; counts answers other than expected. */
static long long find_wrong(const rds_reader *reader, const int64_t *numbers, uint64_t count,
                            const uint64_t *first, const uint64_t *how_many) {
    uint64_t *rows = (uint64_t *)calloc(count, sizeof *rows);
    uint64_t *counts = (uint64_t *)calloc(count, sizeof *counts);
    const rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    long long wrong = 0;
    if (!CHECK_OK(rds_reader_find(reader, &ids, rows, counts))) wrong++;
    for (uint64_t i = 0; i < count; i++) wrong += rows[i] != first[i] || counts[i] != how_many[i];
    free(rows);
    free(counts);
    return wrong;
}

/* Opens a table and asks for all numbers 0 .. numbers - 1 and some that are not there. */
static void check_found(const char *path, uint64_t rows, uint64_t numbers, id_of_row *id) {
    rds_reader *reader = table_reader(path);
    uint64_t asked = numbers + 100;
    int64_t *ids = (int64_t *)calloc(asked, sizeof *ids);
    uint64_t *first = (uint64_t *)malloc(asked * sizeof *first);
    uint64_t *how_many = (uint64_t *)calloc(asked, sizeof *how_many);
    for (uint64_t i = 0; i < asked; i++) {
        /* Not in the order of the rows. */
        ids[i] = (int64_t)(numbers - 1 - i);
        first[i] = RDS_ROW_NONE;
    }
    for (uint64_t row = 0; row < rows; row++) {
        uint64_t at = numbers - 1 - (uint64_t)id(row);
        if (first[at] == RDS_ROW_NONE) first[at] = row;
        how_many[at]++;
    }
    CHECK_NUMBER(find_wrong(reader, ids, asked, first, how_many), 0);
    free(ids);
    free(first);
    free(how_many);
    CHECK_OK(rds_reader_close(reader));
}

static void check_large(uint64_t numbers, id_of_row *id, int times) {
    uint64_t rows = rows_of_a_large_table();
    check_path_text path = make_large(rows, id);
    for (int i = 0; i < times; i++) check_found(path.text, rows, numbers ? numbers : rows, id);
}

static int64_t its_own(uint64_t row) { return (int64_t)row; }
static int64_t of_seven(uint64_t row) { return (int64_t)(row % 7); }
static int64_t of_many(uint64_t row) { return (int64_t)(row * 7919 % 40009); }
static int64_t the_same(uint64_t row) { return (void)row, 0; }
/* All different, but for one id that a few rows far from each other have. */
static int64_t seldom_zero(uint64_t row) { return row % 30011 == 30010 ? 0 : (int64_t)row; }

TEST(every_id_of_its_own_is_found) { check_large(0, its_own, 1); }

/* An index is built anew with each reader, by threads that meet in another order each time. */
TEST(of_rows_with_one_id_across_the_table_the_first_is_found) {
    check_large(40009, of_many, check_rounds(10));
    check_large(7, of_seven, check_rounds(10));
    check_large(0, seldom_zero, check_rounds(10));
}

TEST(ids_that_are_all_the_same_are_found_in_the_first_row) {
    check_large(1, the_same, check_rounds(10));
}

struct job {
    const rds_reader *reader;
    pthread_barrier_t *start;
    uint64_t rows, number;
};

static void *find_some(void *data) {
    const struct job *job = (const struct job *)data;
    enum { SOME = 500 };
    int64_t ids[SOME];
    uint64_t first[SOME], how_many[SOME];
    for (uint64_t i = 0; i < SOME; i++) {
        ids[i] = (int64_t)((i * 80 + job->number) % 40009);
        /* Rows whose number times 7919 is the id modulo 40009 are 40009 apart. */
        for (first[i] = 0; of_many(first[i]) != ids[i]; first[i]++) continue;
        how_many[i] = (job->rows - first[i] + 40008) / 40009;
    }
    pthread_barrier_wait(job->start);
    CHECK_NUMBER(find_wrong(job->reader, ids, SOME, first, how_many), 0);
    return NULL;
}

TEST(eight_threads_find_at_once_through_a_reader_that_nobody_used_yet) {
    uint64_t rows = rows_of_a_large_table();
    check_path_text path = make_large(rows, of_many);
    rds_reader *reader = table_reader(path.text);
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, THREADS);
    for (uint64_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){reader, &start, rows, i};
        pthread_create(&threads[i], NULL, find_some, &jobs[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    CHECK_OK(rds_reader_close(reader));
}

/* Must come before anything starts the runtime: several parts even where there are few cores. */
TEST(the_runtime_has_eight_threads) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    options.worker_threads = THREADS;
    CHECK_OK(rds_runtime_configure(&options));
}

CHECK_MAIN(RUN(the_runtime_has_eight_threads), RUN(every_id_of_its_own_is_found),
           RUN(of_rows_with_one_id_across_the_table_the_first_is_found),
           RUN(ids_that_are_all_the_same_are_found_in_the_first_row),
           RUN(eight_threads_find_at_once_through_a_reader_that_nobody_used_yet))
