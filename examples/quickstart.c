/* Writes a table of results, commits it, and reads it back in each way there is.
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
    const int64_t shape[2] = {BATCH_ROWS, WIDTH};
    rds_ids ids = RDS_IDS_INIT;
    rds_tensor tensor = RDS_TENSOR_INIT;
    int row, column;

    for (row = 0; row < BATCH_ROWS; row++) {
        int object = batch * BATCH_ROWS + row;
        sprintf(names[row], "ngc-%d", object);
        name_pointers[row] = names[row];
        for (column = 0; column < WIDTH; column++) {
            vectors[row][column] = (float)object + 0.25f * (float)column;
        }
    }
    ids.kind = RDS_IDS_CSTRINGS;
    ids.count = BATCH_ROWS;
    ids.data = name_pointers;
    tensor.dtype = RDS_DTYPE_FLOAT32;
    tensor.ndim = 2;
    tensor.shape = shape;
    tensor.data = vectors;
    /* Everything is copied: the arrays can be used again at once. */
    check(rds_write_tensors(writer, &ids, &tensor));
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
    rds_table_info info = RDS_TABLE_INFO_INIT;
    uint32_t i;

    check(rds_reader_info(reader, &info));
    printf("%lu rows of %s [", (unsigned long)info.rows, info.dtype_name);
    for (i = 0; i < info.ndim; i++) printf("%s%ld", i ? ", " : "", (long)info.shape[i]);
    printf("], %lu bytes each\n", (unsigned long)info.row_bytes);
}

static void read_rows(const rds_reader *reader) {
    const uint64_t one = 5;
    const uint64_t some[4] = {11, 0, 5, 0};
    float vector[WIDTH];
    float gathered[4][WIDTH];
    int i;

    check(rds_reader_read(reader, &one, 1, vector, sizeof vector));
    printf("row 5: %g %g %g\n", vector[0], vector[1], vector[2]);
    check(rds_reader_read(reader, some, 4, gathered, sizeof gathered));
    printf("gather:");
    for (i = 0; i < 4; i++) printf(" %g", gathered[i][0]);
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

/* The Arrow layout: a struct, whose child `data` is a fixed-size list, whose child holds the
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
    double sum = 0;

    options.columns = RDS_COLUMN_DATA;
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
    look_up(reader);
    stream(reader);
    check(rds_reader_close(reader));
    return 0;
}
