/* Every dtype, and tables of any of them whose bytes are known: what each way of reading gives. */
#ifndef DTYPES_H
#define DTYPES_H

#include "table.h"

static const struct dtype {
    uint32_t number;
    const char *name;
    size_t bytes;
    /* Of one number, as byte order sees it. */
    size_t word;
} dtypes[] = {{RDS_DTYPE_BOOL, "bool", 1, 1},
              {RDS_DTYPE_INT8, "int8", 1, 1},
              {RDS_DTYPE_INT16, "int16", 2, 2},
              {RDS_DTYPE_INT32, "int32", 4, 4},
              {RDS_DTYPE_INT64, "int64", 8, 8},
              {RDS_DTYPE_UINT8, "uint8", 1, 1},
              {RDS_DTYPE_UINT16, "uint16", 2, 2},
              {RDS_DTYPE_UINT32, "uint32", 4, 4},
              {RDS_DTYPE_UINT64, "uint64", 8, 8},
              {RDS_DTYPE_FLOAT16, "float16", 2, 2},
              {RDS_DTYPE_FLOAT32, "float32", 4, 4},
              {RDS_DTYPE_FLOAT64, "float64", 8, 8},
              {RDS_DTYPE_BFLOAT16, "bfloat16", 2, 2},
              {RDS_DTYPE_COMPLEX64, "complex64", 8, 4},
              {RDS_DTYPE_COMPLEX128, "complex128", 16, 8},
              {RDS_DTYPE_DATETIME64_S, "datetime64[s]", 8, 8},
              {RDS_DTYPE_DATETIME64_MS, "datetime64[ms]", 8, 8},
              {RDS_DTYPE_DATETIME64_US, "datetime64[us]", 8, 8},
              {RDS_DTYPE_DATETIME64_NS, "datetime64[ns]", 8, 8},
              {RDS_DTYPE_TIMEDELTA64_S, "timedelta64[s]", 8, 8},
              {RDS_DTYPE_TIMEDELTA64_MS, "timedelta64[ms]", 8, 8},
              {RDS_DTYPE_TIMEDELTA64_US, "timedelta64[us]", 8, 8},
              {RDS_DTYPE_TIMEDELTA64_NS, "timedelta64[ns]", 8, 8}};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

static inline const struct dtype *dtype_of(uint32_t number) { return &dtypes[number - 1]; }

/* Bytes without a pattern that an encoding could fold; 0 and 1 only for bool. */
static inline void dtype_fill(unsigned char *bytes, size_t count, uint32_t dtype, uint32_t seed) {
    uint32_t state = dtype * 7919u + seed * 104729u + 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(state >> 24);
        if (dtype == RDS_DTYPE_BOOL) bytes[i] &= 1;
    }
}

enum { MADE_BATCH_BYTES = 1 << 20 };

/* A table and the bytes of all its rows. The id of row r is the decimal number r. */
typedef struct {
    check_path_text path;
    const struct dtype *dtype;
    int64_t shape[4];
    uint32_t ndim;
    size_t row_bytes;
    uint64_t rows;
    unsigned char *bytes;
} made_table;

/* Writes rows first .. first + count - 1 as one batch. */
static inline void made_write(const made_table *made, rds_writer *writer, uint64_t first,
                              uint64_t count) {
    int64_t *numbers = (int64_t *)calloc(count, sizeof *numbers);
    int64_t shape[5] = {(int64_t)count};
    for (uint64_t i = 0; i < count; i++) numbers[i] = (int64_t)(first + i);
    for (uint32_t i = 0; i < made->ndim; i++) shape[i + 1] = made->shape[i];
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    rds_tensor tensor = tensor_of(made->dtype->number, made->ndim + 1, shape,
                                  made->bytes + first * made->row_bytes);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    free(numbers);
}

/* Adds a run of rows, which becomes a data file of its own, and a large one several pages of it. */
static inline void made_append(made_table *made, uint64_t rows) {
    uint32_t mode = made->rows ? RDS_MODE_APPEND : RDS_MODE_CREATE;
    rds_writer *writer = table_writer(made->path.text, mode, RDS_DURABILITY_COMMIT);
    uint64_t end = made->rows + rows, batch = MADE_BATCH_BYTES / made->row_bytes + 1;
    made->bytes = (unsigned char *)realloc(made->bytes, end * made->row_bytes);
    dtype_fill(made->bytes + made->rows * made->row_bytes, rows * made->row_bytes,
               made->dtype->number, (uint32_t)made->rows);
    for (; made->rows < end; made->rows += batch) {
        if (batch > end - made->rows) batch = end - made->rows;
        made_write(made, writer, made->rows, batch);
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

/* A new table of rows of `shape`, ndim lengths, at most 4; `runs` are the rows of its data files,
 * up to a 0. */
static inline made_table made_new(uint32_t dtype, uint32_t ndim, const int64_t *shape,
                                  const uint64_t *runs) {
    made_table made = {check_path(), dtype_of(dtype), {0}, ndim, 0, 0, NULL};
    made.row_bytes = made.dtype->bytes;
    for (uint32_t i = 0; i < ndim; i++) {
        made.shape[i] = shape[i];
        made.row_bytes *= (size_t)shape[i];
    }
    while (*runs) made_append(&made, *runs++);
    return made;
}

static inline void made_free(made_table *made) { free(made->bytes); }

static inline const unsigned char *made_row(const made_table *made, uint64_t row) {
    return made->bytes + row * made->row_bytes;
}

static inline rds_reader *made_open(const made_table *made, uint32_t access) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    CHECK_OK(rds_reader_open(made->path.text, &options, &reader));
    return reader;
}

#endif
