/* A callback that calls on readers ask, and what it sees of them. */
#ifndef READER_WAITING_H
#define READER_WAITING_H

#include <pthread.h>

#include "table.h"

/* What the callback is, and what it saw. */
struct asked {
    pthread_t caller;
    uint64_t calls, of_others;
    /* The call that stops; 0 goes on for ever. */
    uint64_t stops_at;
    /* What it does besides. */
    void (*besides)(struct asked *);
    const rds_reader *reader;
};

static inline int ask(void *data) {
    struct asked *asked = (struct asked *)data;
    asked->calls++;
    asked->of_others += !pthread_equal(pthread_self(), asked->caller);
    if (asked->besides) asked->besides(asked);
    return asked->stops_at && asked->calls >= asked->stops_at;
}

static inline rds_status open_asking(const char *path, uint32_t access, uint32_t flags, uint64_t version,
                              struct asked *asked, rds_reader **reader) {
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access, options.flags = flags, options.version = version;
    options.waiting = ask, options.user_data = asked;
    asked->caller = pthread_self();
    rds_status status = rds_reader_open(path, &options, reader);
    CHECK((*reader != NULL) == (status == RDS_OK));
    asked->reader = *reader;
    return status;
}

static inline double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Calls that take long, on a reader and memory for what they give. */
typedef rds_status call(rds_reader *reader, void *memory);

/* Stopped it ends soon, and nothing is left of it; let go on it succeeds, and has asked some twenty times a second. */
static inline void check_stops(rds_reader *reader, struct asked *asked, const char *name, call *call, void *memory) {
    char start[64];
    int before = check_failures;
    const rds_table_info info = table_info(reader);
    asked->calls = 0, asked->stops_at = 1;
    CHECK_STATUS(call(reader, memory), RDS_ERR_CANCELLED);
    snprintf(start, sizeof start, "%s: ", name);
    CHECK_MESSAGE_HAS(start);
    CHECK_NUMBER(asked->calls, 1);
    const rds_table_info after = table_info(reader);
    CHECK(memcmp(&info, &after, sizeof info) == 0);
    asked->calls = 0, asked->stops_at = 3;
    double since = seconds();
    rds_status status = call(reader, memory);
    CHECK(status == RDS_ERR_CANCELLED || (status == RDS_OK && asked->calls < 3));
    asked->calls = 0, asked->stops_at = 0;
    since = seconds();
    CHECK_OK(call(reader, memory));
    CHECK((double)asked->calls <= (seconds() - since) * 21 + 1);
    CHECK_NUMBER(asked->of_others, 0);
    if (check_failures != before) fprintf(stderr, "    of %s\n", name);
}

#endif
