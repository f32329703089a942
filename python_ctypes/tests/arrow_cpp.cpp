// Arrow C++ on the other side: its batches and streams go in, those of librds come out and are valid for it.
#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/c/bridge.h>
#include <arrow/extension/fixed_shape_tensor.h>
#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <arrow/tensor.h>
#include <arrow/util/align_util.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "rds.hpp"

using arrow::RecordBatch;
using Rows = std::vector<std::uint64_t>;

constexpr std::int32_t kVector = 6, kMask = 3;
constexpr std::int64_t kBatch = 20;

static std::string id_of(std::uint64_t row) { return "id-" + std::to_string(row); }
static float value_of(std::uint64_t row, std::int64_t i) {
    return static_cast<float>(static_cast<std::int64_t>(row) * 10 + i);
}
static bool mask_of(std::uint64_t row, std::int64_t i) { return (row * 5 + static_cast<std::uint64_t>(i)) % 7 < 3; }
static std::int32_t label_of(std::uint64_t row) { return 100 + static_cast<std::int32_t>(row); }

static Rows count_up(std::uint64_t first, std::uint64_t count) {
    Rows rows;
    for (std::uint64_t row = first; row < first + count; ++row) rows.push_back(row);
    return rows;
}

// A check of what Arrow C++ says.
static bool holds(const arrow::Status &status, const char *file, int line) {
    return status.ok() || check_fail(file, line, status.ToString().c_str());
}
#define CHECK_ARROW(status) holds((status), __FILE__, __LINE__)

// What a test cannot go on without.
static void must(const arrow::Status &status) {
    if (!status.ok()) status.Abort();
}

// ---- Batches of Arrow C++ -------------------------------------------------------------------------

template <class Builder, class Value>
static std::shared_ptr<arrow::Array> built(const Rows &rows, std::int64_t each, Value value) {
    Builder builder;
    for (const std::uint64_t row : rows) {
        for (std::int64_t i = 0; i < each; ++i) must(builder.Append(value(row, i)));
    }
    return builder.Finish().ValueOrDie();
}

static std::shared_ptr<arrow::Array> lists(const std::shared_ptr<arrow::Array> &values, std::int32_t each) {
    return arrow::FixedSizeListArray::FromArrays(values, each).ValueOrDie();
}

static std::shared_ptr<arrow::Array> vectors(const Rows &rows) {
    return built<arrow::FloatBuilder>(rows, kVector, value_of);
}
static std::shared_ptr<arrow::Array> masks(const Rows &rows) {
    return built<arrow::BooleanBuilder>(rows, kMask, mask_of);
}

template <class Builder = arrow::StringBuilder>
static std::shared_ptr<arrow::Array> ids(const Rows &rows) {
    return built<Builder>(rows, 1, [](std::uint64_t row, std::int64_t) { return id_of(row); });
}

static std::shared_ptr<RecordBatch> batch_of(const std::vector<std::shared_ptr<arrow::Array>> &columns) {
    static const char *const names[] = {"object_id", "vector", "mask", "label"};
    arrow::FieldVector fields;
    for (std::size_t i = 0; i < columns.size(); ++i) fields.push_back(arrow::field(names[i], columns[i]->type()));
    return RecordBatch::Make(arrow::schema(fields), columns[0]->length(), columns);
}

static std::shared_ptr<RecordBatch> make_batch(const Rows &rows) {
    const auto label = [](std::uint64_t row, std::int64_t) { return label_of(row); };
    return batch_of({ids(rows), lists(vectors(rows), kVector), lists(masks(rows), kMask),
                     built<arrow::Int32Builder>(rows, 1, label)});
}

static void write(rds::Writer &writer, const RecordBatch &batch, rds::error *failure = nullptr) {
    rds::Schema schema;
    rds::Array array;
    must(arrow::ExportRecordBatch(batch, array.get(), schema.get()));
    writer.write_batch(*schema, std::move(array), failure);
}

static std::uint64_t write_stream(rds::Writer &writer, std::shared_ptr<arrow::RecordBatchReader> reader,
                                  rds::error *failure = nullptr) {
    rds::Stream stream;
    must(arrow::ExportRecordBatchReader(std::move(reader), stream.get()));
    return writer.write_stream(std::move(stream), {}, failure);
}

// The numbers of a batch, alive as long as anything has it.
static std::weak_ptr<arrow::Buffer> memory_of(const RecordBatch &batch) {
    return batch.column(1)->data()->child_data[0]->buffers[1];
}

// ---- What is read ---------------------------------------------------------------------------------

static const arrow::FixedSizeListArray &list_of(const RecordBatch &batch, const char *name) {
    const std::shared_ptr<arrow::Array> column = batch.GetColumnByName(name);
    const auto *extension = dynamic_cast<const arrow::ExtensionArray *>(column.get());
    return dynamic_cast<const arrow::FixedSizeListArray &>(extension ? *extension->storage() : *column);
}

// Whether it is valid, and the rows are these.
static bool check_batch(const RecordBatch &batch, const Rows &rows) {
    if (!CHECK_ARROW(batch.ValidateFull()) || !CHECK_NUMBER(batch.num_rows(), rows.size())) return false;
    const auto &ids = dynamic_cast<const arrow::StringArray &>(*batch.GetColumnByName("object_id"));
    const auto &vector = list_of(batch, "vector"), &mask = list_of(batch, "mask"), &label = list_of(batch, "label");
    const auto &numbers = dynamic_cast<const arrow::FloatArray &>(*vector.values());
    const auto &bits = dynamic_cast<const arrow::BooleanArray &>(*mask.values());
    const auto &labels = dynamic_cast<const arrow::Int32Array &>(*label.values());
    // Kernels of Arrow C++ load whole numbers.
    std::vector<bool> unaligned;
    bool same = CHECK(arrow::util::CheckAlignment(batch, arrow::util::kValueAlignment, &unaligned));
    for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
        const std::uint64_t row = rows[static_cast<std::size_t>(i)];
        same = same && ids.GetView(i) == id_of(row) && labels.Value(label.value_offset(i)) == label_of(row);
        const std::int64_t number = vector.value_offset(i), bit = mask.value_offset(i);
        for (std::int32_t j = 0; j < kVector; ++j) same = same && numbers.Value(number + j) == value_of(row, j);
        for (std::int32_t j = 0; j < kMask; ++j) same = same && bits.Value(bit + j) == mask_of(row, j);
    }
    return CHECK(same);
}

static std::shared_ptr<RecordBatch> take(const rds::Reader &reader, const Rows &rows, const rds::Select &select = {}) {
    rds::Batch taken = reader.take(rows, select);
    auto batch = arrow::ImportRecordBatch(taken.array.get(), taken.schema.get()).ValueOrDie();
    CHECK(!taken.array && !taken.schema);
    return batch;
}

static std::shared_ptr<arrow::RecordBatchReader> stream(const rds::Reader &reader, const rds::StreamOptions &options) {
    rds::Stream stream = reader.stream(options);
    return arrow::ImportRecordBatchReader(stream.get()).ValueOrDie();
}

static void check_table(const char *path, const Rows &rows) {
    const rds::Reader reader = rds::Reader::open(path);
    if (!CHECK_NUMBER(reader.size(), rows.size())) return;
    check_batch(*take(reader, count_up(0, rows.size())), rows);
    std::size_t done = 0;
    const auto batches = stream(reader, {{}, 0, 0, 7});
    for (const auto &next : *batches) {
        const std::shared_ptr<RecordBatch> batch = next.ValueOrDie();
        const std::size_t size = std::min<std::size_t>(static_cast<std::size_t>(batch->num_rows()), rows.size() - done);
        check_batch(*batch, Rows(rows.data() + done, rows.data() + done + size));
        done += size;
    }
    CHECK_NUMBER(done, rows.size());
}

static rds::Reader table(const char *path) {
    rds::Writer writer = rds::Writer::open(path);
    write(writer, *make_batch(count_up(0, kBatch)));
    writer.close();
    return rds::Reader::open(path);
}

// ---- In -------------------------------------------------------------------------------------------

TEST(batches_go_in_and_are_released) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    for (std::uint64_t first : {0, 20, 40}) {
        std::shared_ptr<RecordBatch> batch = make_batch(count_up(first, 20));
        const auto memory = memory_of(*batch);
        write(writer, *batch);
        CHECK(!memory.expired());
        batch.reset();
        CHECK(memory.expired());
    }
    writer.close();
    check_table(path.text, count_up(0, 60));
}

TEST(parts_of_batches_go_in) {
    const check_path_text path = check_path();
    const Rows rows = count_up(0, kBatch), part = count_up(3, 9);
    const std::shared_ptr<RecordBatch> batch = make_batch(rows);
    rds::Writer writer = rds::Writer::open(path.text);
    write(writer, *batch->Slice(3, 9));
    // Lists over a part of the numbers, and a part of these.
    const auto inner = batch_of({ids(rows)->Slice(3, 9), lists(vectors(rows)->Slice(3 * kVector), kVector)->Slice(0, 9),
                                 lists(masks(rows)->Slice(1 * kMask), kMask)->Slice(2, 9),
                                 batch->column(3)->Slice(1)->Slice(2, 9)});
    write(writer, *inner);
    write(writer, *inner->Slice(4, 0));
    // A struct that begins within its columns.
    rds::Schema schema;
    rds::Array array;
    const auto whole = batch->Slice(1)->ToStructArray().ValueOrDie();
    must(arrow::ExportArray(*whole->Slice(2, 9), array.get(), schema.get()));
    CHECK_NUMBER(array->offset, 2);
    writer.write_batch(*schema, std::move(array));
    writer.close();
    Rows expected = part;
    for (int i = 0; i < 2; ++i) expected.insert(expected.end(), part.begin(), part.end());
    check_table(path.text, expected);
}

TEST(streams_go_in) {
    const check_path_text path = check_path();
    const std::vector<std::shared_ptr<RecordBatch>> batches = {
        make_batch(count_up(0, 20)), make_batch({}), make_batch(count_up(10, 30))->Slice(10, 15)};
    rds::Writer writer = rds::Writer::open(path.text);
    CHECK_NUMBER(write_stream(writer, arrow::RecordBatchReader::Make(batches).ValueOrDie()), 35);
    const auto table = arrow::Table::FromRecordBatches({make_batch(count_up(35, 40))}).ValueOrDie();
    const auto chunks = std::make_shared<arrow::TableBatchReader>(*table);
    chunks->set_chunksize(16);
    CHECK_NUMBER(write_stream(writer, chunks), 40);
    writer.close();
    check_table(path.text, count_up(0, 75));
}

// Ends with a failure.
class Failing : public arrow::RecordBatchReader {
public:
    std::shared_ptr<arrow::Schema> schema() const override { return batch_->schema(); }
    arrow::Status ReadNext(std::shared_ptr<RecordBatch> *batch) override {
        if (done_++ == 1) return arrow::Status::IOError("the source is gone");
        *batch = batch_;
        return arrow::Status::OK();
    }

private:
    std::shared_ptr<RecordBatch> batch_ = make_batch(count_up(0, kBatch));
    int done_ = 0;
};

TEST(of_a_stream_that_fails_the_batches_before_stay) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    auto reader = std::make_shared<Failing>();
    const std::weak_ptr<Failing> alive = reader;
    rds::error failure;
    write_stream(writer, std::move(reader), &failure);
    CHECK_STATUS(failure.status(), RDS_ERR_STREAM);
    CHECK_CONTAINS(failure.what(), "the source is gone");
    CHECK(alive.expired());
    writer.close();
    check_table(path.text, count_up(0, kBatch));
}

TEST(ids_of_every_kind_go_in) {
    const Rows rows = count_up(0, kBatch);
    const auto number = [](std::uint64_t row, std::int64_t) { return static_cast<std::int64_t>(row); };
    for (const auto &column : {ids<arrow::LargeStringBuilder>(rows), ids<arrow::StringViewBuilder>(rows),
                               ids<arrow::BinaryBuilder>(rows), built<arrow::Int64Builder>(rows, 1, number)}) {
        const check_path_text path = check_path();
        rds::Writer writer = rds::Writer::open(path.text);
        write(writer, *batch_of({column->Slice(4, 3), lists(vectors(rows), kVector)->Slice(4, 3)}));
        writer.close();
        const rds::Reader reader = rds::Reader::open(path.text);
        rds::Batch exported = reader.ids(1, 2);
        const auto got = arrow::ImportArray(exported.array.get(), exported.schema.get()).ValueOrDie();
        CHECK_ARROW(got->ValidateFull());
        const std::string expected = column->type_id() == arrow::Type::INT64 ? "6" : "id-6";
        CHECK(dynamic_cast<const arrow::LargeStringArray &>(*got).GetView(1) == expected);
    }
}

TEST(a_null_is_refused_and_one_outside_of_a_part_is_none) {
    const check_path_text path = check_path();
    const Rows rows = count_up(0, 3);
    arrow::StringBuilder names;
    must(names.AppendNull());
    must(names.AppendValues({"id-1", "id-2"}));
    const auto batch = batch_of({names.Finish().ValueOrDie(), lists(vectors(rows), kVector), lists(masks(rows), kMask),
                                 make_batch(rows)->column(3)});
    rds::Writer writer = rds::Writer::open(path.text);
    rds::error failure;
    write(writer, *batch, &failure);
    CHECK_STATUS(failure.status(), RDS_ERR_INVALID_ARGUMENT);
    write(writer, *batch->Slice(1));
    writer.close();
    check_table(path.text, {1, 2});
}

TEST(tensors_of_a_fixed_shape_go_in_and_out) {
    const check_path_text path = check_path();
    const Rows rows = count_up(0, kBatch);
    const auto type = arrow::extension::fixed_shape_tensor(arrow::float32(), {2, 3});
    const auto column = arrow::ExtensionType::WrapArray(type, lists(vectors(rows), kVector));
    const auto plain = make_batch(rows);
    const auto batch = batch_of({plain->column(0), column, plain->column(2), plain->column(3)});
    rds::Writer writer = rds::Writer::open(path.text);
    write(writer, *batch->Slice(0, 8));
    write(writer, *batch->Slice(8));
    writer.close();
    check_table(path.text, rows);

    rds::Reader reader = rds::Reader::open(path.text);
    CHECK_NUMBER(reader.column("vector").shape().size(), 2);
    const auto taken = take(reader, {7, 19}, {{}, RDS_SELECT_FIXED_SHAPE_TENSOR});
    check_batch(*taken, {7, 19});
    if (!CHECK(taken->GetColumnByName("vector")->type()->Equals(*type))) return;
    using Tensors = arrow::extension::FixedShapeTensorArray;
    const auto &tensors = dynamic_cast<const Tensors &>(*taken->GetColumnByName("vector"));
    const auto tensor = tensors.ToTensor().ValueOrDie();
    CHECK(tensor->shape() == std::vector<std::int64_t>({2, 2, 3}));
    CHECK_NUMBER(tensor->Value<arrow::FloatType>({1, 1, 2}), value_of(19, 5));

    const check_path_text other = check_path();
    rds::Writer copy = rds::Writer::open(other.text);
    CHECK_NUMBER(write_stream(copy, stream(reader, {{{}, RDS_SELECT_FIXED_SHAPE_TENSOR}})), kBatch);
    copy.close();
    check_table(other.text, rows);
    CHECK_NUMBER(rds::Reader::open(other.text).column("vector").shape()[1], 3);
}

TEST(kept_batches_are_released_when_the_writer_closes) {
    const check_path_text path = check_path();
    rds::WriterOptions options;
    options.flags = RDS_WRITER_ALIAS_ARROW;
    rds::Writer writer = rds::Writer::open(path.text, options);
    std::shared_ptr<RecordBatch> batch = make_batch(count_up(0, kBatch));
    const auto memory = memory_of(*batch);
    write(writer, *batch->Slice(5));
    batch.reset();
    writer.close();
    CHECK(memory.expired());
    check_table(path.text, count_up(5, kBatch - 5));
}

// ---- Out ------------------------------------------------------------------------------------------

TEST(what_comes_out_has_the_schema_that_is_told) {
    const check_path_text path = check_path();
    const rds::Reader reader = table(path.text);
    for (const std::uint32_t flags : {0U, RDS_SELECT_NO_IDS, RDS_SELECT_FIXED_SHAPE_TENSOR}) {
        rds::Schema told = reader.schema({{}, flags});
        const auto schema = arrow::ImportSchema(told.get()).ValueOrDie();
        CHECK(stream(reader, {{{}, flags}})->schema()->Equals(*schema, true));
        CHECK(take(reader, {1}, {{}, flags})->schema()->Equals(*schema, true));
        rds::Array one = reader.get(reader.column("mask"), 11);
        const auto row = arrow::ImportArray(one.get(), arrow::fixed_size_list(arrow::boolean(), kMask)).ValueOrDie();
        CHECK_ARROW(row->ValidateFull());
        CHECK(row->Equals(*list_of(*make_batch({11}), "mask").Slice(0)));
    }
}

TEST(any_rows_come_out_and_none) {
    const check_path_text path = check_path();
    const rds::Reader reader = table(path.text);
    check_batch(*take(reader, {19, 3, 3, 0}), {19, 3, 3, 0});
    check_batch(*take(reader, {}), {});
    rds::StreamOptions options{{}, 0, 0, 2, {19, 3, 3}};
    const auto batches = stream(reader, options)->ToRecordBatches().ValueOrDie();
    if (CHECK_NUMBER(batches.size(), 2)) check_batch(*batches[0], {19, 3}), check_batch(*batches[1], {3});
    options = {{}, kBatch};
    const auto none = stream(reader, options)->ToTable().ValueOrDie();
    CHECK_ARROW(none->ValidateFull());
    CHECK(none->num_rows() == 0 && none->num_columns() == 4);
}

TEST(what_came_out_outlives_reader_and_files) {
    const check_path_text path = check_path();
    rds::Reader reader = table(path.text);
    std::shared_ptr<RecordBatch> taken = take(reader, {4, 2});
    std::shared_ptr<arrow::RecordBatchReader> batches = stream(reader, {{}, 0, 0, 12});
    std::shared_ptr<RecordBatch> first = batches->Next().ValueOrDie();
    reader.close();
    check_remove(path.text);
    check_batch(*taken, {4, 2});
    check_batch(*first, count_up(0, 12));
    // The rest of a stream, on another thread, and a part of a batch when the others are released.
    std::shared_ptr<RecordBatch> rest;
    std::thread([&] { rest = batches->Next().ValueOrDie(), batches.reset(), taken.reset(); }).join();
    const std::shared_ptr<RecordBatch> part = first->Slice(5, 3);
    const auto vector = rest->GetColumnByName("vector");
    first.reset();
    check_batch(*rest, count_up(12, 8));
    rest.reset();
    check_batch(*part, count_up(5, 3));
    CHECK(vector->Equals(*lists(vectors(count_up(12, 8)), kVector)));
}

CHECK_MAIN(RUN(batches_go_in_and_are_released), RUN(parts_of_batches_go_in), RUN(streams_go_in),
           RUN(of_a_stream_that_fails_the_batches_before_stay), RUN(ids_of_every_kind_go_in),
           RUN(a_null_is_refused_and_one_outside_of_a_part_is_none), RUN(tensors_of_a_fixed_shape_go_in_and_out),
           RUN(kept_batches_are_released_when_the_writer_closes), RUN(what_comes_out_has_the_schema_that_is_told),
           RUN(any_rows_come_out_and_none), RUN(what_came_out_outlives_reader_and_files))
