/* A fork in the middle of the first call of a process: what that call is making, the child makes itself. */
#include <pthread.h>

#include "child.h"
#include "table.h"

enum { ROWS = 50, MOST = 30 };

struct first {
    const char *path;
    void (*call)(const char *path);
    int started, ended;
};

static void read_all(const char *path) {
    rds_reader *reader = table_reader(path);
    table_check(reader, 0, ROWS);
    CHECK_OK(rds_reader_close(reader));
}

static void read_through_lance(const char *path) {
    rds_reader *reader = table_reader_with(path, RDS_ACCESS_LANCE);
    CHECK(table_row_is(reader, 7, 7));
    CHECK_OK(rds_reader_close(reader));
}

static void write_a_table(const char *path) {
    check_path_text other;
    snprintf(other.text, sizeof other.text, "%s-%d", path, (int)getpid());
    table_make(other.text, ROWS);
    CHECK_NUMBER(table_rows(other.text), ROWS);
}

static void *call_first(void *data) {
    struct first *first = (struct first *)data;
    __atomic_store_n(&first->started, 1, __ATOMIC_SEQ_CST);
    first->call(first->path);
    __atomic_store_n(&first->ended, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void call_too(void *data) {
    const struct first *first = (const struct first *)data;
    first->call(first->path);
}

/* One thread calls while another forks again and again; the children call too. */
static void fork_meanwhile(void *data) {
    struct first *first = (struct first *)data;
    pid_t children[MOST];
    pthread_t thread;
    int count = 0;
    pthread_create(&thread, NULL, call_first, first);
    while (!__atomic_load_n(&first->started, __ATOMIC_SEQ_CST)) continue;
    while (!__atomic_load_n(&first->ended, __ATOMIC_SEQ_CST) && count < MOST) {
        children[count++] = child_start(call_too, first);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < count; i++) child_wait(children[i]);
}

static void make_the_table(void *data) { table_make((const char *)data, ROWS); }

/* This process itself calls nothing, so that each child is new to the library. */
static void check_first_calls(void (*call)(const char *path), int rounds) {
    check_path_text path = check_path();
    in_child(make_the_table, path.text);
    for (int i = 0; i < rounds; i++) {
        struct first first = {.path = path.text, .call = call};
        in_child(fork_meanwhile, &first);
    }
}

TEST(a_child_of_a_first_read_reads) { check_first_calls(read_all, check_rounds(40)); }

TEST(a_child_of_a_first_read_through_lance_reads) {
    check_first_calls(read_through_lance, check_rounds(20));
}

TEST(a_child_of_a_first_write_writes) { check_first_calls(write_a_table, check_rounds(20)); }

CHECK_MAIN(RUN(a_child_of_a_first_read_reads), RUN(a_child_of_a_first_read_through_lance_reads),
           RUN(a_child_of_a_first_write_writes))
