/* A handle is a token: whatever is passed in its place is an error, never a crash. */
#include <pthread.h>

#include "table.h"

enum { MANY = 200, ROWS = 64 };

static rds_reader *as_reader(uint64_t token) { return (rds_reader *)(uintptr_t)token; }
static rds_writer *as_writer(uint64_t token) { return (rds_writer *)(uintptr_t)token; }

/* Every function that takes the handle refuses it, and says so in the outputs too. */
static void check_reader_refused(rds_reader *reader) {
    rds_table_info info = RDS_TABLE_INFO_INIT;
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    struct DLManagedTensorVersioned *tensor = (struct DLManagedTensorVersioned *)&info;
    rds_span span = RDS_SPAN_INIT;
    uint32_t changed = 77;
    const char *name = "id-0", *id = "";
    size_t length = 1;
    uint64_t row = 0, found = 0;
    float values[TABLE_WIDTH];
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name);

    CHECK_STATUS(rds_reader_info(reader, &info), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_reader_schema(reader, NULL, &schema), RDS_ERR_INVALID_HANDLE);
    CHECK(schema.release == NULL);
    CHECK_STATUS(rds_reader_get(reader, 0, 0, &array), RDS_ERR_INVALID_HANDLE);
    CHECK(array.release == NULL);
    CHECK_STATUS(rds_reader_take(reader, &row, 1, NULL, NULL, &array), RDS_ERR_INVALID_HANDLE);
    CHECK(array.release == NULL);
    CHECK_STATUS(rds_reader_read(reader, 0, &row, 1, values, sizeof values), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_reader_id(reader, 0, &id, &length), RDS_ERR_INVALID_HANDLE);
    CHECK(id == NULL && length == 0);
    CHECK_STATUS(rds_reader_ids(reader, 0, 1, &schema, &array), RDS_ERR_INVALID_HANDLE);
    CHECK(schema.release == NULL && array.release == NULL);
    CHECK_STATUS(rds_reader_find(reader, &ids, &found, NULL), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_reader_span(reader, 0, 0, &span), RDS_ERR_INVALID_HANDLE);
    CHECK(span.row_count == 0 && span.data == NULL);
    CHECK_STATUS(rds_reader_read_range(reader, 0, 0, 1, values, sizeof values),
                 RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_reader_dlpack(reader, 0, 0, 1, &tensor), RDS_ERR_INVALID_HANDLE);
    CHECK(tensor == NULL);
    CHECK_STATUS(rds_reader_refresh(reader, &changed), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(changed, 0);
    CHECK_STATUS(rds_reader_stream(reader, NULL, &stream), RDS_ERR_INVALID_HANDLE);
    CHECK(stream.release == NULL);
    CHECK_STATUS(rds_reader_close(reader), RDS_ERR_INVALID_HANDLE);
    CHECK_MESSAGE_HAS("rds_reader_close: ");
}

static void check_writer_refused(rds_writer *writer) {
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    CHECK_STATUS(table_write(writer, 0, 1), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_write_batch(writer, &schema, &array), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_flush(writer), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_commit(writer, NULL, NULL), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_INVALID_HANDLE);
    CHECK_MESSAGE_HAS("rds_writer_close: ");
}

TEST(a_closed_reader_is_refused_by_every_function) {
    check_path_text path = check_path();
    table_make(path.text, 3);
    rds_reader *reader = table_reader(path.text);
    CHECK_OK(rds_reader_close(reader));
    check_reader_refused(reader);
}

TEST(a_closed_writer_is_refused_by_every_function) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_writer_close(writer));
    check_writer_refused(writer);
}

TEST(a_handle_of_the_other_type_is_refused_and_unharmed) {
    check_path_text path = check_path();
    table_make(path.text, 3);
    rds_reader *reader = table_reader(path.text);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    check_writer_refused((rds_writer *)reader);
    check_reader_refused((rds_reader *)writer);
    CHECK(table_row_is(reader, 2, 2));
    CHECK_OK(table_write(writer, 3, 1));
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
}

TEST(garbage_is_refused) {
    int local = 0;
    const uint64_t garbage[] = {1,      2,          7,          0x1000,
                                1u << 31, UINT64_MAX, INT64_MAX, 0xdeadbeefdeadbeef,
                                (uint64_t)(uintptr_t)&local,
                                /* The type's own tag, with slots and generations that are not. */
                                0x5200000000000000, 0x5200000000ffffff, 0x52ffffffffffffff,
                                0x5700000000000000, 0x5700000000ffffff, 0x57ffffffffffffff};
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        check_reader_refused(as_reader(garbage[i]));
        check_writer_refused(as_writer(garbage[i]));
    }
}

TEST(tokens_beside_a_live_one_are_refused) {
    check_path_text path = check_path();
    table_make(path.text, 3);
    rds_reader *reader = table_reader(path.text);
    uint64_t token = (uint64_t)(uintptr_t)reader;
    for (int bit = 0; bit < 64; bit++) {
        CHECK_STATUS(rds_reader_close(as_reader(token ^ (1ull << bit))), RDS_ERR_INVALID_HANDLE);
    }
    CHECK(table_row_is(reader, 1, 1));
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_reused_slot_does_not_answer_to_its_old_handle) {
    check_path_text path = check_path();
    table_make(path.text, 1);
    rds_reader *old = table_reader(path.text);
    CHECK_OK(rds_reader_close(old));
    for (int i = 0; i < check_rounds(MANY); i++) {
        rds_reader *reader = table_reader(path.text);
        CHECK(reader != old);
        CHECK_STATUS(rds_reader_close(old), RDS_ERR_INVALID_HANDLE);
        CHECK_OK(rds_reader_close(reader));
        old = reader;
    }
}

TEST(many_handles_are_open_at_once_and_none_is_mixed_up) {
    check_path_text paths[4];
    rds_reader *readers[MANY];
    rds_writer *writers[MANY];
    int count = check_rounds(MANY);
    for (uint64_t i = 0; i < 4; i++) {
        paths[i] = check_path();
        table_make(paths[i].text, i + 1);
    }
    for (int i = 0; i < count; i++) {
        check_path_text unused = check_path();
        readers[i] = table_reader(paths[i % 4].text);
        writers[i] = table_writer(unused.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    }
    for (int i = 0; i < count; i++) CHECK_NUMBER(table_info(readers[i]).rows, i % 4 + 1);
    for (int i = count - 1; i >= 0; i--) {
        CHECK_OK(rds_reader_close(readers[i]));
        CHECK_OK(rds_writer_close(writers[i]));
    }
}

struct shared {
    rds_reader *reader;
    rds_writer *writer;
    pthread_barrier_t start;
    int closed;
    long long accepted;
};

static void *read_until_closed(void *data) {
    struct shared *shared = (struct shared *)data;
    rds_status status = RDS_OK;
    pthread_barrier_wait(&shared->start);
    for (uint64_t i = 0; status == RDS_OK; i++) {
        uint64_t row = i % ROWS;
        float values[TABLE_WIDTH] = {0};
        status = rds_reader_read(shared->reader, 0, &row, 1, values, sizeof values);
        if (status == RDS_OK) CHECK(values[0] == table_value(row, 0));
    }
    CHECK_NUMBER(status, RDS_ERR_INVALID_HANDLE);
    return NULL;
}

TEST(closing_a_reader_ends_the_calls_of_other_threads_in_an_error) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    for (int round = 0; round < check_rounds(100); round++) {
        struct shared shared = {.reader = table_reader(path.text)};
        pthread_t threads[4];
        pthread_barrier_init(&shared.start, NULL, 5);
        for (int i = 0; i < 4; i++) {
            pthread_create(&threads[i], NULL, read_until_closed, &shared);
        }
        pthread_barrier_wait(&shared.start);
        CHECK_OK(rds_reader_close(shared.reader));
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&shared.start);
    }
}

static void *write_until_closed(void *data) {
    struct shared *shared = (struct shared *)data;
    rds_status status = RDS_OK;
    pthread_barrier_wait(&shared->start);
    for (;;) {
        status = table_write(shared->writer, 0, 1);
        if (status != RDS_OK) break;
        __atomic_add_fetch(&shared->accepted, 1, __ATOMIC_SEQ_CST);
    }
    /* A call that looked the handle up before it was closed finds the writer in its last state. */
    if (status != RDS_ERR_INVALID_HANDLE) CHECK_NUMBER(status, RDS_ERR_INVALID_STATE);
    return NULL;
}

TEST(closing_a_writer_ends_the_calls_of_other_threads_and_loses_nothing_accepted) {
    for (int round = 0; round < check_rounds(50); round++) {
        check_path_text path = check_path();
        struct shared shared = {
            .writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL)};
        pthread_t threads[3];
        pthread_barrier_init(&shared.start, NULL, 4);
        for (int i = 0; i < 3; i++) {
            pthread_create(&threads[i], NULL, write_until_closed, &shared);
        }
        pthread_barrier_wait(&shared.start);
        CHECK_OK(rds_writer_close(shared.writer));
        for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
        long long rows = table_rows(path.text);
        CHECK_NUMBER(rows < 0 ? 0 : rows, shared.accepted);
        pthread_barrier_destroy(&shared.start);
    }
}

static void *close_reader(void *data) {
    struct shared *shared = (struct shared *)data;
    pthread_barrier_wait(&shared->start);
    rds_status status = rds_reader_close(shared->reader);
    if (status == RDS_OK) {
        __atomic_add_fetch(&shared->closed, 1, __ATOMIC_SEQ_CST);
    } else {
        CHECK_NUMBER(status, RDS_ERR_INVALID_HANDLE);
    }
    return NULL;
}

TEST(of_threads_that_close_one_reader_exactly_one_succeeds) {
    check_path_text path = check_path();
    table_make(path.text, 1);
    for (int round = 0; round < check_rounds(100); round++) {
        struct shared shared = {.reader = table_reader(path.text)};
        pthread_t threads[4];
        pthread_barrier_init(&shared.start, NULL, 4);
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, close_reader, &shared);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        CHECK_NUMBER(shared.closed, 1);
        pthread_barrier_destroy(&shared.start);
    }
}

CHECK_MAIN(RUN(a_closed_reader_is_refused_by_every_function),
           RUN(a_closed_writer_is_refused_by_every_function),
           RUN(a_handle_of_the_other_type_is_refused_and_unharmed), RUN(garbage_is_refused),
           RUN(tokens_beside_a_live_one_are_refused),
           RUN(a_reused_slot_does_not_answer_to_its_old_handle),
           RUN(many_handles_are_open_at_once_and_none_is_mixed_up),
           RUN(closing_a_reader_ends_the_calls_of_other_threads_in_an_error),
           RUN(closing_a_writer_ends_the_calls_of_other_threads_and_loses_nothing_accepted),
           RUN(of_threads_that_close_one_reader_exactly_one_succeeds))
