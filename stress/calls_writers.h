/* Calls of the functions of writers. */
#ifndef CALLS_WRITERS_H
#define CALLS_WRITERS_H

#include "calls_rows.h"

static void close_writer(void *handle) {
    begin("rds_writer_close");
    rds_status status = CALL(rds_writer_close, static_cast<rds_writer *>(handle));
    if (status != RDS_ERR_INVALID_HANDLE) writers.was_closed(handle);
}

static void any_writer_options(In<rds_writer_options> &in) {
    rds_writer_options &options = in.value();
    options.mode = one_of<uint32_t>({0, 1, 1, 1, 2, 3});
    options.durability = (uint32_t)below(3);
    options.checkpoint_ms = once_in(3) ? one_of<uint64_t>({1, 50, UINT64_MAX, 1ull << 63}) : 0;
    options.max_queued_bytes = once_in(3) ? one_of<uint64_t>({1, 1000, INT64_MAX}) : 0;
    options.visible_ms = once_in(3) ? one_of<uint64_t>({1, 200, UINT64_MAX, 1ull << 62}) : 0;
    options.flags = (uint32_t)below(4);
    if (once_in(2)) options.waiting = waits;
    if (options.mode == RDS_MODE_STAGED && once_in(2)) {
        options.job = one_of<const char *>({"job", "", "other job", "\n"});
        options.part = once_in(4) ? next_random() : below(3);
    }
    note(" mode=%u durability=%u checkpoint_ms=%llx max_queued_bytes=%llx visible_ms=%llx flags=%x waiting=%d job=%s",
         options.mode, options.durability, (unsigned long long)options.checkpoint_ms,
         (unsigned long long)options.max_queued_bytes, (unsigned long long)options.visible_ms, options.flags,
         options.waiting != nullptr, options.job ? options.job : "NULL");
    switch (below(24)) {
    case 0:
        options.mode = one_of<uint32_t>({4, UINT32_MAX});
        WRONG(" mode=%u", options.mode);
        break;
    case 1:
        options.durability = one_of<uint32_t>({3, UINT32_MAX});
        WRONG(" durability=%u", options.durability);
        break;
    case 2:
        options.flags = 4u << below(30);
        WRONG(" flags=%x", options.flags);
        break;
    case 3:
        options.reserved = 1;
        WRONG(" reserved=1");
        break;
    case 4:
        options.job = "\xff";
        WRONG(" job is not UTF-8");
        break;
    case 5:
        options.job = nullptr;
        options.part = 1;
        WRONG(" part without a job");
        break;
    case 6:
        options.max_queued_bytes = UINT64_MAX;
        WRONG(" max_queued_bytes=%llx", (unsigned long long)UINT64_MAX);
        break;
    default:
        break;
    }
}

static void call_rds_writer_open() {
    int kind;
    In<rds_writer_options> options(RDS_WRITER_OPTIONS_INIT);
    Value<rds_writer *> out;
    bool out_wrong = self->wrong;
    const char *path = any_path(&kind, 4);
    /* A file in the way is found when there is something to write. */
    if (path && strstr(path, "/plain")) self->wrong = out_wrong;
    if (path && strlen(path) == 6000) self->wrong = out_wrong;
    bool before = self->wrong;
    any_writer_options(options);
    options.spoil(true);
    if (!options.given) self->wrong = before;
    rds_status status = CALL(rds_writer_open, path, options.pointer(), out.place);
    out.check(status);
    if (status != RDS_OK) return;
    void *old = share(writers, opened_writers, out.value, kind, (int)below(SLOTS));
    if (old) close_writer(old);
}

static void call_rds_writer_close() {
    int kind;
    rds_writer *writer = any_writer(&kind, once_in(12) ? 16 : 1);
    if (CALL(rds_writer_close, writer) != RDS_ERR_INVALID_HANDLE) writers.was_closed(writer);
}

static void call_rds_abort() {
    int kind;
    rds_writer *writer = any_writer(&kind, once_in(24) ? 16 : 1);
    if (CALL(rds_abort, writer) != RDS_ERR_INVALID_HANDLE) writers.was_closed(writer);
}

static void call_rds_flush() {
    int kind;
    CALL(rds_flush, any_writer(&kind, once_in(8) ? 16 : 1));
}

static void call_rds_commit() {
    int kind;
    In<rds_commit_options> options(RDS_COMMIT_OPTIONS_INIT);
    Out<rds_commit_info> info(RDS_COMMIT_INFO_INIT, true);
    uint64_t stop = next_random();
    rds_writer *writer = any_writer(&kind, once_in(8) ? 16 : 1);
    bool before = self->wrong;
    if (once_in(2)) options.value().progress = stops, options.value().user_data = &stop;
    options.value().flags = (uint32_t)below(2);
    if (once_in(6)) options.value().flags = 2u << below(31), WRONG(" flags=%x", options.value().flags);
    if (once_in(6)) options.value().reserved = 1, WRONG(" reserved=1");
    options.spoil(true);
    if (!options.given) self->wrong = before;
    info.check(CALL(rds_commit, writer, options.pointer(), info.pointer()));
}

static void call_rds_writer_stats() {
    int kind;
    Out<rds_write_stats> stats(RDS_WRITE_STATS_INIT, false);
    rds_writer *writer = any_writer(&kind);
    stats.check(CALL(rds_writer_stats, writer, stats.pointer()));
}

static void call_rds_writer_stage() {
    int kind;
    Value<const uint8_t *> token;
    Value<size_t> length;
    rds_writer *writer = any_writer(&kind, once_in(4) ? 16 : 1);
    rds_status status = CALL(rds_writer_stage, writer, token.place, length.place);
    token.check(status);
    length.check(status);
}

static void call_rds_write_tensors() {
    int kind;
    rds_writer *writer = any_writer(&kind, once_in(3) ? 1 : 24);
    uint64_t rows = once_in(12) ? 0 : 1 + below(12);
    In<rds_ids> ids(RDS_IDS_INIT);
    In<rds_tensor> tensor(RDS_TENSOR_INIT);
    any_ids(ids, rows);
    any_tensor(tensor, kinds[(size_t)kind], once_in(16) ? rows + 1 : rows);
    CALL(rds_write_tensors, writer, ids.pointer(), tensor.pointer());
}

static void keep_tree(std::unique_ptr<Tree> tree) {
    tree->what = self->note;
    std::lock_guard<std::mutex> lock(sharing);
    trees.push_back(std::move(tree));
}

static void call_rds_write_batch() {
    int kind;
    rds_writer *writer = any_writer(&kind, once_in(3) ? 1 : 24);
    auto tree = any_tree(kinds[(size_t)kind]);
    ArrowArray *array = &tree->root().array, *given = once_in(40) ? nullptr : array;
    ArrowSchema *schema = &tree->root().schema, *lent = once_in(40) ? nullptr : schema;
    if (!given) WRONG(" array=NULL");
    if (!lent) WRONG(" schema=NULL");
    tree->moved = given && array->release;
    bool held = array->release;
    if (!held) self->wrong = true;
    CALL(rds_write_batch, writer, lent, given);
    if (given && array->release) report("the array is not marked released");
    if (!given && held != (array->release != nullptr)) report("an array is released that was not given");
    if (tree->root().schema_released) report("the schema is released");
    keep_tree(std::move(tree));
}

static void call_rds_write_stream() {
    int kind;
    rds_writer *writer = any_writer(&kind, once_in(3) ? 1 : 24);
    bool before = self->wrong;
    auto producer = any_stream(kinds[(size_t)kind]);
    bool stream_wrong = self->wrong;
    In<rds_write_stream_options> options(RDS_WRITE_STREAM_OPTIONS_INIT);
    Value<uint64_t> rows(true);
    uint64_t stop = next_random();
    if (once_in(2)) options.value().progress = stops, options.value().user_data = &stop;
    options.spoil(true);
    if (!options.given) self->wrong = before || stream_wrong;
    ArrowArrayStream *given = once_in(40) ? nullptr : &producer->stream;
    if (!given) WRONG(" stream=NULL");
    producer->moved = given && producer->stream.release;
    rds_status status = CALL(rds_write_stream, writer, given, options.pointer(), rows.place);
    rows.check(status);
    if (given && producer->stream.release) report("the stream is not marked released");
    producer->what = self->note;
    std::lock_guard<std::mutex> lock(sharing);
    producers.push_back(std::move(producer));
}

#endif
