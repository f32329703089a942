/* What goes wrong is a status, and a message that says function, what and why; the writer goes on. */
#include <stdio.h>
#include <stdlib.h>

#include "rds.h"

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

static void show(rds_status status) {
    rds_error error = RDS_ERROR_INIT;
    check(rds_last_error(&error));
    printf("%s, argument %d, %s\n    %s\n", rds_status_name(status), (int)error.argument,
           error.may_pass ? "may pass" : "will not pass", error.message);
}

int main(void) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE;
    check(rds_writer_open("results", &options, &writer));

    const int64_t numbers[2] = {1, 2}, shape[2] = {2, 3};
    const float vectors[2][3] = {{0}};
    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64, ids.count = 2, ids.data = numbers;
    rds_tensor tensor = RDS_TENSOR_INIT;
    tensor.dtype = RDS_DTYPE_FLOAT32, tensor.ndim = 2, tensor.shape = shape, tensor.data = vectors;
    check(rds_write_tensors(writer, &ids, &tensor, 1));

    /* Refused whole; the writer is as it was. */
    tensor.dtype = RDS_DTYPE_FLOAT64;
    show(rds_write_tensors(writer, &ids, &tensor, 1));
    tensor.dtype = RDS_DTYPE_FLOAT32;
    check(rds_write_tensors(writer, &ids, &tensor, 1));
    check(rds_writer_close(writer));

    /* A closed handle is an error, not a crash. */
    show(rds_writer_close(writer));

    rds_reader *reader = NULL;
    const uint64_t row = 4;
    float vector[3];
    check(rds_reader_open("results", NULL, &reader));
    show(rds_reader_read(reader, 0, &row, 1, vector, sizeof vector));
    show(rds_reader_read(reader, 0, &row, 1, vector, 3));
    check(rds_reader_close(reader));
    return 0;
}
