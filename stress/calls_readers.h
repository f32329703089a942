/* Calls of the functions of readers. */
#ifndef CALLS_READERS_H
#define CALLS_READERS_H

#include "../c_tests/dlpack.h"
#include "calls_rows.h"

static void close_reader(void *handle) {
    begin("rds_reader_close");
    if (CALL(rds_reader_close, static_cast<rds_reader *>(handle)) == RDS_OK) readers.was_closed(handle);
}

static void call_rds_reader_open() {
    int kind;
    In<rds_reader_options> options(RDS_READER_OPTIONS_INIT);
    Value<rds_reader *> out;
    const char *path = any_path(&kind, 3);
    bool path_wrong = self->wrong;
    options.value().access = (uint32_t)below(3);
    options.value().version = once_in(4) ? one_of<uint64_t>({1, 2, 3, 1ull << 62, 1ull << 63, UINT64_MAX}) : 0;
    options.value().flags = (uint32_t)below(2);
    note(" access=%u version=%llx", options.value().access, (unsigned long long)options.value().version);
    if (once_in(4)) options.value().access = one_of({3u, UINT32_MAX}), WRONG(" access=%u", options.value().access);
    if (once_in(8)) options.value().flags = 2u << below(31), WRONG(" flags=%x", options.value().flags);
    options.spoil(true);
    if (!options.given) self->wrong = path_wrong;
    rds_status status = CALL(rds_reader_open, path, options.pointer(), out.place);
    out.check(status);
    if (status != RDS_OK) return;
    void *old = share(readers, opened_readers, out.value, kind, (int)below(SLOTS));
    if (old) close_reader(old);
}

static void call_rds_reader_close() {
    rds_reader *reader = any_reader(once_in(4) ? 16 : 1);
    if (CALL(rds_reader_close, reader) == RDS_OK) readers.was_closed(reader);
}

static void call_rds_reader_refresh() {
    Value<uint32_t> out(true);
    out.check(CALL(rds_reader_refresh, any_reader(), out.place));
}

static void call_rds_reader_info() {
    Out<rds_table_info> info(RDS_TABLE_INFO_INIT, false);
    rds_reader *reader = any_reader();
    info.check(CALL(rds_reader_info, reader, info.pointer()));
}

/* Bytes of a row; the handle is of one kind as long as it is open. */
static uint64_t row_bytes(const rds_reader *reader) {
    rds_table_info info = RDS_TABLE_INFO_INIT;
    return rds_reader_info(reader, &info) == RDS_OK ? info.row_bytes : 16;
}

static uint64_t any_row() {
    if (!once_in(8)) return below(40);
    uint64_t row = once_in(3) ? 1000 + below(100000) : huge();
    if (row >> 40) WRONG(" row=%llx", (unsigned long long)row);
    return row;
}

static uint64_t any_count() {
    if (!once_in(12)) return below(24);
    uint64_t count = huge();
    WRONG(" count=%llx", (unsigned long long)count);
    return count;
}

static void call_rds_reader_schema() {
    Moved<ArrowSchema> out;
    if (out.holds(CALL(rds_reader_schema, any_reader(), out.place))) release_later(out.value);
}

static void use_stream(ArrowArrayStream stream) {
    ArrowSchema schema{};
    ArrowArray array{};
    int code = stream.get_schema(&stream, &schema);
    if (code == 0) schema.release(&schema);
    for (uint64_t i = below(6); i > 0; i--) {
        code = stream.get_next(&stream, &array);
        if (code) {
            rds_status status = rds_last_error_status();
            if (status == RDS_ERR_PANIC || status == RDS_ERR_INTERNAL) report(rds_status_name((uint32_t)status));
            if (!stream.get_last_error(&stream)) report("get_last_error gives NULL");
            continue;
        }
        if (!array.release) break;
        release_later(array);
    }
    stream.release(&stream);
}

static void call_rds_reader_stream() {
    In<rds_stream_options> options(RDS_STREAM_OPTIONS_INIT);
    Moved<ArrowArrayStream> out;
    rds_stream_options &value = options.value();
    rds_reader *reader = any_reader();
    bool before = self->wrong;
    value.columns = (uint32_t)below(4);
    value.flags = (uint32_t)below(4);
    value.batch_rows = once_in(8) ? huge() : below(20);
    if (value.flags & RDS_STREAM_ROWS) {
        uint64_t count = below(20), *rows = room<uint64_t>(count);
        for (uint64_t i = 0; i < count; i++) rows[i] = below(40);
        value.row_count = count;
        value.rows = rows;
        if (count && once_in(8)) rows[below(count)] = huge(), WRONG(" a huge row");
        if (once_in(8)) value.row_count = huge(), value.rows = nullptr, WRONG(" rows=NULL");
        if (once_in(8)) value.first_row = 1, WRONG(" rows and first_row");
    } else {
        value.first_row = any_row();
        value.row_count = any_count();
        if (once_in(16)) value.rows = room<uint64_t>(40), WRONG(" rows without the flag");
    }
    if (once_in(12)) value.columns = 4u << below(30), WRONG(" columns=%x", value.columns);
    if (once_in(12)) value.flags |= 4u << below(30), WRONG(" flags=%x", value.flags);
    note(" columns=%u flags=%x batch_rows=%llx", value.columns, value.flags, (unsigned long long)value.batch_rows);
    options.spoil(true);
    if (!options.given) self->wrong = before || !out.place;
    if (!out.holds(CALL(rds_reader_stream, reader, options.pointer(), out.place))) return;
    use([stream = out.value] { use_stream(stream); });
}

static void call_rds_reader_id() {
    Value<const char *> id;
    Value<size_t> length;
    rds_reader *reader = any_reader();
    rds_status status = CALL(rds_reader_id, reader, any_row(), id.place, length.place);
    id.check(status);
    length.check(status);
}

static void call_rds_reader_ids() {
    Moved<ArrowSchema> schema(true);
    Moved<ArrowArray> array;
    rds_reader *reader = any_reader();
    uint64_t first = any_row(), count = any_count();
    note(" first_row=%llx row_count=%llx", (unsigned long long)first, (unsigned long long)count);
    rds_status status = CALL(rds_reader_ids, reader, first, count, schema.place, array.place);
    if (schema.holds(status)) release_later(schema.value);
    if (!array.holds(status)) return;
    if ((uint64_t)array.value.length != count) report("another number of ids");
    release_later(array.value);
}

static void call_rds_reader_find() {
    In<rds_ids> ids(RDS_IDS_INIT);
    rds_reader *reader = any_reader();
    uint64_t count = below(20);
    any_ids(ids, count);
    Buffer rows(count * 8), counts(count * 8);
    uint64_t *out = static_cast<uint64_t *>(rows.data());
    /* NULL is enough for no ids. */
    if (once_in(24)) {
        out = nullptr;
        if (count) WRONG(" out_rows=NULL");
    }
    uint64_t *out_counts = once_in(2) ? nullptr : static_cast<uint64_t *>(counts.data());
    rds_status status = CALL(rds_reader_find, reader, ids.pointer(), out, out_counts);
    if (!rows.untouched_from(status == RDS_OK ? rows.size : 0)) report("memory of out_rows changed");
    if (!counts.untouched_from(status == RDS_OK ? counts.size : 0)) report("memory of out_counts changed");
}

static void call_rds_reader_span() {
    Out<rds_span> span(RDS_SPAN_INIT, false);
    rds_reader *reader = any_reader();
    span.check(CALL(rds_reader_span, reader, any_row(), span.pointer()));
}

static void call_rds_reader_get() {
    Moved<ArrowArray> out;
    rds_reader *reader = any_reader();
    if (out.holds(CALL(rds_reader_get, reader, any_row(), out.place))) release_later(out.value);
}

/* Rows to gather; *count is what the call is told. */
static uint64_t *any_rows(size_t *count) {
    *count = below(24);
    uint64_t *rows = room<uint64_t>(*count);
    for (size_t i = 0; i < *count; i++) rows[i] = below(40);
    if (*count && once_in(8)) rows[below(*count)] = huge(), WRONG(" a huge row");
    if (!once_in(12)) return rows;
    *count = once_in(2) ? (size_t)huge() : *count;
    if (*count) WRONG(" rows=NULL count=%zx", *count);
    return nullptr;
}

static void call_rds_reader_take() {
    Moved<ArrowSchema> schema(true);
    Moved<ArrowArray> array;
    rds_reader *reader = any_reader();
    size_t count;
    uint64_t *rows = any_rows(&count);
    uint32_t columns = (uint32_t)below(4);
    if (once_in(12)) columns = 4u << below(30), WRONG(" columns=%x", columns);
    rds_status status = CALL(rds_reader_take, reader, rows, count, columns, schema.place, array.place);
    if (schema.holds(status)) release_later(schema.value);
    if (array.holds(status)) release_later(array.value);
}

/* Reads into memory that is often as long as it must be. */
static void read_into(const rds_reader *reader, uint64_t count, std::function<rds_status(void *, size_t)> call) {
    bool known = count < 1000;
    size_t size = known ? (size_t)(count * row_bytes(reader)) : below(2000);
    if (once_in(8)) size += below(50);
    if (size && once_in(8)) {
        size -= 1 + below(size < 9 ? size : 9);
        /* What is asked for before may be smaller meanwhile only if the reader is another. */
        note(" out_bytes=%zu, too few", size);
    }
    Buffer data(size + 8);
    size_t skew = once_in(8) ? below(8) : 0;
    void *out = static_cast<unsigned char *>(data.data()) + skew;
    if (once_in(16)) {
        out = nullptr;
        if (count) WRONG(" out_data=NULL");
    }
    note(" out_bytes=%zu", size);
    call(out, size);
    if (!data.untouched_from(out ? size + skew : 0)) report("memory behind out_data changed");
}

static void call_rds_reader_read() {
    rds_reader *reader = any_reader();
    size_t count;
    uint64_t *rows = any_rows(&count);
    read_into(reader, count, [&](void *data, size_t size) {
        return CALL(rds_reader_read, reader, rows, count, data, size);
    });
}

static void call_rds_reader_read_range() {
    rds_reader *reader = any_reader();
    uint64_t first = any_row(), count = any_count();
    read_into(reader, count, [&](void *data, size_t size) {
        return CALL(rds_reader_read_range, reader, first, count, data, size);
    });
}

static void call_rds_reader_dlpack() {
    Value<DLManagedTensorVersioned *> out;
    rds_reader *reader = any_reader();
    uint64_t first = any_row(), count = any_count();
    rds_status status = CALL(rds_reader_dlpack, reader, first, count, out.place);
    out.check(status);
    if (status == RDS_OK) use([tensor = out.value] { tensor->deleter(tensor); });
}

#endif
