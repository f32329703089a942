/* What every consumer does: writes three rows of two columns, reads them back, and says what it links with. */

#ifndef CONSUMER_H
#define CONSUMER_H

#include <rds.h>

#include <stdio.h>

#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    if ((call) != RDS_OK) {                                                                                            \
      fprintf(stderr, "%s\n", rds_last_error_message());                                                               \
      return 1;                                                                                                        \
    }                                                                                                                  \
  } while (0)

static int consume(const char *path) {
  static const float vectors[3][2] = {{1, 2}, {3, 4}, {5, 6}};
  static const int32_t labels[3] = {7, 8, 9};
  static const int64_t numbers[3] = {10, 20, 30}, shape[2] = {3, 2};
  rds_writer *writer = NULL;
  rds_reader *reader = NULL;
  rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
  rds_ids ids = RDS_IDS_INIT;
  rds_tensor tensors[2] = {RDS_TENSOR_INIT, RDS_TENSOR_INIT};
  uint32_t vector = 0;
  uint64_t row = 0;
  float read[2] = {0, 0};

  TRY(rds_check_abi(RDS_ABI_VERSION));
  options.mode = RDS_MODE_OVERWRITE;
  ids.kind = RDS_IDS_INT64;
  ids.count = 3;
  ids.data = numbers;
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
  TRY(rds_writer_open(path, &options, &writer));
  TRY(rds_write_tensors(writer, &ids, tensors, 2));
  TRY(rds_writer_close(writer));

  ids.count = 1;
  ids.data = &numbers[1];
  TRY(rds_reader_open(path, NULL, &reader));
  TRY(rds_reader_column(reader, "vector", &vector));
  TRY(rds_reader_find(reader, &ids, &row, NULL));
  TRY(rds_reader_read(reader, vector, &row, 1, read, sizeof read));
  TRY(rds_reader_close(reader));
  printf("librds %s: row %d has %g and %g\n", rds_version(), (int)row, (double)read[0], (double)read[1]);
  return row == 1 && vectors[1][0] >= read[0] && vectors[1][1] <= read[1] ? 0 : 1;
}

#endif
