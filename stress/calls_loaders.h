/* Calls of the functions of loaders. */
#ifndef CALLS_LOADERS_H
#define CALLS_LOADERS_H

#include "calls_gather.h"

static Slots loaders;
static std::vector<void *> opened_loaders;

static void close_loader(void *handle) {
    begin("rds_loader_close");
    if (CALL(rds_loader_close, static_cast<rds_loader *>(handle)) == RDS_OK) loaders.was_closed(handle);
}

static rds_loader *any_loader(uint64_t wrong_in = 24) {
    int slot;
    return static_cast<rds_loader *>(any_handle(loaders, readers, wrong_in, &slot));
}

static void call_rds_loader_open() {
    In<rds_loader_options> options(RDS_LOADER_OPTIONS_INIT);
    Value<rds_loader *> out;
    rds_loader_options &given = options.value();
    rds_reader *reader = any_reader();
    given.batch_rows = 1 + below(40);
    given.world_size = (uint32_t)below(5);
    given.rank = given.world_size ? (uint32_t)below(given.world_size) : 0;
    given.worker_count = (uint32_t)below(3);
    given.worker = given.worker_count ? (uint32_t)below(given.worker_count) : 0;
    given.tail = (uint32_t)below(2);
    given.seed = next_random();
    given.epoch = once_in(8) ? huge() : below(3);
    given.clump_rows = below(4);
    given.threads = (uint32_t)below(3);
    given.ahead = (uint32_t)below(4);
    given.flags = one_of({0u, 0u, RDS_LOADER_NO_THREADS, RDS_LOADER_WHOLE_STEPS, RDS_LOADER_WAITING_MAIN_THREAD});
    if (once_in(2)) given.waiting = waits;
    note(" batch_rows=%llu world_size=%u tail=%u clump_rows=%llu flags=%x", (unsigned long long)given.batch_rows,
         given.world_size, given.tail, (unsigned long long)given.clump_rows, given.flags);
    if (once_in(4)) {
        size_t count = 1 + below(24);
        uint64_t *rows = room<uint64_t>(count);
        for (size_t i = 0; i < count; i++) rows[i] = below(40);
        if (once_in(8)) rows[below(count)] = huge(), WRONG(" a huge row");
        given.rows = rows, given.row_count = count;
    }
    if (once_in(16)) given.batch_rows = 0, WRONG(" batch_rows=0");
    if (once_in(16)) given.rank = given.world_size + 1, WRONG(" rank=%u", given.rank);
    if (once_in(16)) given.tail = 3 + (uint32_t)below(9), WRONG(" tail=%u", given.tail);
    if (once_in(16)) given.flags |= 16u << below(28), WRONG(" flags=%x", given.flags);
    options.spoil(false);
    rds_status status = CALL(rds_loader_open, reader, options.pointer(), out.place);
    out.check(status);
    if (status != RDS_OK) return;
    void *old = share(loaders, opened_loaders, out.value, 0, (int)below(SLOTS));
    if (old) close_loader(old);
}

static void call_rds_loader_next() {
    Out<rds_loader_batch> batch(RDS_LOADER_BATCH_INIT, false);
    rds_loader *loader = any_loader();
    rds_status status = CALL(rds_loader_next, loader, batch.pointer());
    batch.check(status);
    /* Its memory is that of a loader which others close. */
    if (status != RDS_OK || once_in(8)) return;
    rds_loader_batch given = RDS_LOADER_BATCH_INIT;
    memcpy(&given, batch.pointer(), std::min(sizeof given, (size_t)batch.pointer()->struct_size));
    begin("rds_loader_release");
    CALL(rds_loader_release, loader, given.buffer);
}

static void call_rds_loader_release() {
    rds_loader *loader = any_loader();
    uint64_t buffer = once_in(8) ? huge() : below(40);
    note(" buffer=%llx", (unsigned long long)buffer);
    CALL(rds_loader_release, loader, buffer);
}

static void call_rds_loader_state() {
    rds_position position, *place = &position;
    memset(&position, GUARD, sizeof position);
    rds_loader *loader = any_loader();
    if (once_in(24)) place = nullptr, WRONG(" out_position=NULL");
    const rds_position none{};
    if (CALL(rds_loader_state, loader, place) != RDS_OK && place && memcmp(place, &none, sizeof none) != 0) {
        report("an output is set after a failure");
    }
}

static void call_rds_loader_seek() {
    rds_position position{}, *place = nullptr;
    rds_loader *loader = any_loader();
    uint64_t epoch = 0, consumed = 0;
    if (once_in(2)) {
        epoch = once_in(8) ? huge() : below(4), consumed = below(90);
        if (once_in(8)) consumed = huge(), WRONG(" consumed=%llx", (unsigned long long)consumed);
    } else {
        place = &position;
        begin("rds_loader_state");
        if (CALL(rds_loader_state, loader, place) != RDS_OK) return;
        begin("rds_loader_seek");
        if (once_in(8)) position.bytes[below(sizeof position.bytes)] ^= 1, WRONG(" a damaged position");
    }
    CALL(rds_loader_seek, loader, place, epoch, consumed);
}

static void call_rds_loader_stats() {
    Out<rds_load_stats> stats(RDS_LOAD_STATS_INIT, false);
    rds_loader *loader = any_loader();
    stats.check(CALL(rds_loader_stats, loader, stats.pointer()));
}

static void call_rds_loader_fd() {
    int fd = 7, *place = &fd;
    rds_loader *loader = any_loader();
    if (once_in(24)) place = nullptr, WRONG(" out_fd=NULL");
    if (CALL(rds_loader_fd, loader, place) != RDS_OK && place && fd != -1) report("an output is set after a failure");
}

static void call_rds_loader_close() {
    rds_loader *loader = any_loader(once_in(4) ? 16 : 1);
    if (CALL(rds_loader_close, loader) == RDS_OK) loaders.was_closed(loader);
}

#endif
