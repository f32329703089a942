/* Two loops over all rows: shuffled batches, gathered into records; and spans, which are the file itself. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "rds.h"

enum { ROWS = 1000, WIDTH = 4, BATCH = 50 };

/* A row as the program has it. */
typedef struct record {
    float features[WIDTH];
    int32_t label;
} record;

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

/* The records of a batch lie one behind the other: each tensor is told how far its rows are apart. */
static void write_batch(rds_writer *writer, int first) {
    record records[BATCH];
    int64_t numbers[BATCH];
    for (int i = 0; i < BATCH; i++) {
        numbers[i] = first + i;
        for (int k = 0; k < WIDTH; k++) records[i].features[k] = (float)(first + i);
        records[i].label = (first + i) % 10;
    }
    const int64_t shape[2] = {BATCH, WIDTH}, strides[2] = {sizeof(record), sizeof(float)};
    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64, ids.count = BATCH, ids.data = numbers;
    rds_tensor tensors[2] = {RDS_TENSOR_INIT, RDS_TENSOR_INIT};
    tensors[0].name = "features", tensors[0].dtype = RDS_DTYPE_FLOAT32, tensors[0].ndim = 2;
    tensors[0].shape = shape, tensors[0].strides = strides, tensors[0].data = records[0].features;
    tensors[1].name = "label", tensors[1].dtype = RDS_DTYPE_INT32, tensors[1].ndim = 1;
    tensors[1].shape = shape, tensors[1].strides = strides, tensors[1].data = &records[0].label;
    check(rds_write_tensors(writer, &ids, tensors, 2));
}

static void write_table(void) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE;
    rds_writer *writer = NULL;
    check(rds_writer_open("results", &options, &writer));
    for (int first = 0; first < ROWS; first += BATCH) write_batch(writer, first);
    check(rds_writer_close(writer));
}

static void shuffle(uint64_t *rows, unsigned seed) {
    for (uint64_t i = 0; i < ROWS; i++) rows[i] = i;
    for (uint64_t i = ROWS - 1; i > 0; i--) {
        seed = seed * 1664525u + 1013904223u;
        uint64_t other = seed % (i + 1), row = rows[i];
        rows[i] = rows[other], rows[other] = row;
    }
}

/* Both columns of a batch in one call. */
static void gather(const rds_reader *reader, const uint64_t *rows, record *records) {
    rds_rows wanted = RDS_ROWS_INIT;
    wanted.rows = rows, wanted.count = BATCH;
    rds_target targets[2] = {RDS_TARGET_INIT, RDS_TARGET_INIT};
    targets[0].data = records[0].features, targets[0].bytes = BATCH * sizeof(record);
    targets[1].data = &records[0].label, targets[1].bytes = BATCH * sizeof(record) - offsetof(record, label);
    targets[0].stride = targets[1].stride = sizeof(record);
    check(rds_reader_column(reader, "features", &targets[0].column));
    check(rds_reader_column(reader, "label", &targets[1].column));
    check(rds_reader_gather(reader, &wanted, targets, 2));
}

static void shuffled_epoch(const rds_reader *reader, unsigned epoch) {
    static uint64_t order[ROWS];
    record records[BATCH];
    double sum = 0;
    long labels[10] = {0};
    shuffle(order, epoch);
    for (int first = 0; first < ROWS; first += BATCH) {
        gather(reader, order + first, records);
        for (int i = 0; i < BATCH; i++) sum += records[i].features[0], labels[records[i].label]++;
    }
    printf("epoch %u: first row %llu, sum %g, %ld rows of label 3\n", epoch, (unsigned long long)order[0], sum,
           labels[3]);
}

/* No call and no copy for each row; rows that are not mapped are read. */
static double sum_of_spans(const rds_reader *reader, uint32_t column) {
    double sum = 0;
    rds_span span = RDS_SPAN_INIT;
    for (uint64_t row = 0; row < ROWS; row = span.first_row + span.row_count) {
        check(rds_reader_span(reader, column, row, &span));
        for (uint64_t i = 0; i < span.row_count; i++) {
            float copy[WIDTH];
            uint64_t number = span.first_row + i;
            const float *features = (const float *)((const char *)span.data + i * span.stride);
            if (span.data == NULL) {
                check(rds_reader_read(reader, column, &number, 1, copy, sizeof copy));
                features = copy;
            }
            sum += features[0];
        }
    }
    return sum;
}

int main(void) {
    rds_reader *reader = NULL;
    uint32_t features = 0;
    write_table();
    check(rds_reader_open("results", NULL, &reader));
    for (unsigned epoch = 1; epoch <= 2; epoch++) shuffled_epoch(reader, epoch);
    check(rds_reader_column(reader, "features", &features));
    printf("spans: sum %g\n", sum_of_spans(reader, features));
    check(rds_reader_close(reader));
    return 0;
}
