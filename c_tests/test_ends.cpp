/* Calls at the end of a thread and of the process, when destructors and atexit handlers run: they work as
 * any other. */
#include <pthread.h>

#include <atomic>
#include <thread>

#include "child.h"
#include "table.h"

enum { ROWS = 20 };

static check_path_text source;
static std::atomic<int> calls;

/* Reads in every way, and writes a table of its own. */
static void use_the_library() {
    rds_reader *reader = table_reader(source.text);
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    const char *name = "id-3";
    uint64_t found = 0;
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name);
    table_check(reader, 0, ROWS);
    CHECK_OK(rds_reader_find(reader, &ids, &found, NULL));
    CHECK_NUMBER(found, 3);
    if (CHECK_OK(rds_reader_stream(reader, NULL, &stream))) {
        CHECK_NUMBER(stream.get_next(&stream, &array), 0);
        if (array.release) array.release(&array);
        stream.release(&stream);
    }
    CHECK_OK(rds_reader_refresh(reader, NULL));
    CHECK_OK(rds_reader_close(reader));
    CHECK_STATUS(rds_reader_close(reader), RDS_ERR_INVALID_HANDLE);
    rds_reader *lance = table_reader_with(source.text, RDS_ACCESS_LANCE);
    CHECK(table_row_is(lance, 5, 5));
    CHECK_OK(rds_reader_close(lance));
    check_path_text path = check_path();
    table_make(path.text, 3);
    CHECK_NUMBER(table_rows(path.text), 3);
    calls++;
}

struct uses_at_the_end {
    ~uses_at_the_end() { use_the_library(); }
};

/* Made before the library is used on its thread, so it goes after what the library keeps of that. */
static void end_a_thread() {
    static thread_local uses_at_the_end first;
    (void)&first;
    use_the_library();
    static thread_local uses_at_the_end last;
    (void)&last;
}

TEST(destructors_of_thread_locals_can_call) {
    source = check_path();
    table_make(source.text, ROWS);
    for (int i = 0; i < check_rounds(20); i++) {
        calls = 0;
        std::thread(end_a_thread).join();
        CHECK_NUMBER(calls, 3);
    }
}

static pthread_key_t key;

static void use_and_come_again(void *rounds) {
    use_the_library();
    intptr_t left = (intptr_t)rounds - 1;
    if (left > 0) pthread_setspecific(key, (void *)left);
}

TEST(destructors_of_keys_can_call) {
    source = check_path();
    table_make(source.text, ROWS);
    CHECK_NUMBER(pthread_key_create(&key, use_and_come_again), 0);
    for (int i = 0; i < check_rounds(20); i++) {
        calls = 0;
        std::thread([] { pthread_setspecific(key, (void *)(intptr_t)2); }).join();
        std::thread([] {
            use_the_library();
            pthread_setspecific(key, (void *)(intptr_t)2);
        }).join();
        CHECK_NUMBER(calls, 5);
    }
}

/* Two destructors, the call between them, and two handlers. */
static void end_the_child() {
    use_the_library();
    fflush(NULL);
    _exit(check_failures || calls != 5 ? 1 : 0);
}

/* Destructors of the main thread come before the handlers, which run in the opposite order. */
static void exit_with_handlers(void *) {
    atexit(end_the_child);
    atexit(use_the_library);
    end_a_thread();
    exit(1);
}

TEST(handlers_of_exit_can_call) {
    source = check_path();
    in_child([](void *) { table_make(source.text, ROWS); }, NULL);
    for (int i = 0; i < check_rounds(10); i++) in_child(exit_with_handlers, NULL);
}

CHECK_MAIN(RUN(handlers_of_exit_can_call), RUN(destructors_of_thread_locals_can_call),
           RUN(destructors_of_keys_can_call))
