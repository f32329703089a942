// The header as C++17 uses it: enums, INIT macros, and handles that close themselves.
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "dlpack.h"
#include "table.h"

static_assert(std::is_enum<rds_status>::value, "statuses are an enum");
static_assert(std::is_standard_layout<rds_tensor>::value && std::is_trivial<rds_tensor>::value,
              "structs are plain");
static_assert(RDS_ROW_NONE == UINT64_MAX && RDS_MAX_NDIM == 64, "constants are constants");

TEST(init_macros_initialise) {
    rds_ids ids = RDS_IDS_INIT;
    rds_tensor tensor = RDS_TENSOR_INIT;
    rds_writer_options writer = RDS_WRITER_OPTIONS_INIT;
    rds_commit_options commit = RDS_COMMIT_OPTIONS_INIT;
    rds_commit_info commit_info = RDS_COMMIT_INFO_INIT;
    rds_reader_options reader = RDS_READER_OPTIONS_INIT;
    rds_span span = RDS_SPAN_INIT;
    rds_table_info table = RDS_TABLE_INFO_INIT;
    rds_column_info column = RDS_COLUMN_INFO_INIT;
    rds_column_spec spec = RDS_COLUMN_SPEC_INIT;
    rds_rows rows = RDS_ROWS_INIT;
    rds_target target = RDS_TARGET_INIT;
    rds_select_options select = RDS_SELECT_OPTIONS_INIT;
    rds_stream_options stream = RDS_STREAM_OPTIONS_INIT;
    rds_runtime_options runtime = RDS_RUNTIME_OPTIONS_INIT;
    CHECK(ids.struct_size == sizeof ids && ids.data == nullptr);
    CHECK(tensor.struct_size == sizeof tensor && tensor.strides == nullptr);
    CHECK(writer.struct_size == sizeof writer && writer.mode == RDS_MODE_CREATE);
    CHECK(commit.struct_size == sizeof commit && commit.progress == nullptr);
    CHECK(commit_info.struct_size == sizeof commit_info && commit_info.rows == 0);
    CHECK(reader.struct_size == sizeof reader && reader.access == RDS_ACCESS_AUTO);
    CHECK(span.struct_size == sizeof span && span.data == nullptr);
    CHECK(table.struct_size == sizeof table && table.column_count == 0);
    CHECK(column.struct_size == sizeof column && column.shape[63] == 0);
    CHECK(spec.struct_size == sizeof spec && spec.shape == nullptr);
    CHECK(rows.struct_size == sizeof rows && rows.rows == nullptr && rows.step == 0);
    CHECK(target.struct_size == sizeof target && target.data == nullptr);
    CHECK(select.struct_size == sizeof select && select.columns == nullptr);
    CHECK(stream.struct_size == sizeof stream && stream.columns == nullptr);
    CHECK(runtime.struct_size == sizeof runtime && runtime.worker_threads == 0);
}

struct Close {
    void operator()(rds_writer *writer) const { CHECK_OK(rds_writer_close(writer)); }
    void operator()(rds_reader *reader) const { CHECK_OK(rds_reader_close(reader)); }
};

TEST(handles_live_in_unique_pointers) {
    const check_path_text path = check_path();
    {
        std::unique_ptr<rds_writer, Close> writer(
            table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL));
        CHECK_OK(table_write(writer.get(), 0, 5));
    }
    std::unique_ptr<rds_reader, Close> reader(table_reader(path.text));
    CHECK_NUMBER(table_info(reader.get()).rows, 5);
    CHECK(table_row_is(reader.get(), 4, 4));
}

TEST(vectors_and_strings_go_in_and_come_out) {
    const check_path_text path = check_path();
    const std::vector<std::string> names = {"m31", "m33", "ngc 6822"};
    std::vector<const char *> pointers;
    for (const std::string &name : names) pointers.push_back(name.c_str());
    const std::vector<std::array<double, 2>> values = {{1.5, 2.5}, {3.5, 4.5}, {5.5, 6.5}};
    const std::array<int64_t, 2> shape = {3, 2};
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, pointers.size(), pointers.data());
    const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, 2, shape.data(), values.data());
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK_OK(rds_writer_close(writer));

    rds_reader *reader = table_reader(path.text);
    const std::vector<uint64_t> rows = {2, 0};
    std::vector<std::array<double, 2>> read(rows.size());
    CHECK_OK(rds_reader_read(reader, 0, rows.data(), rows.size(), read.data(),
                             read.size() * sizeof read[0]));
    CHECK(read[0] == values[2] && read[1] == values[0]);
    const char *id = nullptr;
    size_t length = 0;
    CHECK_OK(rds_reader_id(reader, 2, &id, &length));
    CHECK(std::string(id, length) == names[2]);
    CHECK_OK(rds_reader_close(reader));
}

// A view of all rows, without a copy: what a span is for.
static std::vector<const float *> row_pointers(const rds_reader *reader) {
    std::vector<const float *> rows;
    const uint64_t count = table_info(reader).rows;
    rds_span span = RDS_SPAN_INIT;
    for (uint64_t row = 0; row < count; row = span.first_row + span.row_count) {
        if (!CHECK_OK(rds_reader_span(reader, 0, row, &span)) || !CHECK(span.data != nullptr)) break;
        for (uint64_t i = 0; i < span.row_count; ++i) {
            rows.push_back(reinterpret_cast<const float *>(static_cast<const char *>(span.data) +
                                                           i * span.stride));
        }
    }
    return rows;
}

TEST(spans_are_walked_and_refreshed) {
    const check_path_text path = check_path();
    table_make(path.text, 5);
    std::unique_ptr<rds_reader, Close> reader(table_reader(path.text));
    table_append(path.text, 5, 3);
    CHECK_NUMBER(row_pointers(reader.get()).size(), 5);
    uint32_t changed = 0;
    CHECK_OK(rds_reader_refresh(reader.get(), &changed));
    CHECK_NUMBER(changed, 1);
    const std::vector<const float *> rows = row_pointers(reader.get());
    CHECK_NUMBER(rows.size(), 8);
    for (uint64_t row = 0; row < rows.size(); ++row) CHECK(rows[row][1] == table_value(row, 1));
    std::vector<std::array<float, TABLE_WIDTH>> copy(4);
    CHECK_OK(rds_reader_read_range(reader.get(), 0, 3, copy.size(), copy.data(),
                                   copy.size() * sizeof copy[0]));
    CHECK(copy[2][3] == table_value(5, 3));
}

struct Release {
    void operator()(DLManagedTensorVersioned *tensor) const { tensor->deleter(tensor); }
    void operator()(ArrowArray *array) const { array->release(array); }
};

TEST(tensors_and_ids_live_in_unique_pointers) {
    const check_path_text path = check_path();
    table_make(path.text, 5);
    std::unique_ptr<rds_reader, Close> reader(table_reader(path.text));
    DLManagedTensorVersioned *exported = nullptr;
    CHECK_OK(rds_reader_dlpack(reader.get(), 0, 1, 3, &exported));
    const std::unique_ptr<DLManagedTensorVersioned, Release> tensor(exported);
    ArrowArray array = {};
    CHECK_OK(rds_reader_ids(reader.get(), 0, 5, nullptr, &array));
    const std::unique_ptr<ArrowArray, Release> ids(&array);
    reader.reset();
    const DLTensor &rows = tensor->dl_tensor;
    CHECK(rows.ndim == 2 && rows.shape[0] == 3 && rows.shape[1] == TABLE_WIDTH);
    CHECK(static_cast<const float *>(rows.data)[2 * TABLE_WIDTH] == table_value(3, 0));
    const int64_t *offsets = static_cast<const int64_t *>(ids->buffers[1]) + ids->offset;
    const char *bytes = static_cast<const char *>(ids->buffers[2]);
    CHECK(std::string(bytes + offsets[4], bytes + offsets[5]) == "id-4");
}

TEST(std_threads_share_a_reader) {
    const check_path_text path = check_path();
    table_make(path.text, 100);
    rds_reader *reader = table_reader(path.text);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([reader] {
            for (uint64_t row = 0; row < 100; ++row) CHECK(table_row_is(reader, row, row));
        });
    }
    for (std::thread &thread : threads) thread.join();
    CHECK_OK(rds_reader_close(reader));
}

static int count_calls(void *user_data, uint64_t, uint64_t) {
    ++*static_cast<int *>(user_data);
    return 0;
}

TEST(a_lambda_is_a_callback) {
    const check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    int calls = 0;
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    options.progress = count_calls;
    options.user_data = &calls;
    CHECK_OK(table_write(writer, 0, 5));
    CHECK_OK(rds_commit(writer, &options, nullptr));
    options.progress = [](void *, uint64_t, uint64_t) { return 0; };
    CHECK_OK(rds_commit(writer, &options, nullptr));
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_set_log_callback(RDS_LOG_WARN, [](void *, uint32_t, const char *, const char *) {},
                                  nullptr));
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, nullptr, nullptr));
}

CHECK_MAIN(RUN(init_macros_initialise), RUN(handles_live_in_unique_pointers),
           RUN(vectors_and_strings_go_in_and_come_out), RUN(spans_are_walked_and_refreshed),
           RUN(tensors_and_ids_live_in_unique_pointers), RUN(std_threads_share_a_reader),
           RUN(a_lambda_is_a_callback))
