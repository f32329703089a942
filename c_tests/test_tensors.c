/* Tensors of every dtype, shape and memory layout come back bit for bit, in C order. */
#include "dtypes.h"

enum { ROWS = 5, MOST = 1 << 16 };

/* Writes `tensor` to a new table, whose rows must then be the bytes `expected`. */
static void check_round_trip(const rds_tensor *tensor, const void *expected, size_t bytes) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    int64_t numbers[ROWS];
    uint64_t rows[ROWS], count = (uint64_t)tensor->shape[0];
    for (uint64_t row = 0; row < count; row++) rows[row] = row, numbers[row] = (int64_t)row;
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    CHECK_OK(rds_write_tensors(writer, &ids, tensor, 1));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    rds_column_info info = column_info(reader, 0);
    CHECK_NUMBER(table_info(reader).rows, count);
    CHECK_NUMBER(info.dtype, tensor->dtype);
    CHECK_NUMBER(info.row_bytes * count, bytes);
    CHECK_NUMBER(info.ndim, tensor->ndim - 1);
    for (uint32_t i = 0; i < info.ndim; i++) CHECK_NUMBER(info.shape[i], tensor->shape[i + 1]);
    CHECK_NUMBER(info.shape[info.ndim], 0);
    unsigned char *read = (unsigned char *)malloc(bytes);
    CHECK_OK(rds_reader_read(reader, 0, rows, count, read, bytes));
    CHECK(memcmp(read, expected, bytes) == 0);
    free(read);
    CHECK_OK(rds_reader_close(reader));
}

static unsigned char memory[MOST], expected_bytes[MOST];

static size_t elements(const int64_t *shape, uint64_t ndim) {
    size_t product = 1;
    for (uint64_t i = 0; i < ndim; i++) product *= (size_t)shape[i];
    return product;
}

TEST(every_dtype_has_its_name_and_size) {
    const int64_t number = 1, shape[1] = {1};
    for (int i = 0; i < DTYPES; i++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
        const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
        const rds_tensor tensor = tensor_of(dtypes[i].number, 1, shape, memory);
        CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
        CHECK_OK(rds_writer_close(writer));
        rds_reader *reader = table_reader(path.text);
        CHECK_TEXT(column_info(reader, 0).dtype_name, dtypes[i].name);
        CHECK_NUMBER(column_info(reader, 0).row_bytes, dtypes[i].bytes);
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(every_dtype_comes_back_in_every_shape) {
    const struct {
        uint32_t ndim;
        int64_t shape[5];
    } shapes[] = {{1, {ROWS, 0, 0, 0, 0}},
                  {2, {ROWS, 1, 0, 0, 0}},
                  {2, {ROWS, 7, 0, 0, 0}},
                  {2, {1, 513, 0, 0, 0}},
                  {3, {ROWS, 2, 8, 0, 0}},
                  {5, {ROWS, 2, 1, 3, 2}}};
    for (int i = 0; i < DTYPES; i++) {
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            size_t bytes = elements(shapes[s].shape, shapes[s].ndim) * dtypes[i].bytes;
            int before = check_failures;
            dtype_fill(memory, bytes, dtypes[i].number, 0);
            rds_tensor tensor =
                tensor_of(dtypes[i].number, shapes[s].ndim, shapes[s].shape, memory);
            check_round_trip(&tensor, memory, bytes);
            if (check_failures != before) {
                fprintf(stderr, "    of %s, shape %d\n", dtypes[i].name, (int)s);
            }
        }
    }
}

TEST(constant_rows_come_back) {
    const int64_t shape[2] = {ROWS, 300};
    for (int i = 0; i < DTYPES; i++) {
        memset(memory, dtypes[i].number == RDS_DTYPE_BOOL, sizeof memory);
        rds_tensor tensor = tensor_of(dtypes[i].number, 2, shape, memory);
        check_round_trip(&tensor, memory, elements(shape, 2) * dtypes[i].bytes);
    }
}

TEST(byte_swapped_input_is_stored_in_native_order) {
    const int64_t shape[2] = {ROWS, 6};
    for (int i = 0; i < DTYPES; i++) {
        size_t bytes = elements(shape, 2) * dtypes[i].bytes, word = dtypes[i].word;
        dtype_fill(memory, bytes, dtypes[i].number, 0);
        for (size_t at = 0; at < bytes; at++) {
            expected_bytes[at] = memory[at / word * word + word - 1 - at % word];
        }
        rds_tensor tensor = tensor_of(dtypes[i].number, 2, shape, memory);
        tensor.flags = RDS_TENSOR_BYTE_SWAPPED;
        check_round_trip(&tensor, expected_bytes, bytes);
    }
}

/* Reads the tensor as NumPy would, element by element. */
static void check_strided(const int64_t *shape, const int64_t *strides, size_t first) {
    int16_t *expected = (int16_t *)expected_bytes;
    size_t count = 0;
    for (int64_t i = 0; i < shape[0]; i++) {
        for (int64_t j = 0; j < shape[1]; j++) {
            for (int64_t k = 0; k < shape[2]; k++) {
                memcpy(&expected[count++],
                       memory + first + i * strides[0] + j * strides[1] + k * strides[2], 2);
            }
        }
    }
    rds_tensor tensor = tensor_of(RDS_DTYPE_INT16, 3, shape, memory + first);
    tensor.strides = strides;
    check_round_trip(&tensor, expected, count * 2);
}

TEST(every_layout_that_numpy_has_is_read_in_c_order) {
    const int64_t shape[3] = {4, 3, 5};
    static const struct {
        int64_t strides[3];
        size_t first;
    } layouts[] = {
        {{30, 10, 2}, 0},      /* C order, spelled out */
        {{2, 8, 24}, 0},       /* Fortran */
        {{-30, -10, -2}, 118}, /* reversed along every axis */
        {{30, -10, 2}, 20},    /* along one */
        {{120, 20, 4}, 6},     /* a slice with gaps */
        {{0, 10, 2}, 0},       /* one row, broadcast */
        {{30, 0, 2}, 0},       /* one axis, broadcast */
        {{0, 0, 0}, 10},       /* one element */
        {{2, 2, 2}, 0},        /* overlapping windows */
        {{31, 11, 3}, 1},      /* misaligned numbers */
    };
    dtype_fill(memory, MOST, RDS_DTYPE_INT16, 0);
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        int before = check_failures;
        check_strided(shape, layouts[i].strides, layouts[i].first);
        if (check_failures != before) fprintf(stderr, "    of layout %d\n", (int)i);
    }
}

TEST(strides_of_axes_of_length_one_do_not_matter) {
    const int64_t shape[3] = {1, 1, 5}, strides[3] = {INT64_MAX, INT64_MIN, 2};
    rds_tensor tensor = tensor_of(RDS_DTYPE_INT16, 3, shape, memory);
    dtype_fill(memory, 10, RDS_DTYPE_INT16, 0);
    tensor.strides = strides;
    check_round_trip(&tensor, memory, 10);
}

TEST(strided_and_byte_swapped_at_once) {
    const int64_t shape[2] = {2, 3}, strides[2] = {4, 8};
    const uint32_t fortran[6] = {0x00000001, 0x00000002, 0x00000003,
                                 0x00000004, 0x00000005, 0x00000006};
    const uint32_t expected[6] = {0x01000000, 0x03000000, 0x05000000,
                                  0x02000000, 0x04000000, 0x06000000};
    rds_tensor tensor = tensor_of(RDS_DTYPE_UINT32, 2, shape, fortran);
    tensor.strides = strides;
    tensor.flags = RDS_TENSOR_BYTE_SWAPPED;
    check_round_trip(&tensor, expected, sizeof expected);
}

TEST(nan_payloads_signed_zeros_infinities_and_denormals_come_back) {
    const uint64_t doubles[2][4] = {
        {0x7ff8000000000001, 0xfff8dead0000beef, 0x7ff0000000000001, 0x8000000000000000},
        {0x0000000000000001, 0x800fffffffffffff, 0x7ff0000000000000, 0xfff0000000000000}};
    const uint32_t floats[2][4] = {{0x7fc00001, 0xffc0beef, 0x7f800001, 0x80000000},
                                   {0x00000001, 0x807fffff, 0x7f800000, 0xff800000}};
    const uint16_t halves[2][4] = {{0x7e01, 0xfe55, 0x7c01, 0x8000},
                                   {0x0001, 0x83ff, 0x7c00, 0xfc00}};
    const int64_t shape[2] = {2, 4};
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, 2, shape, doubles);
    check_round_trip(&tensor, doubles, sizeof doubles);
    tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, floats);
    check_round_trip(&tensor, floats, sizeof floats);
    tensor = tensor_of(RDS_DTYPE_FLOAT16, 2, shape, halves);
    check_round_trip(&tensor, halves, sizeof halves);
    tensor = tensor_of(RDS_DTYPE_BFLOAT16, 2, shape, halves);
    check_round_trip(&tensor, halves, sizeof halves);
}

TEST(tensors_may_lie_at_any_address) {
    const int64_t shape[2] = {ROWS, 9};
    dtype_fill(memory, MOST, RDS_DTYPE_FLOAT64, 0);
    for (size_t at = 1; at < 8; at++) {
        rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, 2, shape, memory + at);
        check_round_trip(&tensor, memory + at, elements(shape, 2) * 8);
    }
}

TEST(rows_of_most_dimensions_come_back) {
    int64_t shape[RDS_MAX_NDIM + 1];
    for (int i = 0; i <= RDS_MAX_NDIM; i++) shape[i] = 1;
    shape[0] = 2, shape[RDS_MAX_NDIM - 1] = 3, shape[RDS_MAX_NDIM] = 2;
    const int32_t values[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    const int64_t numbers[2] = {0, 1};
    const rds_ids ids = ids_of(RDS_IDS_INT64, 2, numbers);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_INT32, RDS_MAX_NDIM + 1, shape, values);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    rds_column_info info = column_info(reader, 0);
    CHECK_NUMBER(info.ndim, RDS_MAX_NDIM);
    CHECK(memcmp(info.shape, shape + 1, sizeof info.shape) == 0);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(every_dtype_has_its_name_and_size), RUN(every_dtype_comes_back_in_every_shape),
           RUN(constant_rows_come_back), RUN(byte_swapped_input_is_stored_in_native_order),
           RUN(every_layout_that_numpy_has_is_read_in_c_order),
           RUN(strides_of_axes_of_length_one_do_not_matter), RUN(strided_and_byte_swapped_at_once),
           RUN(nan_payloads_signed_zeros_infinities_and_denormals_come_back),
           RUN(tensors_may_lie_at_any_address), RUN(rows_of_most_dimensions_come_back))
