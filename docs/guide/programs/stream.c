/* Copies one column of a table into another table, through an Arrow stream. */
#include <stdio.h>
#include <stdlib.h>

#include "rds.h"

enum { ROWS = 6, WIDTH = 2 };

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

static rds_writer *open_writer(const char *path) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE;
    rds_writer *writer = NULL;
    check(rds_writer_open(path, &options, &writer));
    return writer;
}

static void write_table(void) {
    const int64_t numbers[ROWS] = {1, 2, 3, 4, 5, 6}, shape[2] = {ROWS, WIDTH};
    const float vectors[ROWS][WIDTH] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}};
    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64, ids.count = ROWS, ids.data = numbers;
    rds_tensor tensors[2] = {RDS_TENSOR_INIT, RDS_TENSOR_INIT};
    tensors[0].name = "vector", tensors[0].dtype = RDS_DTYPE_FLOAT32;
    tensors[0].ndim = 2, tensors[0].shape = shape, tensors[0].data = vectors;
    tensors[1].name = "number", tensors[1].dtype = RDS_DTYPE_INT64;
    tensors[1].ndim = 1, tensors[1].shape = shape, tensors[1].data = numbers;
    rds_writer *writer = open_writer("results");
    check(rds_write_tensors(writer, &ids, tensors, 2));
    check(rds_writer_close(writer));
}

/* The layout of Arrow: a struct, whose child is a fixed-size list, whose child has the numbers. */
static double sum_of(const struct ArrowArray *batch) {
    const struct ArrowArray *list = batch->children[0], *items = list->children[0];
    const float *values = items->buffers[1];
    int64_t first = (batch->offset + list->offset) * WIDTH + items->offset;
    double sum = 0;
    for (int64_t i = 0; i < batch->length * WIDTH; i++) sum += values[first + i];
    return sum;
}

int main(void) {
    rds_reader *reader = NULL;
    uint32_t vector = 0;
    struct ArrowArrayStream batches;
    struct ArrowArray batch;
    write_table();
    check(rds_reader_open("results", NULL, &reader));
    check(rds_reader_column(reader, "vector", &vector));

    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    options.columns = &vector, options.column_count = 1, options.flags = RDS_SELECT_NO_IDS;
    options.batch_rows = 4;
    check(rds_reader_stream(reader, &options, &batches));
    while (batches.get_next(&batches, &batch) == 0 && batch.release != NULL) {
        printf("%lld rows, sum %g\n", (long long)batch.length, sum_of(&batch));
        batch.release(&batch);
    }
    batches.release(&batches);

    options.flags = 0;
    check(rds_reader_stream(reader, &options, &batches));
    rds_writer *writer = open_writer("copy");
    uint64_t rows = 0;
    check(rds_write_stream(writer, &batches, NULL, &rows)); /* takes the stream, and releases it */
    check(rds_writer_close(writer));
    check(rds_reader_close(reader));
    printf("%llu rows copied\n", (unsigned long long)rows);
    return 0;
}
