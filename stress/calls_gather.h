/* Calls of the functions of readers that copy or export rows of any order. */
#ifndef CALLS_GATHER_H
#define CALLS_GATHER_H

#include "../c_tests/dlpack.h"
#include "calls_readers.h"

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
    In<rds_select_options> options(RDS_SELECT_OPTIONS_INIT);
    any_select_options(options, reader);
    rds_status status = CALL(rds_reader_take, reader, rows, count, options.pointer(), schema.place, array.place);
    if (schema.holds(status)) release_later(schema.value);
    if (array.holds(status)) release_later(array.value);
}

/* Reads into memory that is often as long as it must be. */
static void read_into(const rds_reader *reader, uint32_t column, uint64_t count,
                      std::function<rds_status(void *, size_t)> call) {
    bool known = count < 1000;
    size_t size = known ? (size_t)(count * row_bytes(reader, column)) : below(2000);
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
    uint32_t column = any_column(reader);
    read_into(reader, column, count, [&](void *data, size_t size) {
        return CALL(rds_reader_read, reader, column, rows, count, data, size);
    });
}

static void call_rds_reader_read_range() {
    rds_reader *reader = any_reader();
    uint64_t first = any_row(), count = any_count();
    uint32_t column = any_column(reader);
    read_into(reader, column, count, [&](void *data, size_t size) {
        return CALL(rds_reader_read_range, reader, column, first, count, data, size);
    });
}

/* A list, or a first row with a step. */
static void any_rows_to_gather(In<rds_rows> &in) {
    rds_rows &rows = in.value();
    if (once_in(2)) {
        size_t count;
        rows.rows = any_rows(&count);
        rows.count = count;
        if (!rows.rows && count) {
            /* Then they are first_row, first_row + 1 and so on. */
            self->wrong = count > 100000;
        }
        if (rows.rows && once_in(12)) rows.first_row = 1 + below(9), WRONG(" rows and first_row");
        if (rows.rows && once_in(12)) rows.step = odd_number() | 1, WRONG(" rows and step");
    } else {
        bool before = self->wrong;
        rows.first_row = any_row();
        rows.count = any_count();
        /* None are in every table. */
        if (rows.count == 0) self->wrong = before;
        rows.step = once_in(4) ? odd_number() : (int64_t)below(7) - 3;
        note(" first_row=%llx count=%llx step=%lld", (unsigned long long)rows.first_row,
             (unsigned long long)rows.count, (long long)rows.step);
    }
    in.spoil(false);
}

/* Into records or arrays, whose bytes that are nobody's must stay. */
static void call_rds_reader_gather() {
    In<rds_rows> rows(RDS_ROWS_INIT);
    Array<rds_target> targets;
    rds_reader *reader = any_reader();
    any_rows_to_gather(rows);
    size_t known = rows.value().count < 1000 ? (size_t)rows.value().count : below(30), all = below(4);
    size_t record = 0, sizes[4] = {0};
    uint32_t columns[4];
    for (size_t i = 0; i < all; i++) {
        columns[i] = any_column(reader);
        sizes[i] = (size_t)row_bytes(reader, columns[i]) + below(2) * below(9);
        record += sizes[i];
    }
    Buffer memory(record * known + 16);
    bool records = once_in(2);
    unsigned char *at = static_cast<unsigned char *>(memory.data()), *end = at + record * known;
    for (size_t i = 0; i < all; i++) {
        rds_target target = RDS_TARGET_INIT;
        target.column = columns[i];
        target.data = at;
        target.stride = records ? record : sizes[i];
        target.bytes = records ? (size_t)(end - at) : sizes[i] * known;
        at += records ? sizes[i] : sizes[i] * known;
        if (once_in(24) && target.bytes) target.bytes -= 1 + below(target.bytes < 9 ? target.bytes : 9);
        if (once_in(24)) target.flags = 1u << below(32), WRONG(" flags=%x", target.flags);
        if (once_in(24)) target.stride = one_of<size_t>({1, SIZE_MAX, SIZE_MAX / 2 + 1});
        if (once_in(24)) target.data = nullptr;
        note(" [%zu bytes at %zu, %zx apart]", target.bytes, i, target.stride);
        targets.add(target);
    }
    targets.spread();
    rds_status status = CALL(rds_reader_gather, reader, rows.pointer(), targets.pointer(), targets.count);
    if (!memory.untouched_from(record * known)) report("memory behind targets changed");
    if (status == RDS_ERR_OUT_OF_RANGE && !memory.untouched_from(0)) report("memory changed for rows out of range");
}

static void call_rds_reader_dlpack() {
    Value<DLManagedTensorVersioned *> out;
    rds_reader *reader = any_reader();
    uint64_t first = any_row(), count = any_count();
    uint32_t column = any_column(reader);
    rds_status status = CALL(rds_reader_dlpack, reader, column, first, count, out.place);
    out.check(status);
    if (status == RDS_OK) use([tensor = out.value] { tensor->deleter(tensor); });
}

#endif
