/* Writes a table of results, two tensors for each object, commits it, and reads it back in each way there is.
 *
 *   cc -std=c99 quickstart.c -lrds -o quickstart && ./quickstart quickstart_results
 */
#include <stdio.h>
#include <stdlib.h>

#include "rds.h"

enum { BATCHES = 3, BATCH_ROWS = 4, WIDTH = 3 };

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

static void write_batch(rds_writer *writer, int batch) {
    char names[BATCH_ROWS][16];
    const char *name_pointers[BATCH_ROWS];
    float vectors[BATCH_ROWS][WIDTH];
    int32_t labels[BATCH_ROWS];
    /* The first dimension is that of the rows: a vector and a number for each. */
    const int64_t shape[2] = {BATCH_ROWS, WIDTH};
    rds_ids ids = RDS_IDS_INIT;
    rds_tensor tensors[2] = {RDS_TENSOR_INIT, RDS_TENSOR_INIT};
    int row, column;

    for (row = 0; row < BATCH_ROWS; row++) {
        int object = batch * BATCH_ROWS + row;
        sprintf(names[row], "ngc-%d", object);
        name_pointers[row] = names[row];
        labels[row] = object % 3;
        for (column = 0; column < WIDTH; column++) {
            vectors[row][column] = (float)object + 0.25f * (float)column;
        }
    }
    ids.kind = RDS_IDS_CSTRINGS;
    ids.count = BATCH_ROWS;
    ids.data = name_pointers;
    tensors[0].name = "vector";
    tensors[0].dtype = RDS_DTYPE_FLOAT32;
    tensors[0].ndim = 2;
    tensors[0].shape = shape;
    tensors[0].data = vectors;
    tensors[1].name = "label";
    tensors[1].dtype = RDS_DTYPE_INT32;
    tensors[1].ndim = 1;
    tensors[1].shape = shape;
    tensors[1].data = labels;
    /* Everything is copied: the arrays can be used again at once. */
    check(rds_write_tensors(writer, &ids, tensors, 2));
}

static void write_table(const char *path) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    int batch;

    options.mode = RDS_MODE_OVERWRITE;
    check(rds_writer_open(path, &options, &writer));
    for (batch = 0; batch < BATCHES; batch++) write_batch(writer, batch);
    check(rds_commit(writer, NULL, &info));
    printf("committed %lu rows\n", (unsigned long)info.rows);
    check(rds_writer_close(writer));
}

static void print_info(const rds_reader *reader) {
    rds_table_info table = RDS_TABLE_INFO_INIT;
    uint32_t column, i;

    check(rds_reader_info(reader, &table));
    printf("%lu rows\n", (unsigned long)table.rows);
    for (column = 0; column < table.column_count; column++) {
        rds_column_info info = RDS_COLUMN_INFO_INIT;
        check(rds_reader_column_info(reader, column, &info));
        printf("%s: %s [", info.name, info.dtype_name);
        for (i = 0; i < info.ndim; i++) printf("%s%ld", i ? ", " : "", (long)info.shape[i]);
        printf("], %lu bytes a row\n", (unsigned long)info.row_bytes);
    }
}

static uint32_t column_of(const rds_reader *reader, const char *name) {
    uint32_t column = 0;
    check(rds_reader_column(reader, name, &column));
    return column;
}

static void read_rows(const rds_reader *reader) {
    const uint64_t one = 5;
    float vector[WIDTH];

    check(rds_reader_read(reader, column_of(reader, "vector"), &one, 1, vector, sizeof vector));
    printf("row 5: %g %g %g\n", vector[0], vector[1], vector[2]);
}

/* Both tensors of some rows, in one call: into an array each. */
static void gather(const rds_reader *reader) {
    const uint64_t some[4] = {11, 0, 5, 0};
    float vectors[4][WIDTH];
    int32_t labels[4];
    rds_rows rows = RDS_ROWS_INIT;
    rds_target targets[2] = {RDS_TARGET_INIT, RDS_TARGET_INIT};
    int i;

    rows.rows = some;
    rows.count = 4;
    targets[0].column = column_of(reader, "vector");
    targets[0].data = vectors;
    targets[0].bytes = sizeof vectors;
    targets[1].column = column_of(reader, "label");
    targets[1].data = labels;
    targets[1].bytes = sizeof labels;
    check(rds_reader_gather(reader, &rows, targets, 2));
    printf("gather:");
    for (i = 0; i < 4; i++) printf(" %g (%ld)", vectors[i][0], (long)labels[i]);
    printf("\n");
}

static void look_up(const rds_reader *reader) {
    const char *id = NULL;
    size_t length = 0;
    const char *wanted[2] = {"ngc-7", "ngc-99"};
    uint64_t rows[2];
    rds_ids ids = RDS_IDS_INIT;
    int i;

    check(rds_reader_id(reader, 5, &id, &length));
    printf("id of row 5: %.*s\n", (int)length, id);
    ids.kind = RDS_IDS_CSTRINGS;
    ids.count = 2;
    ids.data = wanted;
    check(rds_reader_find(reader, &ids, rows, NULL));
    for (i = 0; i < 2; i++) {
        if (rows[i] == RDS_ROW_NONE) {
            printf("%s: not in the table\n", wanted[i]);
        } else {
            printf("%s: row %lu\n", wanted[i], (unsigned long)rows[i]);
        }
    }
}

/* The Arrow layout: a struct, whose child `vector` is a fixed-size list, whose child holds the
 * numbers. */
static double sum_of(const struct ArrowArray *batch) {
    const struct ArrowArray *list = batch->children[0];
    const struct ArrowArray *items = list->children[0];
    const float *values = (const float *)items->buffers[1];
    int64_t first = (batch->offset + list->offset) * WIDTH + items->offset;
    double sum = 0;
    int64_t i;

    for (i = 0; i < batch->length * WIDTH; i++) sum += values[first + i];
    return sum;
}

static void stream(const rds_reader *reader) {
    struct ArrowArrayStream batches;
    struct ArrowArray batch;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    const uint32_t vector = column_of(reader, "vector");
    double sum = 0;

    options.columns = &vector;
    options.column_count = 1;
    options.flags = RDS_SELECT_NO_IDS;
    options.batch_rows = 5;
    check(rds_reader_stream(reader, &options, &batches));
    for (;;) {
        if (batches.get_next(&batches, &batch) != 0) {
            fprintf(stderr, "%s\n", batches.get_last_error(&batches));
            exit(1);
        }
        if (batch.release == NULL) break;
        sum += sum_of(&batch);
        batch.release(&batch);
    }
    batches.release(&batches);
    printf("sum of all: %g\n", sum);
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "quickstart_results";
    rds_reader *reader = NULL;

    check(rds_check_abi(RDS_ABI_VERSION));
    write_table(path);
    check(rds_reader_open(path, NULL, &reader));
    print_info(reader);
    read_rows(reader);
    gather(reader);
    look_up(reader);
    stream(reader);
    check(rds_reader_close(reader));
    return 0;
}
