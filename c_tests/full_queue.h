/* Writers on a disk that is full, so that their queue is, and a callback that is asked by calls that wait. */
#ifndef FULL_QUEUE_H
#define FULL_QUEUE_H

#include "small_disk.h"

#include <pthread.h>

#include "staging.h"

enum { SAFE_ROWS = 10, STEP = 5, MOST_ROWS = 2000, BALLAST_MIB = 50 };

/* What the callback is, and what it saw. */
struct asked {
    rds_writer *writer;
    pthread_t caller;
    uint64_t calls, of_others, nested;
    /* The call that stops; 0 goes on for ever. */
    uint64_t stops_at;
    /* Whether to make calls that wait. */
    int calls_back;
};

static inline int ask(void *data) {
    struct asked *asked = (struct asked *)data;
    uint64_t calls = __atomic_add_fetch(&asked->calls, 1, __ATOMIC_SEQ_CST);
    int of_other = !pthread_equal(pthread_self(), asked->caller);
    __atomic_add_fetch(&asked->of_others, (uint64_t)of_other, __ATOMIC_SEQ_CST);
    if (asked->calls_back) {
        rds_write_stats stats = stats_of(asked->writer);
        CHECK(stats.accepted_rows > 0);
        __atomic_add_fetch(&asked->nested, 1, __ATOMIC_SEQ_CST);
    }
    uint64_t stops_at = __atomic_load_n(&asked->stops_at, __ATOMIC_SEQ_CST);
    return stops_at && calls >= stops_at;
}

struct full {
    check_path_text ballast, results;
    rds_writer *writer;
    struct asked asked;
    /* Rows that were accepted. */
    uint64_t written;
};

/* Of the options, how much may wait and what is asked are filled in. */
static inline int open_full_with(struct full *full, const char *path, rds_writer_options options) {
    memset(full, 0, sizeof *full);
    if (!mount_small_disk(path)) return 0;
    full->results = path_below(path, "results");
    full->asked.caller = pthread_self();
    options.max_queued_bytes = 1 << 20, options.waiting = ask, options.user_data = &full->asked;
    CHECK_OK(rds_writer_open(full->results.text, &options, &full->writer));
    full->asked.writer = full->writer;
    CHECK_OK(write_wide(full->writer, 0, SAFE_ROWS));
    full->written = SAFE_ROWS;
    if (options.mode != RDS_MODE_STAGED) CHECK_OK(rds_commit(full->writer, NULL, NULL));
    full->ballast = take_room(path, BALLAST_MIB);
    return 1;
}

static inline int open_full(struct full *full, const char *path, uint32_t mode, uint32_t durability,
                            uint32_t flags) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = mode, options.durability = durability, options.flags = flags;
    return open_full_with(full, path, options);
}

static inline void give_room(struct full *full) {
    CHECK(unlink(full->ballast.text) == 0);
    full->asked.stops_at = 0;
}

#endif
