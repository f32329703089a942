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
    options.flags = (uint32_t)below(8);
    options.room_ms = once_in(3) ? one_of<uint64_t>({1, 20, UINT64_MAX, 1ull << 62}) : 0;
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
        options.flags = 8u << below(29);
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

/* What a run says; once in some times what none may. */
static void any_metadata(rds_writer_options &options) {
    size_t count = below(4);
    rds_metadata *said = room<rds_metadata>(count + 1);
    const char *const keys[] = {"model", "config", "note"};
    for (size_t i = 0; i < count; i++) said[i] = {keys[i], one_of<const char *>({"", "cnn-7", "Öl\n\"{}"})};
    options.metadata = said, options.metadata_count = count;
    note(" %zu metadata", count);
    if (count && options.mode == RDS_MODE_STAGED) WRONG(" of a staging writer");
    if (!count || !once_in(6)) return;
    rds_metadata &one = said[below(count)];
    switch (below(6)) {
    case 0:
        one.key = one_of<const char *>({nullptr, "", "\xff"});
        WRONG(" a key is NULL, empty or not UTF-8");
        break;
    case 1:
        one.value = one_of<const char *>({nullptr, "\xc0\x80"});
        WRONG(" a value is NULL or not UTF-8");
        break;
    case 2:
        said[count] = said[0], options.metadata_count = count + 1;
        WRONG(" a key twice");
        break;
    case 3:
        options.metadata_count = (size_t)huge();
        WRONG(" count=%zx", options.metadata_count);
        break;
    default:
        options.metadata = nullptr;
        WRONG(" metadata=NULL");
        break;
    }
}

/* The columns of a table, of this kind or another one; once in some times such as no table has. */
static void any_specs(Array<rds_column_spec> &specs, const Kind &kind) {
    for (const Column &column : kind.columns) {
        rds_column_spec spec = RDS_COLUMN_SPEC_INIT;
        int64_t *shape = room<int64_t>(column.dims.size());
        std::copy(column.dims.begin(), column.dims.end(), shape);
        spec.name = strcmp(column.name, "data") == 0 && once_in(2) ? nullptr : column.name;
        spec.dtype = column.dtype, spec.ndim = (uint32_t)column.dims.size(), spec.shape = shape;
        specs.add(spec);
    }
    rds_column_spec &spec = specs.elements[below(specs.elements.size())];
    switch (below(24)) {
    case 0:
        spec.dtype = one_of<uint32_t>({0, 24, UINT32_MAX});
        WRONG(" dtype=%u", spec.dtype);
        break;
    case 1:
        spec.ndim = one_of<uint32_t>({RDS_MAX_NDIM + 1, 1 << 20, UINT32_MAX});
        WRONG(" ndim=%u", spec.ndim);
        break;
    case 2:
        spec.ndim = 1, spec.shape = nullptr;
        WRONG(" shape=NULL");
        break;
    case 3: {
        int64_t *shape = room<int64_t>(1);
        shape[0] = one_of<int64_t>({0, -1, INT64_MIN, INT64_MAX});
        spec.ndim = 1, spec.shape = shape;
        WRONG(" shape[0]=%lld", (long long)shape[0]);
        break;
    }
    case 4:
        spec.name = one_of<const char *>({"", "a.b", "`", "_rowid", "object_id", "\xff"});
        WRONG(" name=\"%s\"", spec.name);
        break;
    case 5:
        specs.add(rds_column_spec(specs.elements[0]));
        WRONG(" one twice");
        break;
    default:
        break;
    }
    note(" %zu columns", specs.elements.size());
    specs.spread();
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
    if (once_in(3)) any_metadata(options.value());
    Array<rds_column_spec> specs;
    if (once_in(3)) {
        any_specs(specs, kinds[once_in(4) ? below(kinds.size()) : (size_t)kind]);
        options.value().columns = specs.pointer(), options.value().column_count = specs.count;
    }
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

static void call_rds_writer_abort() {
    int kind;
    rds_writer *writer = any_writer(&kind, once_in(24) ? 16 : 1);
    if (CALL(rds_writer_abort, writer) != RDS_ERR_INVALID_HANDLE) writers.was_closed(writer);
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
    rds_token token = {reinterpret_cast<const uint8_t *>(&kind), 7};
    rds_writer *writer = any_writer(&kind, once_in(4) ? 16 : 1);
    rds_token *place = once_in(24) ? nullptr : &token;
    if (!place) WRONG(" out=NULL");
    rds_status status = CALL(rds_writer_stage, writer, place);
    if (place && status != RDS_OK && (token.data || token.length)) report("an output is set after a failure");
    if (place && status == RDS_OK && (!token.data || !token.length)) report("a token of nothing");
}

static void call_rds_write_tensors() {
    int kind;
    rds_writer *writer = any_writer(&kind, once_in(3) ? 1 : 24);
    uint64_t rows = once_in(12) ? 0 : 1 + below(12);
    In<rds_ids> ids(RDS_IDS_INIT);
    Array<rds_tensor> tensors;
    any_ids(ids, rows);
    any_tensors(tensors, kinds[(size_t)kind], rows);
    CALL(rds_write_tensors, writer, ids.pointer(), tensors.pointer(), tensors.count);
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
