/* Small tables for tests. Row r of a float table of width w holds r * 1000 + 0 .. w - 1, its id is
 * "id-<r>". A failure counts in the running test; what comes back is then a handle that every later
 * call refuses. */
#ifndef TABLE_H
#define TABLE_H

#include "check.h"

#define TABLE_WIDTH 4
#define TABLE_MAX_BATCH 2048

static inline float table_value(uint64_t row, int column) {
    return (float)(row * 1000 + (uint64_t)column);
}

static inline rds_writer *table_writer(const char *path, uint32_t mode, uint32_t durability) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = mode;
    options.durability = durability;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    return writer;
}

static inline rds_reader *table_reader(const char *path) {
    rds_reader *reader = NULL;
    CHECK_OK(rds_reader_open(path, NULL, &reader));
    return reader;
}

/* What an export has of a row, or-ed. */
enum { IDS = 1, DATA = 2 };

/* A selection of these; of none it is the default. */
static inline rds_select_options select_of(uint32_t parts) {
    static const uint32_t data = 0;
    rds_select_options options = RDS_SELECT_OPTIONS_INIT;
    if (parts == IDS) options.flags = RDS_SELECT_NO_TENSORS;
    if (parts == DATA) options.flags = RDS_SELECT_NO_IDS;
    if (parts & DATA) options.columns = &data, options.column_count = 1;
    return options;
}

/* The same as options of a stream. */
static inline rds_stream_options stream_select(uint32_t parts) {
    const rds_select_options chosen = select_of(parts);
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    options.columns = chosen.columns;
    options.column_count = chosen.column_count;
    options.flags = chosen.flags;
    return options;
}

static inline rds_ids ids_of(uint32_t kind, uint64_t count, const void *data) {
    rds_ids ids = RDS_IDS_INIT;
    ids.kind = kind;
    ids.count = count;
    ids.data = data;
    return ids;
}

static inline rds_tensor tensor_of(uint32_t dtype, uint32_t ndim, const int64_t *shape,
                                   const void *data) {
    rds_tensor tensor = RDS_TENSOR_INIT;
    tensor.dtype = dtype;
    tensor.ndim = ndim;
    tensor.shape = shape;
    tensor.data = data;
    return tensor;
}

/* Rows first .. first + count - 1; count is at most TABLE_MAX_BATCH. */
static inline rds_status table_write(rds_writer *writer, uint64_t first, uint64_t count) {
    char(*names)[24] = (char(*)[24])calloc(TABLE_MAX_BATCH, sizeof *names);
    float(*values)[TABLE_WIDTH] = (float(*)[TABLE_WIDTH])calloc(TABLE_MAX_BATCH, sizeof *values);
    int64_t shape[2] = {(int64_t)count, TABLE_WIDTH};
    for (uint64_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "id-%llu", (unsigned long long)(first + i));
        for (int c = 0; c < TABLE_WIDTH; c++) values[i][c] = table_value(first + i, c);
    }
    rds_ids ids = ids_of(RDS_IDS_NUMPY_S, count, names);
    ids.item_bytes = sizeof names[0];
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
    rds_status status = rds_write_tensors(writer, &ids, &tensor, 1);
    free(names);
    free(values);
    return status;
}

/* A new table with `count` rows, replacing what is at `path`. */
static inline void table_make(const char *path, uint64_t count) {
    rds_writer *writer = table_writer(path, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    for (uint64_t first = 0; first < count; first += TABLE_MAX_BATCH) {
        uint64_t left = count - first;
        CHECK_OK(table_write(writer, first, left < TABLE_MAX_BATCH ? left : TABLE_MAX_BATCH));
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

/* Adds rows first .. first + count - 1 to the table at `path`, as a data file of their own. */
static inline void table_append(const char *path, uint64_t first, uint64_t count) {
    rds_writer *writer = table_writer(path, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, first, count));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

/* Whether `row` of the reader is what table_write() wrote as row `written`. */
static inline int table_row_is(const rds_reader *reader, uint64_t row, uint64_t written) {
    float values[TABLE_WIDTH];
    char name[24];
    const char *id = NULL;
    size_t length = 0;
    if (rds_reader_read(reader, 0, &row, 1, values, sizeof values) != RDS_OK) return 0;
    if (rds_reader_id(reader, row, &id, &length) != RDS_OK) return 0;
    snprintf(name, sizeof name, "id-%llu", (unsigned long long)written);
    if (length != strlen(name) || memcmp(id, name, length) != 0) return 0;
    for (int c = 0; c < TABLE_WIDTH; c++) {
        if (values[c] != table_value(written, c)) return 0;
    }
    return 1;
}

static inline rds_table_info table_info(const rds_reader *reader) {
    rds_table_info info = RDS_TABLE_INFO_INIT;
    CHECK_OK(rds_reader_info(reader, &info));
    return info;
}

static inline rds_column_info column_info(const rds_reader *reader, uint32_t column) {
    rds_column_info info = RDS_COLUMN_INFO_INIT;
    CHECK_OK(rds_reader_column_info(reader, column, &info));
    return info;
}

/* The reader has `count` rows, which table_write() wrote as rows first .. first + count - 1. */
static inline void table_check(const rds_reader *reader, uint64_t first, uint64_t count) {
    long long wrong = 0, first_wrong = -1;
    CHECK_NUMBER(table_info(reader).rows, count);
    for (uint64_t row = 0; row < count; row++) {
        if (table_row_is(reader, row, first + row)) continue;
        if (!wrong++) first_wrong = (long long)row;
    }
    CHECK_NUMBER(wrong, 0);
    if (wrong) fprintf(stderr, "    from row %lld on\n", first_wrong);
}

/* The table has rows 0 .. count - 1, all of them in mapped files. */
static inline void table_check_all(const char *path, uint64_t count) {
    rds_reader *reader = table_reader(path);
    table_check(reader, 0, count);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, count);
    CHECK_OK(rds_reader_close(reader));
}

/* Rows that a reader opened now sees; -1 if there is no table. */
static inline long long table_rows(const char *path) {
    rds_reader *reader = NULL;
    rds_status status = rds_reader_open(path, NULL, &reader);
    if (status == RDS_ERR_NOT_FOUND) return -1;
    CHECK_STATUS(status, RDS_OK);
    long long rows = (long long)table_info(reader).rows;
    CHECK_OK(rds_reader_close(reader));
    return rows;
}

static inline rds_reader *table_reader_with(const char *path, uint32_t access) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    CHECK_OK(rds_reader_open(path, &options, &reader));
    return reader;
}

#endif
