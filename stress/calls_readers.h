/* Calls of the functions of readers. */
#ifndef CALLS_READERS_H
#define CALLS_READERS_H

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
    options.value().flags = (uint32_t)below(4);
    if (once_in(2)) options.value().waiting = waits;
    if (once_in(6)) {
        options.value().committed_until = one_of<int64_t>({1, -1, INT64_MIN, INT64_MAX, 4000000000000000000});
        if (options.value().version) WRONG(" a version and a time");
    }
    note(" access=%u version=%llx committed_until=%lld waiting=%d", options.value().access,
         (unsigned long long)options.value().version, (long long)options.value().committed_until,
         options.value().waiting != nullptr);
    if (once_in(4)) {
        options.value().id_column = one_of<const char *>({"object_id", "data", "", "nowhere", "name", "key", "label"});
        if (once_in(8)) options.value().id_column = "\xff", WRONG(" not UTF-8");
        note(" id_column=%s", options.value().id_column);
    }
    if (once_in(4)) options.value().access = one_of({3u, UINT32_MAX}), WRONG(" access=%u", options.value().access);
    if (once_in(8)) options.value().flags = 4u << below(30), WRONG(" flags=%x", options.value().flags);
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

static void call_rds_reader_clone() {
    Value<rds_reader *> out;
    rds_status status = CALL(rds_reader_clone, any_reader(), out.place);
    out.check(status);
    if (status != RDS_OK) return;
    void *old = share(readers, opened_readers, out.value, 0, (int)below(SLOTS));
    if (old) close_reader(old);
}

static void call_rds_reader_metadata() {
    rds_string text = {"", 7}, *place = &text;
    rds_reader *reader = any_reader();
    const char *key = one_of<const char *>({"model", "config", "note", "nothing", "data", ""});
    note(" key=%s", key);
    if (once_in(12)) key = nullptr, WRONG(" key=NULL");
    if (key && once_in(12)) key = "\xff\xfe", WRONG(" not UTF-8");
    if (once_in(24)) place = nullptr, WRONG(" out=NULL");
    rds_status status = CALL(rds_reader_metadata, reader, key, place);
    if (place && status != RDS_OK && (text.data || text.length)) report("an output is set after a failure");
}

static void call_rds_reader_metadata_at() {
    rds_string key = {"", 7}, value = {"", 7}, *key_place = &key, *value_place = &value;
    rds_reader *reader = any_reader();
    uint64_t index = once_in(8) ? huge() : below(4);
    note(" index=%llx", (unsigned long long)index);
    if (index >> 40) WRONG(" huge");
    if (once_in(24)) key_place = nullptr, WRONG(" out_key=NULL");
    if (once_in(24)) value_place = nullptr, WRONG(" out_value=NULL");
    rds_status status = CALL(rds_reader_metadata_at, reader, index, key_place, value_place);
    if (status == RDS_OK) return;
    if (key_place && (key.data || key.length)) report("an output is set after a failure");
    if (value_place && (value.data || value.length)) report("an output is set after a failure");
}

static void call_rds_reader_versions() {
    Value<uint64_t> count;
    Array<rds_version_info> versions;
    rds_reader *reader = any_reader();
    versions.is_output = true;
    for (uint64_t i = below(6); i > 0; i--) versions.add(RDS_VERSION_INFO_INIT);
    versions.spread();
    bool none = versions.elements.empty();
    rds_version_info *place = none && once_in(2) ? nullptr : const_cast<rds_version_info *>(versions.pointer());
    count.check(CALL(rds_reader_versions, reader, place, versions.count, count.place));
}

static void call_rds_reader_column() {
    Value<uint32_t> out;
    rds_reader *reader = any_reader();
    const char *name =
        one_of<const char *>({"data", "image", "label", "mask", "tensor_shape", "nothing", "object_id", ""});
    note(" name=%s", name);
    if (once_in(12)) name = nullptr, WRONG(" name=NULL");
    if (name && once_in(12)) name = "\xff\xfe", WRONG(" not UTF-8");
    out.check(CALL(rds_reader_column, reader, name, out.place));
}

/* The number of a column, of those that the handle has at the moment. */
static uint32_t any_column(const rds_reader *reader) {
    rds_table_info info = RDS_TABLE_INFO_INIT;
    uint32_t count = rds_reader_info(reader, &info) == RDS_OK && info.column_count ? info.column_count : 1;
    uint32_t column = once_in(24) ? count : (uint32_t)below(count);
    if (once_in(24)) column = one_of<uint32_t>({1u << 20, 1u << 31, UINT32_MAX}), WRONG(" no column");
    note(" column=%u", column);
    return column;
}

static void call_rds_reader_column_info() {
    Out<rds_column_info> info(RDS_COLUMN_INFO_INIT, false);
    rds_reader *reader = any_reader();
    uint32_t column = any_column(reader);
    info.check(CALL(rds_reader_column_info, reader, column, info.pointer()));
}

/* Bytes of a row; the handle is of one kind as long as it is open. */
static uint64_t row_bytes(const rds_reader *reader, uint32_t column) {
    rds_column_info info = RDS_COLUMN_INFO_INIT;
    return rds_reader_column_info(reader, column, &info) == RDS_OK ? info.row_bytes : 16;
}

/* Which columns an export has: fields that two structs have in common. */
template <typename T> static void any_selection(T &options, const rds_reader *reader) {
    if (once_in(12)) {
        options.columns = room<uint32_t>(1);
    } else if (once_in(2)) {
        size_t count = 1 + below(3);
        uint32_t *columns = room<uint32_t>(count);
        for (size_t i = 0; i < count; i++) columns[i] = any_column(reader);
        for (size_t i = 1; i < count; i++) {
            if (columns[i] == columns[0]) WRONG(" one twice");
        }
        options.columns = columns, options.column_count = count;
    }
    if (once_in(24)) {
        options.columns = nullptr, options.column_count = once_in(2) ? 1 + below(9) : (size_t)huge();
        WRONG(" columns=NULL");
    }
    options.flags |= (uint32_t)below(8);
    if ((options.flags & 3) == 3) WRONG(" neither ids nor tensors");
    if (options.flags & RDS_SELECT_NO_IDS && options.columns && !options.column_count) WRONG(" nothing chosen");
    if (once_in(24)) options.reserved = 1u << below(32), WRONG(" reserved=%x", options.reserved);
    note(" column_count=%zx flags=%x", options.column_count, options.flags);
}

static void any_select_options(In<rds_select_options> &options, const rds_reader *reader) {
    bool before = self->wrong;
    any_selection(options.value(), reader);
    if (once_in(12)) options.value().flags |= 8u << below(29), WRONG(" flags=%x", options.value().flags);
    options.spoil(true);
    if (!options.given) self->wrong = before;
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
    In<rds_select_options> options(RDS_SELECT_OPTIONS_INIT);
    rds_reader *reader = any_reader();
    any_select_options(options, reader);
    if (out.holds(CALL(rds_reader_schema, reader, options.pointer(), out.place))) release_later(out.value);
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
    value.flags = once_in(2) ? (uint32_t)RDS_STREAM_ROWS : 0;
    any_selection(value, reader);
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
    if (once_in(12)) value.flags |= one_of({8u, 16u, 128u, 512u, 1u << 31}), WRONG(" flags=%x", value.flags);
    note(" batch_rows=%llx", (unsigned long long)value.batch_rows);
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

static void call_rds_reader_find_all() {
    Value<uint64_t> count;
    rds_reader *reader = any_reader();
    std::string id = once_in(12) ? "" : once_in(2) ? std::to_string(below(60)) : "id-" + std::to_string(below(500));
    char *bytes = room<char>(id.size() + 1);
    memcpy(bytes, id.data(), id.size());
    size_t length = id.size();
    uint64_t capacity = below(6);
    Buffer rows(capacity * 8);
    note(" id=%s capacity=%llu", bytes, (unsigned long long)capacity);
    if (length && once_in(12)) bytes[below(length)] = (char)0xff, WRONG(" not UTF-8");
    if (once_in(12)) {
        bytes = nullptr;
        if (length && once_in(4)) length = (size_t)huge();
        if (length) WRONG(" id=NULL length=%zx", length);
    }
    uint64_t *out = static_cast<uint64_t *>(rows.data());
    if (once_in(12)) {
        out = nullptr;
        if (capacity && once_in(4)) capacity = huge();
        if (capacity) WRONG(" out_rows=NULL capacity=%llx", (unsigned long long)capacity);
    }
    rds_status status = CALL(rds_reader_find_all, reader, bytes, length, out, capacity, count.place);
    count.check(status);
    if (!rows.untouched_from(status == RDS_OK ? rows.size : 0)) report("memory of out_rows changed");
}

static void call_rds_reader_span() {
    Out<rds_span> span(RDS_SPAN_INIT, false);
    rds_reader *reader = any_reader();
    uint32_t column = any_column(reader);
    span.check(CALL(rds_reader_span, reader, column, any_row(), span.pointer()));
}

static void call_rds_reader_get() {
    Moved<ArrowArray> out;
    rds_reader *reader = any_reader();
    uint32_t column = any_column(reader);
    if (out.holds(CALL(rds_reader_get, reader, column, any_row(), out.place))) release_later(out.value);
}

#endif
