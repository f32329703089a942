/* Tables of several named columns, of dtypes and shapes that differ, whose bytes follow from row and column. The id
 * of row r is "id-<r>", as in table.h. */
#ifndef COLUMNS_H
#define COLUMNS_H

#include "dtypes.h"

enum { MOST_COLUMNS = 32, MOST_ROW_BYTES = 1 << 16 };

typedef struct {
    const char *name;
    uint32_t dtype, ndim;
    int64_t shape[3];
} column_kind;

/* Of each size and layout: bool that does and does not fill its bytes, scalars, numbers of one to sixteen bytes. */
static const column_kind mixed[] = {{"image", RDS_DTYPE_FLOAT32, 2, {3, 4, 0}},
                                    {"label", RDS_DTYPE_INT64, 0, {0, 0, 0}},
                                    {"mask", RDS_DTYPE_BOOL, 1, {8, 0, 0}},
                                    {"flags", RDS_DTYPE_BOOL, 1, {3, 0, 0}},
                                    {"spectrum", RDS_DTYPE_COMPLEX64, 1, {5, 0, 0}},
                                    {"when", RDS_DTYPE_DATETIME64_MS, 0, {0, 0, 0}},
                                    {"half", RDS_DTYPE_BFLOAT16, 1, {1, 0, 0}},
                                    {"byte", RDS_DTYPE_UINT8, 3, {1, 2, 3}}};
enum { MIXED = sizeof mixed / sizeof mixed[0] };

static inline int64_t kind_elements(const column_kind *kind) {
    int64_t elements = 1;
    for (uint32_t i = 0; i < kind->ndim; i++) elements *= kind->shape[i];
    return elements;
}

static inline size_t kind_bytes(const column_kind *kind) {
    return (size_t)kind_elements(kind) * dtype_of(kind->dtype)->bytes;
}

/* The bytes of a row: the same in whatever order columns are written. */
static inline void kind_row(const column_kind *kind, uint64_t row, unsigned char *bytes) {
    uint32_t seed = (uint32_t)row * 31u + (uint32_t)strlen(kind->name) * 7u + (unsigned char)kind->name[0];
    dtype_fill(bytes, kind_bytes(kind), kind->dtype, seed);
}

/* `shape` has room for 4. The memory is the caller's to free. */
static inline rds_tensor kind_tensor(const column_kind *kind, uint64_t first, uint64_t rows, int64_t *shape) {
    size_t bytes = kind_bytes(kind);
    unsigned char *memory = (unsigned char *)malloc(bytes * rows + 1);
    shape[0] = (int64_t)rows;
    for (uint32_t i = 0; i < kind->ndim; i++) shape[i + 1] = kind->shape[i];
    for (uint64_t i = 0; i < rows; i++) kind_row(kind, first + i, memory + i * bytes);
    rds_tensor tensor = tensor_of(kind->dtype, kind->ndim + 1, shape, memory);
    tensor.name = kind->name;
    return tensor;
}

/* Rows first .. first + rows - 1 of these columns, the first of which is that of number `turn`: each has its turn. */
static inline rds_status columns_write_turned(rds_writer *writer, const column_kind *kinds, size_t count,
                                              uint64_t first, uint64_t rows, size_t turn) {
    char(*names)[24] = (char(*)[24])calloc(rows + 1, sizeof *names);
    int64_t shapes[MOST_COLUMNS][4];
    rds_tensor tensors[MOST_COLUMNS];
    for (uint64_t i = 0; i < rows; i++) {
        snprintf(names[i], sizeof names[i], "id-%llu", (unsigned long long)(first + i));
    }
    rds_ids ids = ids_of(RDS_IDS_NUMPY_S, rows, names);
    ids.item_bytes = sizeof names[0];
    for (size_t c = 0; c < count; c++) {
        tensors[c] = kind_tensor(&kinds[(c + turn) % count], first, rows, shapes[c]);
    }
    rds_status status = rds_write_tensors(writer, &ids, tensors, count);
    for (size_t c = 0; c < count; c++) free((void *)(uintptr_t)tensors[c].data);
    free(names);
    return status;
}

static inline rds_status columns_write(rds_writer *writer, const column_kind *kinds, size_t count, uint64_t first,
                                       uint64_t rows) {
    return columns_write_turned(writer, kinds, count, first, rows, 0);
}

/* Adds rows, which become one fragment; the first ones make the table. */
static inline void columns_add(const char *path, const column_kind *kinds, size_t count, uint64_t first,
                               uint64_t rows) {
    rds_writer *writer = table_writer(path, first ? RDS_MODE_APPEND : RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    CHECK_OK(columns_write(writer, kinds, count, first, rows));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

static inline uint32_t column_named(const rds_reader *reader, const char *name) {
    uint32_t column = 77;
    CHECK_OK(rds_reader_column(reader, name, &column));
    return column;
}

/* Whether the bytes are those of rows first, first + step, ... */
static inline int rows_are(const column_kind *kind, const unsigned char *bytes, uint64_t first, int64_t step,
                           uint64_t count) {
    static unsigned char expected[MOST_ROW_BYTES];
    size_t size = kind_bytes(kind);
    for (uint64_t i = 0; i < count; i++) {
        kind_row(kind, first + (uint64_t)((int64_t)i * step), expected);
        if (memcmp(bytes + i * size, expected, size) != 0) return 0;
    }
    return 1;
}

/* The reader has these columns, in this order or another, and rows 0 .. rows - 1 of them. */
static inline void columns_check(const rds_reader *reader, const column_kind *kinds, size_t count, uint64_t rows) {
    CHECK_NUMBER(table_info(reader).rows, rows);
    CHECK_NUMBER(table_info(reader).column_count, count);
    for (size_t c = 0; c < count; c++) {
        uint32_t column = column_named(reader, kinds[c].name);
        rds_column_info info = column_info(reader, column);
        CHECK_TEXT(info.name, kinds[c].name);
        CHECK_NUMBER(info.name_length, strlen(kinds[c].name));
        CHECK_NUMBER(info.dtype, kinds[c].dtype);
        CHECK_TEXT(info.dtype_name, dtype_of(kinds[c].dtype)->name);
        CHECK_NUMBER(info.ndim, kinds[c].ndim);
        CHECK_NUMBER(info.row_bytes, kind_bytes(&kinds[c]));
        CHECK(memcmp(info.shape, kinds[c].shape, kinds[c].ndim * sizeof(int64_t)) == 0);
        CHECK_NUMBER(info.shape[kinds[c].ndim], 0);
        size_t bytes = rows * info.row_bytes;
        unsigned char *memory = (unsigned char *)malloc(bytes + 1);
        CHECK_OK(rds_reader_read_range(reader, column, 0, rows, memory, bytes));
        CHECK(rows_are(&kinds[c], memory, 0, 1, rows));
        free(memory);
    }
    for (uint64_t row = 0; row < rows; row += 1 + rows / 97) {
        const char *id = NULL;
        size_t length = 0;
        char name[24];
        CHECK_OK(rds_reader_id(reader, row, &id, &length));
        snprintf(name, sizeof name, "id-%llu", (unsigned long long)row);
        CHECK(length == strlen(name) && id && memcmp(id, name, length) == 0);
    }
}

static inline void columns_check_at(const char *path, const column_kind *kinds, size_t count, uint64_t rows) {
    rds_reader *reader = table_reader(path);
    columns_check(reader, kinds, count, rows);
    CHECK_OK(rds_reader_close(reader));
}

/* Whether `row` of an exported list array of a column is row `written`. */
static inline int exported_row_is(const column_kind *kind, const struct ArrowArray *list, int64_t row,
                                  uint64_t written) {
    static unsigned char expected[MOST_ROW_BYTES];
    const struct ArrowArray *items = list->children[0];
    const unsigned char *numbers = (const unsigned char *)items->buffers[1];
    const struct dtype *dtype = dtype_of(kind->dtype);
    int64_t each = kind_elements(kind) * (int64_t)(dtype->bytes / dtype->word);
    int64_t first = items->offset + (list->offset + row) * each;
    kind_row(kind, written, expected);
    if (kind->dtype != RDS_DTYPE_BOOL) {
        return memcmp(numbers + (size_t)first * dtype->word, expected, kind_bytes(kind)) == 0;
    }
    for (int64_t i = first; i < first + each; i++) {
        if ((numbers[i / 8] >> i % 8 & 1) != expected[i - first]) return 0;
    }
    return 1;
}

#endif
