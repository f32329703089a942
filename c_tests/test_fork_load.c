/* Forking again and again while other threads of the process are in the middle of everything: each
 * child finds its readers in a state it can go on from. One that waits for a lock or a thread that
 * only its parent has is ended by its alarm. */
#include <pthread.h>

#include "arrow_out.h"
#include "child.h"
#include "dlpack.h"

enum { ROWS = 1000, FORKS = 200, THREADS = 6, HANG_SECONDS = 20 };

struct shared {
    check_path_text path, other;
    /* Made before the threads start. Nobody has used the fresh ones when a child gets them. */
    rds_reader *mapped, *through_lance, *fresh, *fresh_through_lance;
    struct ArrowArrayStream *begun;
    int stop;
    long long calls;
};

/* Many rows in any order. */
static void read_many(const rds_reader *reader, uint64_t seed) {
    enum { MANY = 200 };
    float values[MANY][TABLE_WIDTH];
    uint64_t rows[MANY];
    long long wrong = 0;
    for (uint64_t i = 0; i < MANY; i++) rows[i] = (i * 7919 + seed) % ROWS;
    CHECK_OK(rds_reader_read(reader, 0, rows, MANY, values, sizeof values));
    for (int i = 0; i < MANY; i++) wrong += values[i][1] != table_value(rows[i], 1);
    CHECK_OK(rds_reader_read_range(reader, 0, seed % (ROWS - MANY), MANY, values, sizeof values));
    for (int i = 0; i < MANY; i++) {
        wrong += values[i][2] != table_value(seed % (ROWS - MANY) + (uint64_t)i, 2);
    }
    CHECK_NUMBER(wrong, 0);
}

static void find_one(const rds_reader *reader, uint64_t row) {
    char name[24];
    const char *pointer = name, *id = NULL;
    size_t length = 0;
    uint64_t found = 0;
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &pointer);
    struct ArrowArray array;
    snprintf(name, sizeof name, "id-%llu", (unsigned long long)row);
    CHECK_OK(rds_reader_find(reader, &ids, &found, NULL));
    CHECK_NUMBER(found, row);
    CHECK_OK(rds_reader_id(reader, row, &id, &length));
    CHECK(id && id_is(id, (int64_t)length, row));
    if (!CHECK_OK(rds_reader_ids(reader, row, 1, NULL, &array))) return;
    CHECK(large_string_is(&array, 0, row));
    array.release(&array);
}

static uint64_t drain(struct ArrowArrayStream *stream, uint64_t row) {
    struct ArrowArray batch;
    while (CHECK_NUMBER(stream->get_next(stream, &batch), 0) && batch.release) {
        CHECK(list_row_is(batch.children[1], 0, row));
        CHECK(string_is(batch.children[0], batch.length - 1, row + (uint64_t)batch.length - 1));
        row += (uint64_t)batch.length;
        batch.release(&batch);
    }
    return row;
}

static void stream_all(const rds_reader *reader) {
    struct ArrowArrayStream stream;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    options.batch_rows = 700;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    CHECK_NUMBER(drain(&stream, 0), ROWS);
    stream.release(&stream);
}

static void export_some(const rds_reader *reader, uint64_t row) {
    struct ArrowArray array;
    DLManagedTensorVersioned *tensor = NULL;
    if (CHECK_OK(rds_reader_get(reader, 0, row, &array))) {
        CHECK(list_row_is(&array, 0, row));
        array.release(&array);
    }
    if (CHECK_OK(rds_reader_take(reader, &row, 1, NULL, NULL, &array))) {
        CHECK(string_is(array.children[0], 0, row));
        array.release(&array);
    }
    REQUIRE(CHECK_OK(rds_reader_dlpack(reader, 0, row, 1, &tensor)));
    CHECK(*(const float *)tensor->dl_tensor.data == table_value(row, 0));
    tensor->deleter(tensor);
}

static void use(rds_reader *reader, uint64_t row) {
    uint32_t changed = 1;
    read_many(reader, row);
    export_some(reader, row);
    find_one(reader, row);
    stream_all(reader);
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 0);
}

static void use_everything(void *data) {
    struct shared *shared = (struct shared *)data;
    uint64_t row = (uint64_t)getpid() % ROWS;
    alarm(HANG_SECONDS);
    rds_span span = RDS_SPAN_INIT;
    CHECK_OK(rds_reader_span(shared->mapped, 0, row, &span));
    CHECK(((const float *)span.data)[0] == table_value(span.first_row, 0));
    use(shared->mapped, row);
    use(shared->through_lance, row);
    use(shared->fresh, row);
    use(shared->fresh_through_lance, row);
    CHECK_NUMBER(drain(&shared->begun[0], 10), ROWS);
    CHECK_NUMBER(drain(&shared->begun[1], 10), ROWS);
    for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access += 2) {
        rds_reader *own = table_reader_with(shared->path.text, access);
        use(own, row);
        CHECK_OK(rds_reader_close(own));
    }
    CHECK_OK(rds_reader_close(shared->mapped));
    CHECK_OK(rds_reader_close(shared->through_lance));
    shared->begun[0].release(&shared->begun[0]);
    shared->begun[1].release(&shared->begun[1]);
}

/* What the threads of the parent do, by number. */
static void load(struct shared *shared, int number, uint64_t round) {
    uint64_t row = round * 613 % ROWS;
    rds_reader *reader = number % 2 ? shared->through_lance : shared->mapped;
    switch (number) {
    case 0:
    case 1:
        read_many(reader, row);
        export_some(reader, row);
        break;
    case 2:
    case 3:
        find_one(reader, row);
        stream_all(reader);
        break;
    case 4:
        /* Loads ids and builds an index each time. */
        reader = table_reader_with(shared->path.text, RDS_ACCESS_AUTO);
        find_one(reader, row);
        CHECK_OK(rds_reader_close(reader));
        break;
    default:
        table_make(shared->other.text, 50);
    }
}

struct thread {
    struct shared *shared;
    int number;
};

static void *load_until_stopped(void *data) {
    const struct thread *thread = (const struct thread *)data;
    struct shared *shared = thread->shared;
    for (uint64_t round = 0; !__atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST); round++) {
        load(shared, thread->number, round);
        __atomic_add_fetch(&shared->calls, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void begin(struct ArrowArrayStream *stream, const rds_reader *reader) {
    struct ArrowArray batch;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    options.batch_rows = 10;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, stream)));
    REQUIRE(CHECK_NUMBER(stream->get_next(stream, &batch), 0));
    CHECK_NUMBER(batch.length, 10);
    batch.release(&batch);
}

TEST(two_hundred_children_of_a_process_under_load_read_everything) {
    struct ArrowArrayStream begun[2];
    struct shared shared = {.path = check_path(), .other = check_path(), .begun = begun};
    pthread_t threads[THREADS];
    struct thread numbers[THREADS];
    table_make(shared.path.text, ROWS - 100);
    table_append(shared.path.text, ROWS - 100, 100);
    shared.mapped = table_reader_with(shared.path.text, RDS_ACCESS_MAPPED);
    shared.through_lance = table_reader_with(shared.path.text, RDS_ACCESS_LANCE);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = (struct thread){&shared, i};
        pthread_create(&threads[i], NULL, load_until_stopped, &numbers[i]);
    }
    for (int i = 0; i < check_rounds(FORKS); i++) {
        shared.fresh = table_reader_with(shared.path.text, RDS_ACCESS_AUTO);
        shared.fresh_through_lance = table_reader_with(shared.path.text, RDS_ACCESS_LANCE);
        begin(&begun[0], shared.mapped);
        begin(&begun[1], shared.through_lance);
        int before = check_failures;
        in_child(use_everything, &shared);
        if (check_failures != before) fprintf(stderr, "    of fork %d\n", i);
        /* What the child did, it did to its own. */
        CHECK_NUMBER(drain(&begun[0], 10), ROWS);
        CHECK_NUMBER(drain(&begun[1], 10), ROWS);
        begun[0].release(&begun[0]);
        begun[1].release(&begun[1]);
        CHECK_OK(rds_reader_close(shared.fresh));
        CHECK_OK(rds_reader_close(shared.fresh_through_lance));
        if (check_failures) break;
    }
    __atomic_store_n(&shared.stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK(shared.calls > THREADS);
    CHECK_OK(rds_reader_close(shared.mapped));
    CHECK_OK(rds_reader_close(shared.through_lance));
}

CHECK_MAIN(RUN(two_hundred_children_of_a_process_under_load_read_everything))
