/* Writes a table of three objects, and reads it back by row and by id. */
#include <stdio.h>
#include <stdlib.h>

#include "rds.h"

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

int main(void) {
    const char *names[3] = {"ngc-1", "ngc-2", "ngc-3"};
    float embedding[3][3] = {{0.5f, 1.5f, 2.5f}, {3.5f, 4.5f, 5.5f}, {6.5f, 7.5f, 8.5f}};
    int32_t label[3] = {7, 9, 7};
    int64_t shape[2] = {3, 3}; /* rows first */

    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE;
    rds_writer *writer = NULL;
    check(rds_writer_open("results", &options, &writer));

    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_CSTRINGS, ids.count = 3, ids.data = names;
    rds_tensor tensors[2] = {RDS_TENSOR_INIT, RDS_TENSOR_INIT};
    tensors[0].name = "embedding", tensors[0].dtype = RDS_DTYPE_FLOAT32;
    tensors[0].ndim = 2, tensors[0].shape = shape, tensors[0].data = embedding;
    tensors[1].name = "label", tensors[1].dtype = RDS_DTYPE_INT32;
    tensors[1].ndim = 1, tensors[1].shape = shape, tensors[1].data = label;
    check(rds_write_tensors(writer, &ids, tensors, 2));
    check(rds_writer_close(writer));

    rds_reader *reader = NULL;
    check(rds_reader_open("results", NULL, &reader));
    rds_table_info table = RDS_TABLE_INFO_INIT;
    check(rds_reader_info(reader, &table));
    printf("%llu rows\n", (unsigned long long)table.rows);
    for (uint32_t column = 0; column < table.column_count; column++) {
        rds_column_info info = RDS_COLUMN_INFO_INIT;
        check(rds_reader_column_info(reader, column, &info));
        printf("%s: %s [", info.name, info.dtype_name);
        for (uint32_t i = 0; i < info.ndim; i++) printf("%s%lld", i ? ", " : "", (long long)info.shape[i]);
        printf("]\n");
    }

    uint64_t row = 0;
    uint32_t number = 0;
    ids.count = 1, ids.data = &names[1];
    check(rds_reader_find(reader, &ids, &row, NULL));
    printf("ngc-2 is row %llu\n", (unsigned long long)row);
    check(rds_reader_column(reader, "embedding", &number));
    check(rds_reader_read(reader, number, &row, 1, embedding[0], sizeof embedding[0]));
    printf("embedding: %g %g %g\n", embedding[0][0], embedding[0][1], embedding[0][2]);
    check(rds_reader_column(reader, "label", &number));
    check(rds_reader_read(reader, number, &row, 1, label, sizeof label[0]));
    printf("label: %ld\n", (long)label[0]);
    check(rds_reader_close(reader));
    return 0;
}
