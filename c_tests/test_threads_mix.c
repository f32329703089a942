/* One reader, eight threads, every function at once: each call gives what it gives alone. */
#include <pthread.h>

#include "arrow_out.h"
#include "dlpack.h"

enum { THREADS = 8, ROWS = 4000, MANY = 64, ACTIONS = 10 };

struct job {
    rds_reader *reader;
    pthread_barrier_t *start;
    uint64_t number;
    int rounds, mapped;
};

static long long wrong_values(const float *values, const uint64_t *rows, uint64_t count) {
    long long wrong = 0;
    for (uint64_t i = 0; i < count; i++) {
        wrong += values[i * TABLE_WIDTH + 3] != table_value(rows[i], 3);
    }
    return wrong;
}

static void read_rows(const rds_reader *reader, uint64_t row) {
    float values[MANY * TABLE_WIDTH];
    uint64_t rows[MANY];
    for (uint64_t i = 0; i < MANY; i++) rows[i] = (row + i * 613) % ROWS;
    CHECK_OK(rds_reader_read(reader, 0, rows, MANY, values, sizeof values));
    CHECK_NUMBER(wrong_values(values, rows, MANY), 0);
}

static void read_range(const rds_reader *reader, uint64_t row) {
    float values[MANY * TABLE_WIDTH];
    uint64_t rows[MANY], first = row % (ROWS - MANY);
    for (uint64_t i = 0; i < MANY; i++) rows[i] = first + i;
    CHECK_OK(rds_reader_read_range(reader, 0, first, MANY, values, sizeof values));
    CHECK_NUMBER(wrong_values(values, rows, MANY), 0);
}

static void get(const rds_reader *reader, uint64_t row) {
    struct ArrowArray array;
    REQUIRE(CHECK_OK(rds_reader_get(reader, 0, row, &array)));
    CHECK(list_row_is(&array, 0, row));
    array.release(&array);
}

static void take(const rds_reader *reader, uint64_t row) {
    const uint64_t rows[] = {row, ROWS - 1, row};
    struct ArrowArray array;
    REQUIRE(CHECK_OK(rds_reader_take(reader, rows, 3, NULL, NULL, &array)));
    for (int i = 0; i < 3; i++) {
        CHECK(string_is(array.children[0], i, rows[i]));
        CHECK(list_row_is(array.children[1], i, rows[i]));
    }
    array.release(&array);
}

static void look_at_span(const rds_reader *reader, uint64_t row, int mapped) {
    rds_span span = RDS_SPAN_INIT;
    CHECK_OK(rds_reader_span(reader, 0, row, &span));
    CHECK(span.first_row <= row && row - span.first_row < span.row_count);
    REQUIRE(CHECK((span.data != NULL) == mapped));
    if (!mapped) return;
    const float *values = (const float *)span.data + (row - span.first_row) * TABLE_WIDTH;
    CHECK_NUMBER(wrong_values(values, &row, 1), 0);
}

static void id(const rds_reader *reader, uint64_t row) {
    const char *bytes = NULL;
    size_t length = 0;
    struct ArrowArray array;
    REQUIRE(CHECK_OK(rds_reader_id(reader, row, &bytes, &length)));
    CHECK(id_is(bytes, (int64_t)length, row));
    REQUIRE(CHECK_OK(rds_reader_ids(reader, row, ROWS - row, NULL, &array)));
    CHECK(large_string_is(&array, array.length - 1, ROWS - 1));
    array.release(&array);
}

static void find(const rds_reader *reader, uint64_t row) {
    char names[2][24];
    const char *const pointers[] = {names[0], names[1], "nobody"};
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 3, pointers);
    uint64_t found[3], counts[3];
    snprintf(names[0], sizeof names[0], "id-%llu", (unsigned long long)row);
    snprintf(names[1], sizeof names[1], "id-%llu", (unsigned long long)(ROWS - 1 - row));
    CHECK_OK(rds_reader_find(reader, &ids, found, counts));
    CHECK(found[0] == row && found[1] == ROWS - 1 - row && found[2] == RDS_ROW_NONE);
    CHECK(counts[0] == 1 && counts[1] == 1 && counts[2] == 0);
}

static void stream(const rds_reader *reader, uint64_t row) {
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    const uint32_t columns = 1 + (uint32_t)row % 3;
    rds_stream_options options = stream_select(columns);
    options.first_row = row;
    options.row_count = row < ROWS - 500 ? 500 : 0;
    options.batch_rows = 100;
    uint64_t end = row < ROWS - 500 ? row + 500 : ROWS;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    while (CHECK_NUMBER(stream.get_next(&stream, &batch), 0) && batch.release) {
        const struct ArrowArray *last = batch.children[batch.n_children - 1];
        for (int64_t i = 0; i < batch.length; i++, row++) {
            CHECK(columns == IDS ? string_is(last, i, row) : list_row_is(last, i, row));
        }
        batch.release(&batch);
    }
    CHECK_NUMBER(row, end);
    stream.release(&stream);
}

static void export(const rds_reader *reader, uint64_t row) {
    DLManagedTensorVersioned *tensor = NULL;
    uint64_t count = ROWS - row < 300 ? ROWS - row : 300, last = row + count - 1;
    REQUIRE(CHECK_OK(rds_reader_dlpack(reader, 0, row, count, &tensor)));
    const float *values = (const float *)tensor->dl_tensor.data;
    CHECK_NUMBER(wrong_values(values, &row, 1), 0);
    CHECK_NUMBER(wrong_values(values + (count - 1) * TABLE_WIDTH, &last, 1), 0);
    tensor->deleter(tensor);
}

static void refresh(rds_reader *reader) {
    uint32_t changed = 1;
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 0);
}

static void act(const struct job *job, uint64_t action, uint64_t row) {
    switch (action) {
    case 0: read_rows(job->reader, row); break;
    case 1: read_range(job->reader, row); break;
    case 2: get(job->reader, row); break;
    case 3: take(job->reader, row); break;
    case 4: look_at_span(job->reader, row, job->mapped); break;
    case 5: id(job->reader, row); break;
    case 6: find(job->reader, row); break;
    case 7: stream(job->reader, row); break;
    case 8: export(job->reader, row); break;
    default: refresh(job->reader);
    }
}

static void *act_in_turn(void *data) {
    const struct job *job = (const struct job *)data;
    pthread_barrier_wait(job->start);
    for (uint64_t i = 0; i < (uint64_t)job->rounds; i++) {
        act(job, (i + job->number) % ACTIONS, (i * 7919 + job->number * 101) % ROWS);
    }
    return NULL;
}

static void on_all_threads(const char *path, uint32_t access, int rounds) {
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    struct job job = {.rounds = rounds, .mapped = access == RDS_ACCESS_AUTO}, jobs[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    options.access = access;
    REQUIRE(CHECK_OK(rds_reader_open(path, &options, &job.reader)));
    pthread_barrier_init(&start, NULL, THREADS);
    job.start = &start;
    for (uint64_t i = 0; i < THREADS; i++) {
        jobs[i] = job;
        jobs[i].number = i;
        pthread_create(&threads[i], NULL, act_in_turn, &jobs[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    CHECK_OK(rds_reader_close(job.reader));
}

static check_path_text make_rows(void) {
    check_path_text path = check_path();
    table_make(path.text, ROWS / 2);
    table_append(path.text, ROWS / 2, 7);
    table_append(path.text, ROWS / 2 + 7, ROWS / 2 - 7);
    return path;
}

TEST(everything_at_once_from_mapped_files) {
    check_path_text path = make_rows();
    on_all_threads(path.text, RDS_ACCESS_AUTO, check_rounds(1000));
}

TEST(everything_at_once_through_lance) {
    check_path_text path = make_rows();
    on_all_threads(path.text, RDS_ACCESS_LANCE, check_rounds(200));
}

/* What a reader makes on first use is made while other threads do other things. */
TEST(everything_at_once_on_readers_that_nobody_used_yet) {
    check_path_text path = make_rows();
    for (int i = 0; i < check_rounds(40); i++) {
        on_all_threads(path.text, i % 2 ? RDS_ACCESS_LANCE : RDS_ACCESS_AUTO, ACTIONS);
    }
}

CHECK_MAIN(RUN(everything_at_once_from_mapped_files), RUN(everything_at_once_through_lance),
           RUN(everything_at_once_on_readers_that_nobody_used_yet))
