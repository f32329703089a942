// Whole tables through rds.hpp: Arrow and DLPack, tokens, versions, what runs said, recovery, clean-up, log and library.
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "arrow_stream_in.h"
#include "dlpack.h"
#include "hpp.h"

static rds::WriterOptions mode_of(rds_write_mode mode) {
    rds::WriterOptions options;
    options.mode = mode;
    return options;
}

// Runs first: the runtime starts once.
TEST(the_runtime_is_configured_before_it_runs) {
    CHECK_THROWS(rds::runtime_configure(5000), RDS_ERR_INVALID_ARGUMENT, "rds_runtime_configure: ");
    rds::runtime_configure(2);
    const check_path_text path = check_path();
    hpp_table(path.text, 1);
    CHECK_THROWS(rds::runtime_configure(2), RDS_ERR_INVALID_STATE, "rds_runtime_configure: ");
}

TEST(the_library_says_what_it_is) {
    CHECK_TEXT(rds::version(), RDS_VERSION_STRING);
    CHECK_NUMBER(rds::abi_version(), RDS_ABI_VERSION);
    CHECK_CONTAINS(rds::build_info(), "librds");
    CHECK_TEXT(rds::status_name(RDS_ERR_IO), "RDS_ERR_IO");
    rds::check_abi();
}

TEST(batches_of_arrow_go_in_and_are_released_once) {
    const check_path_text path = check_path();
    arrow_batch *batch = batch_new(0), *refused = batch_new(3);
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write_batch(batch->schema[NODE_ROOT], rds::Array(&batch->array[NODE_ROOT]));
    batch_check_released(batch);
    CHECK_TELLS(rds::Writer().write_batch(refused->schema[NODE_ROOT], rds::Array(&refused->array[NODE_ROOT]), &failure),
                RDS_ERR_INVALID_HANDLE, "rds_write_batch: ");
    batch_check_released(refused);
    CHECK_THROWS(writer.write_batch(batch->schema[NODE_ROOT], rds::Array()), RDS_ERR_INVALID_ARGUMENT, "rds_write_batch: ");
    writer.close();
    batch_free(batch), batch_free(refused);
    const rds::Reader reader = rds::Reader::open(path.text);
    CHECK(reader.size() == BATCH_ROWS && reader.id(2) == "id-2");
    CHECK_NUMBER(reader.span<float>(reader.column(), 0)[2][1], table_value(2, 1));
}

static const float *floats_of(const rds::Array &batch, std::int64_t column) {
    const ArrowArray *items = batch->children[column]->children[0];
    return static_cast<const float *>(items->buffers[1]) + items->offset + batch->children[column]->offset * 3;
}

TEST(a_stream_goes_from_one_table_to_another) {
    const check_path_text path = check_path(), other = check_path();
    rds::Reader reader = hpp_table(path.text, 10);
    rds::StreamOptions options;
    options.batch_rows = 4;
    std::uint64_t told = 0;
    rds::Writer writer = rds::Writer::open(other.text);
    const auto progress = [&](std::uint64_t done, std::uint64_t) { told = done; };
    CHECK_NUMBER(writer.write_stream(reader.stream(options), progress), 10);
    CHECK_NUMBER(told, 10);
    options.rows = {7, 7};
    CHECK_NUMBER(writer.write_stream(reader.stream(options)), 2);
    options.rows.clear(), options.select.flags = RDS_STREAM_ROWS;
    CHECK_NUMBER(writer.write_stream(reader.stream(options)), 0);
    const auto throws = [](std::uint64_t, std::uint64_t) { throw std::string("no more"); };
    try {
        writer.write_stream(reader.stream(), throws);
        CHECK(false);
    } catch (const std::string &thrown) {
        CHECK_TEXT(thrown.c_str(), "no more");
    }
    CHECK_THROWS(writer.write_stream(rds::Stream()), RDS_ERR_INVALID_ARGUMENT, "rds_write_stream: ");
    writer.close();
    const rds::Reader copy = rds::Reader::open(other.text);
    CHECK_NUMBER(copy.size(), 22);
    CHECK(copy.read<float>(copy.column(), hpp_rows(0, 10)) == hpp_values(0, 10));
    CHECK(copy.id(11) == "7");

    options = {};
    options.first_row = 2, options.row_count = 5, options.batch_rows = 3;
    options.select = {{0}, RDS_SELECT_NO_IDS};
    rds::Stream stream = reader.stream(options);
    CHECK_NUMBER(stream.schema()->n_children, 1);
    reader.close();
    std::int64_t rows = 0;
    for (rds::Array batch = stream.next(); batch; batch = stream.next()) {
        CHECK_NUMBER(floats_of(batch, 0)[0], 10 * (rows + 2));
        rows += batch->length;
    }
    CHECK_NUMBER(rows, 5);
    CHECK(!stream.next());
    CHECK(!rds::Stream().next() && !rds::Stream().schema());
}

TEST(a_stream_that_fails_says_why) {
    arrow_producer producer = {};
    producer.stream.get_schema = producer_schema, producer.stream.get_next = producer_next;
    producer.stream.get_last_error = producer_error, producer.stream.release = producer_release;
    producer.stream.private_data = &producer;
    producer.error_text = "the disk is gone", producer.schema_code = EIO;
    {
        rds::Stream stream(&producer.stream);
        CHECK(producer.stream.release == nullptr);
        CHECK_THROWS(stream.next(), RDS_ERR_STREAM, "the disk is gone");
        producer.error_text = nullptr;
        CHECK_TELLS(stream.schema(&failure), RDS_ERR_STREAM, "does not say why");
        CHECK_NUMBER(producer.released, 0);
    }
    CHECK_NUMBER(producer.released, 1);
}

TEST(what_arrow_gives_is_owned_once) {
    const check_path_text path = check_path();
    rds::Reader reader = hpp_table(path.text, 10);
    rds::Batch batch = reader.take({3, 1}, {{0}, RDS_SELECT_FIXED_SHAPE_TENSOR});
    const rds::Batch ids = reader.ids(8, 2);
    const rds::Array row = reader.get(reader.column(), 4);
    const rds::Schema schema = reader.schema({{}, RDS_SELECT_NO_TENSORS});
    CHECK_THROWS(reader.take({10}), RDS_ERR_OUT_OF_RANGE, "rds_reader_take: ");
    CHECK_THROWS(reader.schema({{7}}), RDS_ERR_INVALID_ARGUMENT, "rds_reader_schema: ");
    CHECK_TELLS(reader.ids(8, 3, &failure), RDS_ERR_OUT_OF_RANGE, "rds_reader_ids: ");
    reader.close();
    CHECK(batch.array->length == 2 && batch.schema->n_children == 2 && floats_of(batch.array, 1)[3] == 10);
    CHECK_TEXT(ids.schema->format, "U");
    const auto *offsets = static_cast<const std::int64_t *>(ids.array->buffers[1]) + ids.array->offset;
    CHECK(static_cast<const char *>(ids.array->buffers[2])[offsets[1]] == '9');
    CHECK_NUMBER(row->length, 1);
    CHECK_NUMBER(schema->n_children, 1);

    rds::Array moved = std::move(batch.array);
    CHECK(moved && !batch.array && (*moved).length == 2);
    rds::Array &same = moved;
    moved = std::move(same);
    ArrowArray raw = moved.release();
    CHECK(!moved && raw.release != nullptr);
    rds::Array again(&raw);
    CHECK(again && raw.release == nullptr);
    moved = std::move(again);
    moved.reset();
    moved.reset();
    CHECK(!moved && moved.get()->release == nullptr);
}

TEST(a_tensor_of_dlpack_outlives_its_reader) {
    const check_path_text path = check_path();
    rds::Reader reader = hpp_table(path.text, 5);
    auto tensor = reader.dlpack(reader.column(), 1, 3);
    CHECK_THROWS(reader.dlpack(reader.column(), 4, 2), RDS_ERR_OUT_OF_RANGE, "rds_reader_dlpack: ");
    reader.close();
    CHECK(tensor->dl_tensor.ndim == 2 && tensor->dl_tensor.shape[0] == 3 && tensor->dl_tensor.shape[1] == 3);
    CHECK_NUMBER(static_cast<const float *>(tensor->dl_tensor.data)[3], 20);
    const auto moved = std::move(tensor);
    CHECK(tensor == nullptr && moved->flags == DLPACK_FLAG_BITMASK_READ_ONLY);
}

TEST(tokens_of_many_writers_are_published_in_one_version) {
    const check_path_text path = check_path();
    rds::WriterOptions options = mode_of(RDS_MODE_STAGED);
    options.job = "night";
    std::vector<rds::Token> tokens;
    for (options.part = 3; options.part-- > 0;) {
        rds::Writer writer = rds::Writer::open(path.text, options);
        hpp_write(writer, options.part * 2, 2);
        tokens.push_back(writer.stage());
        writer.close();
    }
    CHECK_NUMBER(rds::recover(path.text, RDS_RECOVER_DRY_RUN).staged_runs, 1);
    const rds_commit_info info = rds::commit_staged(path.text, tokens);
    CHECK(info.rows == 6 && info.version > 0);
    const rds::Reader reader = rds::Reader::open(path.text);
    CHECK(reader.read<float>(reader.column(), hpp_rows(0, 6)) == hpp_values(0, 6));
    CHECK_THROWS(rds::commit_staged(path.text, tokens, RDS_MODE_APPEND), RDS_ERR_ALREADY_EXISTS, "rds_commit_staged: ");
    CHECK_THROWS(rds::commit_staged(path.text, {tokens[0], tokens[0]}), RDS_ERR_ALREADY_EXISTS, "rds_commit_staged: ");
    const std::array<std::string, 1> garbage = {{"none"}};
    CHECK_TELLS(rds::commit_staged(path.text, garbage, RDS_MODE_APPEND, &failure), RDS_ERR_INVALID_ARGUMENT, "token");
}

TEST(versions_and_what_their_runs_said_are_read_back) {
    const std::filesystem::path path = check_path().text;
    rds::WriterOptions options;
    options.metadata = {{"model", "resnet"}, {"epoch", "7"}};
    options.columns = {{"embedding", RDS_DTYPE_FLOAT32, {2}}, {"label", RDS_DTYPE_INT64}};
    rds::Writer::open(path, options).close();
    rds::Reader reader = rds::Reader::open(path);
    CHECK(reader.size() == 0 && reader.info().column_count == 2);
    CHECK(reader.column("embedding").shape()[0] == 2 && reader.column("label").shape().empty());
    CHECK(reader.metadata() == rds::Metadata({{"epoch", "7"}, {"model", "resnet"}}));
    CHECK(reader.metadata("model") == "resnet" && !reader.metadata("none"));
    rds::error failure(RDS_ERR_IO, "from before");
    CHECK(!reader.metadata(std::string("none"), &failure) && !failure);
    const std::uint64_t first = reader.info().version;
    rds::Writer writer = rds::Writer::open(path, mode_of(RDS_MODE_APPEND));
    writer.write({"a"}, {{"label", std::vector<std::int64_t>{1}}, {"embedding", std::vector<float>{1, 2}, {1, 2}}});
    writer.flush();
    const rds_write_stats stats = writer.stats();
    CHECK(stats.accepted_rows == 1 && stats.visible_rows == 1 && stats.state == RDS_WRITER_RUNNING);
    CHECK_NUMBER(writer.commit().rows, 1);
    writer.close();
    CHECK(reader.refresh());
    const std::vector<rds_version_info> versions = reader.versions();
    CHECK(versions.size() >= 2 && versions[0].version == first && versions.back().rows == 1);
    rds::ReaderOptions old;
    old.version = first;
    CHECK_NUMBER(rds::Reader::open(path, old).size(), 0);
    old.version = 0;
    old.committed_until = std::chrono::nanoseconds(versions[0].committed_at);
    CHECK_NUMBER(rds::Reader::open(path, old).info().version, first);
    CHECK_NUMBER(rds::Reader::open(path, {0, RDS_ACCESS_AUTO, 0, "object_id"}).find({"a"})[0], 0);
    CHECK_THROWS(rds::Reader::open(path, {0, RDS_ACCESS_AUTO, 0, "label"}), RDS_ERR_SCHEMA_MISMATCH, "column \"label\"");

    sleep_ms(20);
    const rds_vacuum_info dry = rds::vacuum(path, std::chrono::milliseconds(1), RDS_VACUUM_DRY_RUN);
    CHECK(dry.removed_versions > 0 && rds::vacuum(path).removed_versions == 0);
    CHECK_NUMBER(rds::recover(path).recovered_rows, 0);
    CHECK_THROWS(rds::vacuum(path / "none"), RDS_ERR_NOT_FOUND, "rds_vacuum: ");
    CHECK_THROWS(rds::recover(path, 0, "none"), RDS_ERR_NOT_FOUND, "rds_recover: ");
    CHECK_THROWS(rds::Writer::open(path), RDS_ERR_ALREADY_EXISTS, "rds_writer_open: ");
    options = {};
    options.checkpoint = std::chrono::milliseconds(-1);
    options.flags = 1U << 30;
    CHECK_THROWS(rds::Writer::open(check_path().text, options), RDS_ERR_NOT_SUPPORTED, "rds_writer_open: ");
}

static std::atomic<int> messages, malformed;

TEST(log_messages_arrive_until_they_are_no_longer_wanted) {
    const check_path_text path = check_path();
    std::string kept = "kept by the callback";
    rds::set_log_callback(RDS_LOG_TRACE, [kept](rds_log_level level, std::string_view target, std::string_view message) {
        ++messages;
        malformed += kept.empty() || level < RDS_LOG_ERROR || target.empty() || message.empty();
        throw 1;
    });
    hpp_table(path.text, 5);
    CHECK(messages > 0 && malformed == 0);
    rds::set_log_callback(RDS_LOG_OFF, nullptr);
    sleep_ms(100);
    const int before = messages;
    hpp_table(path.text, 5);
    CHECK_NUMBER(messages, before);
    CHECK_THROWS(rds::set_log_callback(static_cast<rds_log_level>(7), nullptr), RDS_ERR_INVALID_ARGUMENT, "");
}

CHECK_MAIN(RUN(the_runtime_is_configured_before_it_runs), RUN(the_library_says_what_it_is),
           RUN(batches_of_arrow_go_in_and_are_released_once), RUN(a_stream_goes_from_one_table_to_another),
           RUN(a_stream_that_fails_says_why), RUN(what_arrow_gives_is_owned_once),
           RUN(a_tensor_of_dlpack_outlives_its_reader), RUN(tokens_of_many_writers_are_published_in_one_version),
           RUN(versions_and_what_their_runs_said_are_read_back),
           RUN(log_messages_arrive_until_they_are_no_longer_wanted))
