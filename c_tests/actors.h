/* Processes that each have one writer, and do with it what a test tells them, one call at a time:
 * what happens between processes happens in the order that the test says. */
#ifndef ACTORS_H
#define ACTORS_H

#include "processes.h"

enum command {
    OPEN,
    WRITE,
    FLUSH,
    COMMIT,
    CLOSE,
    CHECK_ROWS,
    CHECK_NO_TABLE,
    VACUUM,
    LEAVE
};

typedef struct {
    check_path_text path;
    pid_t process;
    /* The command, its arguments, how many were given, and how many are done. */
    uint64_t command, first, second, given, done;
    /* What the last call came to. */
    uint64_t status;
    char message[1024];
    /* Run by the process before anything else. */
    void (*prepare)(void);
} actor;

static inline rds_status actor_do(const actor *own, rds_writer **writer) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_reader *reader = NULL;
    switch ((enum command)own->command) {
    case OPEN:
        options.mode = (uint32_t)own->first, options.durability = (uint32_t)own->second;
        options.checkpoint_ms = 3600 * 1000;
        return rds_writer_open(own->path.text, &options, writer);
    case WRITE:
        return table_write(*writer, own->first, own->second);
    case FLUSH:
        return rds_flush(*writer);
    case COMMIT:
        return rds_commit(*writer, NULL, NULL);
    case CLOSE:
        return rds_writer_close(*writer);
    case CHECK_ROWS:
        /* Rows first .. first + second - 1, and no others. */
        reader = table_reader(own->path.text);
        table_check(reader, own->first, own->second);
        return rds_reader_close(reader);
    case CHECK_NO_TABLE:
        CHECK_NUMBER(table_rows(own->path.text), -1);
        return RDS_OK;
    case VACUUM:
        return rds_vacuum(own->path.text, NULL, NULL);
    default:
        return RDS_OK;
    }
}

static inline void actor_live(void *data) {
    actor *own = (actor *)data;
    rds_writer *writer = NULL;
    if (own->prepare) own->prepare();
    for (uint64_t number = 1; shared_await(&own->given, number); number++) {
        own->status = (uint64_t)actor_do(own, &writer);
        snprintf(own->message, sizeof own->message, "%s", rds_last_error_message());
        shared_set(&own->done, number);
        if (own->command == LEAVE) return;
    }
}

static inline actor *actor_start_with(check_path_text path, void (*prepare)(void)) {
    actor *started = (actor *)shared_memory(sizeof *started);
    started->path = path;
    started->prepare = prepare;
    started->process = child_start(actor_live, started);
    return started;
}

static inline actor *actor_start(check_path_text path) { return actor_start_with(path, NULL); }

/* Has it do something, and does not wait. */
static inline void actor_begin(actor *told, enum command command, uint64_t first, uint64_t second) {
    told->command = command, told->first = first, told->second = second;
    shared_set(&told->given, told->given + 1);
}

static inline rds_status actor_end(actor *told) {
    return shared_await(&told->done, told->given) ? (rds_status)told->status : RDS_ERR_INTERNAL;
}

/* What came of it. */
static inline rds_status tell(actor *told, enum command command, uint64_t first, uint64_t second) {
    actor_begin(told, command, first, second);
    return actor_end(told);
}

static inline void check_told(actor *told, enum command command, uint64_t first, uint64_t second,
                              rds_status expected, int line) {
    rds_status got = tell(told, command, first, second);
    if (got == expected) return;
    check_status(got, expected, "what the process was told", __FILE__, line);
    fprintf(stderr, "    its last error: %s\n", told->message);
}

#define TELL_FOR(told, status, ...) check_told((told), __VA_ARGS__, (status), __LINE__)
#define TELL(told, ...) check_told((told), __VA_ARGS__, RDS_OK, __LINE__)

static inline void actor_leave(actor *told) {
    CHECK_OK(tell(told, LEAVE, 0, 0));
    child_wait(told->process);
}

#endif
