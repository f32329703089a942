/* Refreshing while others read, refresh, close, or take the place of what was closed. */
#include <pthread.h>
#include <time.h>

#include "arrow_out.h"
#include "dlpack.h"
#include "maps.h"

enum { REFRESHERS = 4, READERS = 4, FIRST = 40, STEP = 3 };

struct shared {
    rds_reader *reader;
    pthread_barrier_t start;
    int stop;
    long long changes, calls;
};

static int stopped(struct shared *shared) {
    return __atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST);
}

static void *refresh_until_stopped(void *data) {
    struct shared *shared = (struct shared *)data;
    pthread_barrier_wait(&shared->start);
    while (!stopped(shared)) {
        uint32_t changed = 77;
        if (!CHECK_OK(rds_reader_refresh(shared->reader, &changed))) break;
        CHECK(changed <= 1);
        __atomic_add_fetch(&shared->changes, changed, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* One look in every way. What a call gives is of one version, whichever that is, and a later call
 * never shows an earlier version. Nothing is borrowed: a refresh would free it. */
static uint64_t read_once(const rds_reader *reader, uint64_t seen) {
    struct ArrowArray one, ids;
    struct ArrowArrayStream stream;
    DLManagedTensorVersioned *tensor = NULL;
    float values[2 * TABLE_WIDTH];
    uint64_t rows = table_info(reader).rows, row = rows - 1, found = 0;
    char name[24];
    const char *pointer = name;
    const rds_ids wanted = ids_of(RDS_IDS_CSTRINGS, 1, &pointer);
    CHECK(rows >= seen);
    CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values));
    CHECK(values[0] == table_value(row, 0));
    CHECK_OK(rds_reader_read_range(reader, 0, row - 1, 2, values, sizeof values));
    CHECK(values[TABLE_WIDTH + 1] == table_value(row, 1));
    if (CHECK_OK(rds_reader_get(reader, 0, row, &one))) {
        CHECK(list_row_is(&one, 0, row));
        one.release(&one);
    }
    if (CHECK_OK(rds_reader_dlpack(reader, 0, 0, rows, &tensor))) {
        const float *data = (const float *)tensor->dl_tensor.data;
        for (uint64_t i = 0; i < rows; i++) CHECK(data[i * TABLE_WIDTH] == table_value(i, 0));
        tensor->deleter(tensor);
    }
    if (CHECK_OK(rds_reader_ids(reader, row, 1, NULL, &ids))) {
        CHECK(large_string_is(&ids, 0, row));
        ids.release(&ids);
    }
    snprintf(name, sizeof name, "id-%llu", (unsigned long long)row);
    CHECK_OK(rds_reader_find(reader, &wanted, &found, NULL));
    CHECK_NUMBER(found, row);
    if (!CHECK_OK(rds_reader_stream(reader, NULL, &stream))) return rows;
    uint64_t streamed = 0;
    for (; CHECK_NUMBER(stream.get_next(&stream, &one), 0) && one.release; one.release(&one)) {
        for (int64_t i = 0; i < one.length; i++, streamed++) {
            CHECK(list_row_is(one.children[1], i, streamed));
        }
    }
    stream.release(&stream);
    CHECK(streamed >= rows);
    return rows;
}

static void *read_until_stopped(void *data) {
    struct shared *shared = (struct shared *)data;
    uint64_t seen = 0;
    pthread_barrier_wait(&shared->start);
    while (!stopped(shared)) {
        seen = read_once(shared->reader, seen);
        __atomic_add_fetch(&shared->calls, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

TEST(four_threads_refresh_while_four_read_and_a_writer_appends) {
    check_path_text path = check_path();
    table_make(path.text, FIRST);
    struct shared shared = {.reader = table_reader(path.text)};
    pthread_t threads[REFRESHERS + READERS];
    uint64_t rows = FIRST;
    pthread_barrier_init(&shared.start, NULL, REFRESHERS + READERS + 1);
    for (int i = 0; i < REFRESHERS + READERS; i++) {
        void *(*run)(void *) = i < REFRESHERS ? refresh_until_stopped : read_until_stopped;
        pthread_create(&threads[i], NULL, run, &shared);
    }
    pthread_barrier_wait(&shared.start);
    for (int i = 0; i < check_rounds(40); i++, rows += STEP) table_append(path.text, rows, STEP);
    __atomic_store_n(&shared.stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < REFRESHERS + READERS; i++) pthread_join(threads[i], NULL);
    CHECK(shared.changes > 0 && shared.calls > 0);
    CHECK_OK(rds_reader_refresh(shared.reader, NULL));
    CHECK_NUMBER(read_once(shared.reader, rows), rows);
    pthread_barrier_destroy(&shared.start);
    CHECK_OK(rds_reader_close(shared.reader));
    /* No version that was left behind is kept. */
    CHECK_NUMBER(maps_of(path.text), 0);
}

static void *refresh_until_closed(void *data) {
    struct shared *shared = (struct shared *)data;
    rds_status status = RDS_OK;
    pthread_barrier_wait(&shared->start);
    while (status == RDS_OK) {
        uint32_t changed = 77;
        status = rds_reader_refresh(shared->reader, &changed);
        CHECK(status == RDS_OK ? changed <= 1 : changed == 0);
    }
    CHECK_NUMBER(status, RDS_ERR_INVALID_HANDLE);
    return NULL;
}

/* A table of two versions; the number of the first. */
static uint64_t make_two_versions(const char *path) {
    table_make(path, FIRST);
    rds_reader *reader = table_reader(path);
    uint64_t version = table_info(reader).version;
    CHECK_OK(rds_reader_close(reader));
    table_append(path, FIRST, STEP);
    return version;
}

/* Each refresh that wins the race moves the reader; one that loses must not bring it back, nor
 * touch the reader that takes its slot. */
TEST(a_refresh_that_meets_a_close_is_an_error_or_done_before) {
    check_path_text path = check_path(), other = check_path();
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = make_two_versions(path.text);
    table_make(other.text, 3);
    for (int round = 0; round < check_rounds(200); round++) {
        struct shared shared = {0};
        pthread_t threads[3];
        CHECK_OK(rds_reader_open(path.text, &options, &shared.reader));
        pthread_barrier_init(&shared.start, NULL, 4);
        for (int i = 0; i < 3; i++) {
            pthread_create(&threads[i], NULL, refresh_until_closed, &shared);
        }
        pthread_barrier_wait(&shared.start);
        nanosleep(&(struct timespec){0, round * 37 % 3000 * 1000}, NULL);
        CHECK_OK(rds_reader_close(shared.reader));
        rds_reader *next = table_reader(other.text);
        for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
        CHECK_STATUS(rds_reader_close(shared.reader), RDS_ERR_INVALID_HANDLE);
        CHECK_NUMBER(maps_of(path.text), 0);
        CHECK_NUMBER(table_info(next).rows, 3);
        CHECK_OK(rds_reader_close(next));
        pthread_barrier_destroy(&shared.start);
    }
}

static void *refresh_once(void *data) {
    struct shared *shared = (struct shared *)data;
    uint32_t changed = 0;
    pthread_barrier_wait(&shared->start);
    CHECK_OK(rds_reader_refresh(shared->reader, &changed));
    __atomic_add_fetch(&shared->changes, changed, __ATOMIC_SEQ_CST);
    CHECK_NUMBER(table_info(shared->reader).rows, FIRST + STEP);
    return NULL;
}

TEST(after_each_of_several_refreshes_at_once_the_new_rows_are_there) {
    check_path_text path = check_path();
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = make_two_versions(path.text);
    for (int round = 0; round < check_rounds(50); round++) {
        struct shared shared = {0};
        pthread_t threads[REFRESHERS];
        CHECK_OK(rds_reader_open(path.text, &options, &shared.reader));
        pthread_barrier_init(&shared.start, NULL, REFRESHERS);
        for (int i = 0; i < REFRESHERS; i++) {
            pthread_create(&threads[i], NULL, refresh_once, &shared);
        }
        for (int i = 0; i < REFRESHERS; i++) pthread_join(threads[i], NULL);
        /* Those that saw the old version say so. */
        CHECK(shared.changes >= 1);
        CHECK_NUMBER(read_once(shared.reader, 0), FIRST + STEP);
        CHECK_OK(rds_reader_close(shared.reader));
        pthread_barrier_destroy(&shared.start);
    }
}

static void *read_once_or_never(void *data) {
    struct shared *shared = (struct shared *)data;
    float values[TABLE_WIDTH];
    const uint64_t row = 5;
    pthread_barrier_wait(&shared->start);
    rds_status status = rds_reader_read(shared->reader, 0, &row, 1, values, sizeof values);
    if (status == RDS_OK) CHECK(values[0] == table_value(row, 0));
    if (status != RDS_OK) CHECK_NUMBER(status, RDS_ERR_INVALID_HANDLE);
    return NULL;
}

/* Threads that end right after their only call must not take along what the call used. */
TEST(threads_that_come_and_go_leave_nothing_behind) {
    check_path_text path = check_path();
    table_make(path.text, FIRST);
    for (int round = 0; round < check_rounds(300); round++) {
        struct shared shared = {.reader = table_reader(path.text)};
        pthread_t threads[4];
        pthread_barrier_init(&shared.start, NULL, 5);
        for (int i = 0; i < 4; i++) {
            pthread_create(&threads[i], NULL, read_once_or_never, &shared);
        }
        pthread_barrier_wait(&shared.start);
        CHECK_OK(rds_reader_close(shared.reader));
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        CHECK_NUMBER(maps_of(path.text), 0);
        pthread_barrier_destroy(&shared.start);
    }
}

CHECK_MAIN(RUN(four_threads_refresh_while_four_read_and_a_writer_appends),
           RUN(a_refresh_that_meets_a_close_is_an_error_or_done_before),
           RUN(after_each_of_several_refreshes_at_once_the_new_rows_are_there),
           RUN(threads_that_come_and_go_leave_nothing_behind))
