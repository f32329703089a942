/* DLPack out: tensors for NumPy, PyTorch and the like. What is exported owns itself. */
#include <pthread.h>

#include "dlpack.h"
#include "dtypes.h"
#include "maps.h"

enum { COPIED = DLPACK_FLAG_BITMASK_IS_COPIED, SHARED = DLPACK_FLAG_BITMASK_READ_ONLY };

static const int64_t cube[3] = {2, 3, 4};
static const uint64_t runs[] = {5, 1, 3, 0};

static DLManagedTensorVersioned *export(const rds_reader *reader, uint64_t first, uint64_t count) {
    DLManagedTensorVersioned *tensor = NULL;
    CHECK_OK(rds_reader_dlpack(reader, 0, first, count, &tensor));
    CHECK(tensor != NULL);
    return tensor;
}

/* Everything that a consumer looks at, and the bytes. */
static void check_tensor(const DLManagedTensorVersioned *managed, const made_table *made,
                         uint64_t first, uint64_t count) {
    REQUIRE(CHECK(managed != NULL));
    const DLTensor *tensor = &managed->dl_tensor;
    CHECK_NUMBER(managed->version.major, DLPACK_MAJOR_VERSION);
    CHECK(managed->deleter != NULL);
    CHECK_NUMBER(tensor->device.device_type, kDLCPU);
    CHECK_NUMBER(tensor->device.device_id, 0);
    CHECK_NUMBER(tensor->byte_offset, 0);
    REQUIRE(CHECK_NUMBER(tensor->ndim, made->ndim + 1));
    int64_t stride = 1;
    for (int32_t i = tensor->ndim - 1; i >= 0; i--) {
        CHECK_NUMBER(tensor->shape[i], i ? made->shape[i - 1] : (int64_t)count);
        CHECK_NUMBER(tensor->strides[i], stride);
        stride *= tensor->shape[i];
    }
    CHECK_NUMBER(tensor->dtype.lanes, 1);
    CHECK_NUMBER(tensor->dtype.bits, made->dtype->bytes * 8);
    if (count == 0) return;
    CHECK(memcmp(tensor->data, made_row(made, first), count * made->row_bytes) == 0);
}

static void check_export(const rds_reader *reader, const made_table *made, uint64_t first,
                         uint64_t count, uint64_t flags) {
    DLManagedTensorVersioned *tensor = export(reader, first, count);
    REQUIRE(tensor != NULL);
    check_tensor(tensor, made, first, count);
    CHECK_NUMBER(tensor->flags, flags);
    tensor->deleter(tensor);
}

static int code_of(uint32_t dtype) {
    if (dtype == RDS_DTYPE_BOOL) return kDLBool;
    if (dtype <= RDS_DTYPE_INT64) return kDLInt;
    if (dtype <= RDS_DTYPE_UINT64) return kDLUInt;
    if (dtype <= RDS_DTYPE_FLOAT64) return kDLFloat;
    if (dtype == RDS_DTYPE_BFLOAT16) return kDLBfloat;
    return dtype <= RDS_DTYPE_COMPLEX128 ? kDLComplex : -1;
}

static void check_access(made_table made, const struct dtype *dtype, uint32_t access) {
    rds_reader *reader = made_open(&made, access);
    int code = code_of(dtype->number);
    if (code < 0) {
        DLManagedTensorVersioned *tensor = (DLManagedTensorVersioned *)&made;
        CHECK_STATUS(rds_reader_dlpack(reader, 0, 0, 1, &tensor), RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS(dtype->name);
        CHECK(tensor == NULL);
    } else {
        /* Bool is packed in the table. */
        int shared = dtype->number != RDS_DTYPE_BOOL && access == RDS_ACCESS_AUTO;
        check_export(reader, &made, 0, 5, shared ? SHARED : COPIED);
        check_export(reader, &made, 6, 1, shared ? SHARED : COPIED);
        check_export(reader, &made, 0, 9, COPIED);
        DLManagedTensorVersioned *tensor = export(reader, 1, 1);
        if (tensor) CHECK_NUMBER(tensor->dl_tensor.dtype.code, code);
        if (tensor) tensor->deleter(tensor);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(every_dtype_has_its_dlpack_type_or_is_refused_by_name) {
    for (int i = 0; i < DTYPES; i++) {
        int before = check_failures;
        for (uint64_t ndim = 0; ndim <= 3; ndim++) {
            made_table made = made_new(dtypes[i].number, ndim, cube, runs);
            check_access(made, &dtypes[i], RDS_ACCESS_AUTO);
            check_access(made, &dtypes[i], RDS_ACCESS_LANCE);
            made_free(&made);
        }
        if (check_failures != before) fprintf(stderr, "    of %s\n", dtypes[i].name);
    }
}

TEST(rows_of_one_span_are_the_tables_own_memory_and_read_only) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 3, cube, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    for (uint64_t row = 0; row < made.rows; row++) {
        rds_span span = RDS_SPAN_INIT;
        CHECK_OK(rds_reader_span(reader, 0, row, &span));
        uint64_t count = span.first_row + span.row_count - row;
        DLManagedTensorVersioned *tensor = export(reader, row, count);
        REQUIRE(tensor != NULL);
        CHECK_NUMBER(tensor->flags, SHARED);
        CHECK(tensor->dl_tensor.data ==
              (const char *)span.data + (row - span.first_row) * span.stride);
        tensor->deleter(tensor);
        /* One row more is in another span. */
        if (row + count < made.rows) check_export(reader, &made, row, count + 1, COPIED);
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(a_copy_is_the_consumers_to_write_to) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 3, cube, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    DLManagedTensorVersioned *tensor = export(reader, 2, 6), *other = export(reader, 2, 6);
    REQUIRE(tensor != NULL && other != NULL);
    memset(tensor->dl_tensor.data, 0xff, 6 * made.row_bytes);
    check_tensor(other, &made, 2, 6);
    tensor->deleter(tensor);
    other->deleter(other);
    check_export(reader, &made, 2, 6, COPIED);
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

static void *delete_tensor(void *data) {
    DLManagedTensorVersioned *tensor = (DLManagedTensorVersioned *)data;
    tensor->deleter(tensor);
    return NULL;
}

TEST(tensors_outlive_reader_and_files_and_are_deleted_on_any_thread) {
    made_table made = made_new(RDS_DTYPE_INT16, 3, cube, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    DLManagedTensorVersioned *tensors[] = {export(reader, 0, 5), export(reader, 0, 9),
                                           export(reader, 8, 1), export(reader, 5, 0)};
    const uint64_t ranges[4][2] = {{0, 5}, {0, 9}, {8, 1}, {5, 0}};
    CHECK_OK(rds_reader_close(reader));
    check_remove(made.path.text);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        REQUIRE(tensors[i] != NULL);
        check_tensor(tensors[i], &made, ranges[i][0], ranges[i][1]);
        pthread_create(&thread, NULL, delete_tensor, tensors[i]);
        pthread_join(thread, NULL);
    }
    made_free(&made);
}

TEST(a_file_stays_mapped_as_long_as_a_tensor_of_it_lives) {
    made_table made = made_new(RDS_DTYPE_INT16, 3, cube, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    CHECK_NUMBER(maps_of(made.path.text), 3);
    DLManagedTensorVersioned *tensor = export(reader, 1, 2);
    CHECK_OK(rds_reader_close(reader));
    CHECK_NUMBER(maps_of(made.path.text), 1);
    REQUIRE(tensor != NULL);
    tensor->deleter(tensor);
    CHECK_NUMBER(maps_of(made.path.text), 0);
    made_free(&made);
}

TEST(no_rows_are_an_empty_tensor) {
    made_table made = made_new(RDS_DTYPE_FLOAT64, 3, cube, runs);
    const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        for (uint64_t first = 0; first <= made.rows; first++) {
            DLManagedTensorVersioned *tensor = export(reader, first, 0);
            REQUIRE(tensor != NULL);
            check_tensor(tensor, &made, 0, 0);
            tensor->deleter(tensor);
        }
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

/* dlpack.h asks for it of a tensor without elements. */
TEST(the_data_of_an_empty_tensor_is_null) {
    made_table made = made_new(RDS_DTYPE_FLOAT64, 3, cube, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    for (uint64_t first = 0; first <= made.rows; first += made.rows) {
        DLManagedTensorVersioned *tensor = export(reader, first, 0);
        REQUIRE(tensor != NULL);
        CHECK(tensor->dl_tensor.data == NULL);
        tensor->deleter(tensor);
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(ranges_beyond_the_table_are_refused) {
    made_table made = made_new(RDS_DTYPE_FLOAT64, 1, cube, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    const uint64_t ranges[][2] = {{10, 0}, {9, 1}, {8, 2}, {0, 10}, {UINT64_MAX, 0},
                                  {UINT64_MAX, 1}, {1, UINT64_MAX}, {0, UINT64_MAX},
                                  {0, 1ull << 60}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        DLManagedTensorVersioned *tensor = (DLManagedTensorVersioned *)&made;
        CHECK_STATUS(rds_reader_dlpack(reader, 0, ranges[i][0], ranges[i][1], &tensor),
                     RDS_ERR_OUT_OF_RANGE);
        CHECK_MESSAGE_HAS("rds_reader_dlpack: ");
        CHECK(tensor == NULL);
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

struct exporter {
    const rds_reader *reader;
    const made_table *made;
    uint64_t number;
};

static void *export_often(void *data) {
    const struct exporter *exporter = (const struct exporter *)data;
    for (int i = 0; i < check_rounds(200); i++) {
        uint64_t first = ((uint64_t)i + exporter->number) % 9;
        uint64_t count = 1 + (uint64_t)i % (9 - first);
        DLManagedTensorVersioned *tensor = export(exporter->reader, first, count);
        check_tensor(tensor, exporter->made, first, count);
        if (tensor) tensor->deleter(tensor);
    }
    return NULL;
}

TEST(eight_threads_export_from_one_reader) {
    made_table made = made_new(RDS_DTYPE_UINT8, 3, cube, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    pthread_t threads[8];
    struct exporter exporters[8];
    for (uint64_t i = 0; i < 8; i++) {
        exporters[i] = (struct exporter){reader, &made, i};
        pthread_create(&threads[i], NULL, export_often, &exporters[i]);
    }
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

CHECK_MAIN(RUN(every_dtype_has_its_dlpack_type_or_is_refused_by_name),
           RUN(rows_of_one_span_are_the_tables_own_memory_and_read_only),
           RUN(a_copy_is_the_consumers_to_write_to),
           RUN(tensors_outlive_reader_and_files_and_are_deleted_on_any_thread),
           RUN(a_file_stays_mapped_as_long_as_a_tensor_of_it_lives),
           RUN(no_rows_are_an_empty_tensor), RUN(the_data_of_an_empty_tensor_is_null),
           RUN(ranges_beyond_the_table_are_refused), RUN(eight_threads_export_from_one_reader))
