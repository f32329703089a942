/* When calls on a reader ask whether to go on: an open of many files, on the thread that waits or the main one alone,
 * and never what is short. */
#define _GNU_SOURCE
#include "reader_waiting.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include "child.h"
#include "staging.h"

/* Rows with a file each; and more ids than a moment is enough for. */
enum { FRAGMENTS = 2300, ID_ROWS = 3 << 20 };

/* Microseconds that it takes to open a file: of a disk that is far away. */
static int slow_open;

int open64(const char *path, int flags, ...);

int open64(const char *path, int flags, ...) {
    const struct timespec time = {0, __atomic_load_n(&slow_open, __ATOMIC_SEQ_CST) * 1000L};
    if (time.tv_nsec) nanosleep(&time, NULL);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
}

static void set_slow_open(int microseconds) { __atomic_store_n(&slow_open, microseconds, __ATOMIC_SEQ_CST); }

/* Version 1 has one row, version 2 all, each with a file of its own. */
static check_path_text make_fragments(void) {
    check_path_text path = check_path();
    table_make(path.text, 1);
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    rds_token *tokens = (rds_token *)calloc(FRAGMENTS, sizeof *tokens);
    for (uint64_t i = 1; i < FRAGMENTS; i++) {
        CHECK_OK(table_write(writer, i, 1));
        tokens[i] = stage(writer);
    }
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(publish(path.text, tokens + 1, FRAGMENTS - 1, RDS_MODE_APPEND, NULL));
    for (int i = 1; i < FRAGMENTS; i++) token_free(tokens[i]);
    free(tokens);
    return path;
}

TEST(an_open_and_a_refresh_of_many_files_are_stopped) {
    check_path_text path = make_fragments();
    struct asked asked = {.stops_at = 1};
    rds_reader *reader = NULL;
    uint32_t changed = 77;
    set_slow_open(200);
    CHECK_STATUS(open_asking(path.text, RDS_ACCESS_AUTO, 0, 0, &asked, &reader), RDS_ERR_CANCELLED);
    CHECK_MESSAGE_HAS("rds_reader_open: ");
    CHECK_NUMBER(asked.calls, 1);
    asked.stops_at = 0, asked.calls = 0;
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, 0, 0, &asked, &reader)));
    CHECK(asked.calls > 0 && asked.of_others == 0);
    set_slow_open(0);
    table_check(reader, 0, FRAGMENTS);
    CHECK_OK(rds_reader_close(reader));
    /* A refresh that is stopped leaves the version that was read. */
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, 0, 1, &asked, &reader)));
    set_slow_open(200);
    asked.stops_at = 1, asked.calls = 0;
    CHECK_STATUS(rds_reader_refresh(reader, &changed), RDS_ERR_CANCELLED);
    CHECK_MESSAGE_HAS("rds_reader_refresh: ");
    CHECK_NUMBER(changed, 0);
    CHECK_NUMBER(asked.calls, 1);
    table_check(reader, 0, 1);
    asked.stops_at = 0;
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 1);
    set_slow_open(0);
    table_check(reader, 0, FRAGMENTS);
    /* Nothing is new, so no file is opened, however long that takes. */
    set_slow_open(200);
    asked.stops_at = 1, asked.calls = 0;
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 0);
    CHECK_NUMBER(asked.calls, 0);
    set_slow_open(0);
    CHECK_OK(rds_reader_close(reader));
}

/* Fewer files on a disk that is further away take as long. */
TEST(an_open_of_some_files_far_away_asks) {
    enum { SOME = 300 };
    check_path_text path = check_path();
    struct asked asked = {.stops_at = 1};
    rds_reader *reader = NULL;
    rds_token tokens[SOME];
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    for (uint64_t i = 0; i < SOME; i++) {
        CHECK_OK(table_write(writer, i, 1));
        tokens[i] = stage(writer);
    }
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(publish(path.text, tokens, SOME, RDS_MODE_CREATE, NULL));
    for (int i = 0; i < SOME; i++) token_free(tokens[i]);
    set_slow_open(5 * 1000);
    double since = seconds();
    CHECK_STATUS(open_asking(path.text, RDS_ACCESS_AUTO, 0, 0, &asked, &reader), RDS_ERR_CANCELLED);
    CHECK(seconds() - since < 1);
    set_slow_open(0);
    if (reader) CHECK_OK(rds_reader_close(reader));
}

static void make_ids_at(const char *path) {
    rds_writer *writer = table_writer(path, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    int64_t *numbers = (int64_t *)malloc(ID_ROWS * sizeof *numbers);
    const int64_t shape[1] = {ID_ROWS};
    for (int64_t i = 0; i < ID_ROWS; i++) numbers[i] = i;
    const rds_ids ids = ids_of(RDS_IDS_INT64, ID_ROWS, numbers);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_INT64, 1, shape, numbers);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    free(numbers);
}

/* The same for all tests. */
static check_path_text make_ids(void) {
    static check_path_text path;
    if (!path.text[0]) make_ids_at((path = check_path()).text);
    return path;
}

struct elsewhere {
    rds_reader *reader;
    struct asked *asked;
    rds_status status;
};

static void *load_elsewhere(void *data) {
    struct elsewhere *elsewhere = (struct elsewhere *)data;
    const char *id;
    size_t length;
    elsewhere->asked->caller = pthread_self();
    elsewhere->status = rds_reader_id(elsewhere->reader, 1, &id, &length);
    return NULL;
}

TEST(the_thread_that_waits_is_asked_or_the_main_thread_alone) {
    check_path_text path = make_ids();
    for (uint32_t main_alone = 0; main_alone < 2; main_alone++) {
        struct asked asked = {.stops_at = 1};
        struct elsewhere elsewhere = {NULL, &asked, RDS_OK};
        pthread_t thread;
        uint32_t flags = main_alone ? RDS_READER_WAITING_MAIN_THREAD : 0;
        REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, flags, 0, &asked, &elsewhere.reader)));
        const char *id;
        size_t length;
        CHECK_STATUS(rds_reader_id(elsewhere.reader, 1, &id, &length), RDS_ERR_CANCELLED);
        CHECK_NUMBER(asked.calls, 1);
        pthread_create(&thread, NULL, load_elsewhere, &elsewhere);
        pthread_join(thread, NULL);
        CHECK_NUMBER(elsewhere.status, main_alone ? RDS_OK : RDS_ERR_CANCELLED);
        CHECK_NUMBER(asked.calls, main_alone ? 1 : 2);
        CHECK_NUMBER(asked.of_others, 0);
        CHECK_OK(rds_reader_close(elsewhere.reader));
    }
}

TEST(a_clone_asks_what_its_reader_asks) {
    check_path_text path = make_ids();
    struct asked asked = {.stops_at = 1};
    rds_reader *reader = NULL, *other = NULL;
    const char *id;
    size_t length;
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, 0, 0, &asked, &reader)));
    CHECK_OK(rds_reader_clone(reader, &other));
    CHECK_OK(rds_reader_close(reader));
    CHECK_STATUS(rds_reader_id(other, 1, &id, &length), RDS_ERR_CANCELLED);
    asked.stops_at = 0;
    CHECK_OK(rds_reader_id(other, 1, &id, &length));
    CHECK(asked.calls > 1);
    CHECK_OK(rds_reader_close(other));
}

struct sharing {
    const rds_reader *reader;
    rds_status status;
};

static void *load_shared(void *data) {
    struct sharing *sharing = (struct sharing *)data;
    const char *id;
    size_t length;
    sharing->status = rds_reader_id(sharing->reader, 1, &id, &length);
    return NULL;
}

/* A clone shares the ids: who gives up waiting for them does not give them up for the others. */
TEST(who_stops_does_not_stop_others) {
    check_path_text path = make_ids();
    for (int round = 0; round < 4; round++) {
        struct asked asked = {.stops_at = 1};
        rds_reader *reader = NULL;
        pthread_t threads[3];
        struct sharing sharing[3];
        const char *id;
        size_t length;
        uint32_t flags = RDS_READER_WAITING_MAIN_THREAD;
        REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, flags, 0, &asked, &reader)));
        for (int i = 0; i < 3; i++) {
            sharing[i].reader = reader;
            pthread_create(&threads[i], NULL, load_shared, &sharing[i]);
            if (!i) sleep_ms(10 * round);
        }
        rds_status status = rds_reader_id(reader, 1, &id, &length);
        CHECK(status == RDS_OK || status == RDS_ERR_CANCELLED);
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[i], NULL);
            CHECK_NUMBER(sharing[i].status, RDS_OK);
        }
        CHECK_OK(rds_reader_id(reader, 1, &id, &length));
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(what_is_short_asks_nothing) {
    check_path_text path = check_path();
    struct asked asked = {.stops_at = 1};
    rds_reader *reader = NULL;
    table_make(path.text, 2000);
    for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access += 2) {
        REQUIRE(CHECK_OK(open_asking(path.text, access, 0, 0, &asked, &reader)));
        struct ArrowArray array;
        const char *const name = "id-7";
        const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name);
        float values[TABLE_WIDTH];
        uint64_t row = 3, count = 0;
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values));
        CHECK_OK(rds_reader_read_range(reader, 0, 5, 1, values, sizeof values));
        CHECK_OK(rds_reader_find(reader, &ids, &row, NULL));
        CHECK_NUMBER(row, 7);
        CHECK_OK(rds_reader_find_all(reader, name, strlen(name), &row, 1, &count));
        CHECK_OK(rds_reader_take(reader, &row, 1, NULL, NULL, &array));
        array.release(&array);
        CHECK_OK(rds_reader_versions(reader, NULL, 0, &count));
        CHECK_OK(rds_reader_refresh(reader, NULL));
        CHECK_NUMBER(asked.calls, 0);
        CHECK_OK(rds_reader_close(reader));
    }
}

/* Calls made in the callback, which ask nothing themselves. */
static void call_back(struct asked *asked) {
    int64_t value = 0;
    const uint64_t row = 12345;
    uint64_t count = 0;
    rds_version_info version = RDS_VERSION_INFO_INIT;
    uint64_t calls = asked->calls;
    CHECK_NUMBER(table_info(asked->reader).rows, ID_ROWS);
    CHECK_OK(rds_reader_read(asked->reader, 0, &row, 1, &value, sizeof value));
    CHECK_NUMBER(value, 12345);
    CHECK_OK(rds_reader_versions(asked->reader, &version, 1, &count));
    CHECK_STATUS(rds_reader_read(asked->reader, 9, &row, 1, &value, sizeof value), RDS_ERR_INVALID_ARGUMENT);
    CHECK_NUMBER(asked->calls, calls);
}

TEST(the_callback_may_call_what_is_short) {
    check_path_text path = make_ids();
    struct asked asked = {.besides = call_back, .stops_at = 2};
    rds_reader *reader = NULL;
    const char *id;
    size_t length;
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, 0, 0, &asked, &reader)));
    rds_status status = rds_reader_id(reader, 1, &id, &length);
    CHECK(status == RDS_OK || status == RDS_ERR_CANCELLED);
    CHECK(asked.calls > 0);
    /* The last error is that of the call, whatever the callback met with. */
    if (status != RDS_OK) CHECK_MESSAGE_HAS("rds_reader_id: ");
    asked.stops_at = 0;
    CHECK_OK(rds_reader_id(reader, 1, &id, &length));
    CHECK_OK(rds_reader_close(reader));
}

static void ask_for_ids(struct asked *asked) {
    const char *id = NULL;
    size_t length = 0;
    rds_status status = rds_reader_id(asked->reader, 2, &id, &length);
    CHECK(status == RDS_OK || status == RDS_ERR_INVALID_STATE);
}

static void load_and_ask_for_ids(void *path) {
    struct asked asked = {.besides = ask_for_ids};
    rds_reader *reader = NULL;
    const char *id;
    size_t length;
    make_ids_at((char *)path);
    alarm(15);
    REQUIRE(CHECK_OK(open_asking((char *)path, RDS_ACCESS_AUTO, 0, 0, &asked, &reader)));
    CHECK_OK(rds_reader_id(reader, 1, &id, &length));
    CHECK(asked.calls > 0);
    CHECK_OK(rds_reader_close(reader));
}

/* What it asks for is what the call that asks it is about to make. In a process of its own, which its alarm ends. */
TEST(the_callback_may_ask_for_ids_and_is_not_blocked) {
    check_path_text path = check_path();
    in_child(load_and_ask_for_ids, path.text);
}

static void *find_shared(void *data) {
    struct sharing *sharing = (struct sharing *)data;
    uint64_t row, count;
    sharing->status = rds_reader_find_all(sharing->reader, "77", 2, &row, 1, &count);
    return NULL;
}

/* Not only the thread that loads the ids waits for them. */
TEST(who_waits_for_ids_that_another_thread_loads_is_asked) {
    check_path_text path = make_ids();
    struct asked asked = {.stops_at = 1};
    rds_reader *reader = NULL;
    pthread_t thread;
    uint64_t row, count;
    uint32_t flags = RDS_READER_WAITING_MAIN_THREAD;
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, flags, 0, &asked, &reader)));
    struct sharing sharing = {reader, RDS_OK};
    pthread_create(&thread, NULL, find_shared, &sharing);
    sleep_ms(10);
    double since = seconds();
    rds_status status = rds_reader_find_all(reader, "77", 2, &row, 1, &count);
    CHECK(status == RDS_ERR_CANCELLED || (status == RDS_OK && seconds() - since < 0.1));
    pthread_join(thread, NULL);
    CHECK_NUMBER(sharing.status, RDS_OK);
    CHECK_OK(rds_reader_find_all(reader, "77", 2, &row, 1, &count));
    CHECK_NUMBER(row, 77);
    CHECK_OK(rds_reader_close(reader));
}

static void close_it(struct asked *asked) {
    if (asked->reader) CHECK_OK(rds_reader_close((rds_reader *)(uintptr_t)asked->reader));
    asked->reader = NULL;
}

TEST(a_reader_that_its_callback_closes_ends_the_call_unharmed) {
    check_path_text path = make_ids();
    struct asked asked = {.besides = close_it};
    rds_reader *reader = NULL;
    const char *id;
    size_t length;
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, 0, 0, &asked, &reader)));
    CHECK_OK(rds_reader_id(reader, 1, &id, &length));
    CHECK(asked.calls > 0);
    CHECK_STATUS(rds_reader_close(reader), RDS_ERR_INVALID_HANDLE);
}

CHECK_MAIN(RUN(the_callback_may_ask_for_ids_and_is_not_blocked), RUN(what_is_short_asks_nothing),
           RUN(an_open_and_a_refresh_of_many_files_are_stopped),
           RUN(an_open_of_some_files_far_away_asks), RUN(the_thread_that_waits_is_asked_or_the_main_thread_alone),
           RUN(a_clone_asks_what_its_reader_asks), RUN(who_stops_does_not_stop_others),
           RUN(the_callback_may_call_what_is_short),
           RUN(who_waits_for_ids_that_another_thread_loads_is_asked),
           RUN(a_reader_that_its_callback_closes_ends_the_call_unharmed))
