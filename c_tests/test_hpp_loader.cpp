// Batches through rds.hpp: typed, released by themselves, for one epoch after the other, into memory of the loader or
// of the caller.
#define _DEFAULT_SOURCE
#include <algorithm>
#include <stdexcept>
#include <thread>
#include <vector>

#include "hpp.h"
#include "loader_gate.h"

static_assert(!std::is_copy_constructible_v<rds::Loader> && std::is_nothrow_move_constructible_v<rds::Loader>, "moved");
static_assert(!std::is_copy_constructible_v<rds::LoaderBatch> && std::is_nothrow_destructible_v<rds::LoaderBatch>, "");
static_assert(std::is_nothrow_move_assignable_v<rds::LoaderBatch>, "");

static rds::LoaderOptions options_of(std::uint64_t batch_rows) {
    rds::LoaderOptions options;
    options.batch_rows = batch_rows;
    return options;
}

// The rows of hpp_table() of a batch.
static bool is_right(const rds::LoaderBatch &batch) {
    const rds::Strided<float> rows = batch.column<float>(0);
    if (rows.size() != batch.size() || batch.rows().size() != batch.size()) return false;
    for (std::uint64_t i = 0; i < batch.size(); ++i) {
        const std::vector<float> expected = hpp_values(batch.rows()[i], 1);
        if (!std::equal(rows[i].begin(), rows[i].end(), expected.begin(), expected.end())) return false;
    }
    return true;
}

TEST(an_epoch_is_gone_through_and_then_the_next_one) {
    const check_path_text path = check_path();
    rds::Reader reader = hpp_table(path.text, 20);
    rds::LoaderOptions options = options_of(6);
    options.seed = 5;
    rds::Loader loader = rds::Loader::open(reader, options);
    reader.close();
    CHECK(loader && loader.columns().size() == 1 && loader.columns()[0].name() == "data");
    std::vector<std::vector<std::uint64_t>> epochs(3);
    for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
        std::vector<std::uint64_t> &rows = epochs[epoch];
        for (rds::LoaderBatch &batch : loader.batches()) {
            CHECK(batch && batch.epoch() == epoch && batch.consumed() == rows.size() && batch.pad_rows() == 0);
            CHECK(batch.step_rows() == batch.size() && batch.size() == (rows.size() == 18 ? 2 : 6) && is_right(batch));
            CHECK(batch.get().column_count == 1 && batch.tables().empty());
            CHECK_NUMBER(loader.stats().lent, 1);
            rows.insert(rows.end(), batch.rows().begin(), batch.rows().end());
            // It is the caller's.
            batch.column<float>(0)[0][1] = -1;
        }
        CHECK_NUMBER(loader.stats().lent, 0);
        CHECK_NUMBER(loader.stats().epoch, epoch + 1);
    }
    CHECK(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
    for (std::vector<std::uint64_t> &rows : epochs) std::sort(rows.begin(), rows.end());
    CHECK(epochs[0] == hpp_rows(0, 20) && epochs[1] == epochs[0] && epochs[2] == epochs[0]);
    std::uint64_t count = 0;
    while (const rds::LoaderBatch batch = loader.next()) count += batch.size();
    CHECK(count == 20 && !rds::LoaderBatch() && rds::LoaderBatch().empty());
}

TEST(a_batch_is_released_when_it_is_gone) {
    const check_path_text path = check_path();
    rds::LoaderOptions options = options_of(2);
    rds::Loader loader = rds::Loader::open(hpp_table(path.text, 100), options);
    {
        rds::LoaderBatch first = loader.next(), second = loader.next();
        CHECK_NUMBER(loader.stats().lent, 2);
        rds::LoaderBatch moved = std::move(first);
        CHECK(!first && first.empty() && first.rows().empty() && moved && is_right(moved));
        CHECK_NUMBER(loader.stats().lent, 2);
        rds::LoaderBatch &same = moved;
        moved = std::move(same);
        CHECK(moved && is_right(moved));
        moved = std::move(second);
        CHECK(moved.consumed() == 2 && is_right(moved));
        CHECK_NUMBER(loader.stats().lent, 1);
        first = loader.next();
        first.release();
        CHECK(!first && first.get().buffer == 0);
        first.release();
        CHECK_NUMBER(loader.stats().lent, 1);
    }
    CHECK_NUMBER(loader.stats().lent, 0);
    // What is moved out of a walk outlives its turn.
    std::vector<rds::LoaderBatch> kept;
    for (rds::LoaderBatch &batch : loader.batches()) {
        kept.push_back(std::move(batch));
        if (kept.size() == 5) break;
    }
    CHECK_NUMBER(loader.stats().lent, 5);
    rds::Loader taken = std::move(loader);
    CHECK(std::all_of(kept.begin(), kept.end(), is_right));
    kept.clear();
    CHECK_NUMBER(taken.stats().lent, 0);
    // One that outlives the loader, too.
    rds::LoaderBatch late = taken.next(), later = taken.next();
    taken = rds::Loader();
    CHECK_TELLS(late.release(&failure), RDS_ERR_INVALID_HANDLE, "rds_loader_release: ");
    CHECK(!late);
}

TEST(columns_have_the_type_that_is_asked_for) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    const std::vector<std::array<float, 3>> vectors = {{0, 1, 2}, {10, 11, 12}, {20, 21, 22}, {30, 31, 32}};
    const std::vector<std::int64_t> labels = {5, 6, 7, 8};
    const bool flags[4][2] = {{true, false}, {false, false}, {true, true}, {false, true}};
    writer.write({0, 1, 2, 3}, {{"vector", vectors}, {"label", labels}, {"flags", flags}});
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    rds::LoaderOptions options = options_of(3);
    options.order = RDS_ORDER_IN_ORDER;
    options.columns = {2, 0, 1};
    rds::Loader loader = rds::Loader::open(reader, options);
    CHECK(loader.columns().size() == 3 && loader.columns()[1].name() == "vector");
    const rds::LoaderBatch batch = loader.next();
    const rds::Strided<float> vector = batch.column<float>(1);
    CHECK(vector && vector.size() == 3 && vector.elements() == 3 && vector.stride() == 12);
    CHECK(vector.values().size() == 9 && vector.data() == vector.values().data() && vector[2][1] == 21);
    float sum = 0;
    for (const rds::span<float> row : vector) sum += row[0];
    CHECK_NUMBER(sum, 30);
    CHECK(batch.column<bool>(0)[2][1] && batch.column<std::uint8_t>(0)[0][1] == 0);
    CHECK(batch.column<std::int64_t>(2)[1][0] == 6 && batch.column<std::byte>(2).elements() == 8);
    CHECK_THROWS(batch.column<double>(1), RDS_ERR_SCHEMA_MISMATCH,
                 "rds::LoaderBatch::column: column \"vector\": its dtype is float32, asked for as float64");
    CHECK_TELLS(batch.column<int>(2, &failure), RDS_ERR_SCHEMA_MISMATCH, "its dtype is int64, asked for as int32");
    CHECK_THROWS(batch.column<float>(3), RDS_ERR_INVALID_ARGUMENT, "there is no column 3 of the batch, which has 3");
    rds::error failure(RDS_ERR_IO, "from before");
    CHECK(batch.column<float>(1, &failure)[0][2] == 2 && !failure);
    options.columns.emplace();
    rds::Loader numbers = rds::Loader::open(reader, options);
    const rds::LoaderBatch rows = numbers.next();
    CHECK(numbers.columns().empty() && rows.rows()[2] == 2 && rows.get().columns == nullptr);
    CHECK_THROWS(rows.column<float>(0), RDS_ERR_INVALID_ARGUMENT, "there is no column 0 of the batch, which has 0");
}

struct Record {
    std::int32_t label;
    float vector[3];
};

TEST(batches_go_to_records_of_the_caller) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    std::vector<Record> written(50);
    for (int i = 0; i < 50; ++i) written[static_cast<std::size_t>(i)] = {i, {i + 0.5F, 1, 2}};
    writer.write(hpp_rows(0, 50), {{"label", written, &Record::label}, {"vector", written, &Record::vector}});
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    const rds::Column label = reader.column("label"), vector = reader.column("vector");
    std::vector<Record> ring[2] = {std::vector<Record>(8), std::vector<Record>(8)};
    rds::LoaderOptions options = options_of(8);
    options.columns = {vector.number(), label.number()};
    for (std::vector<Record> &records : ring) {
        options.targets.emplace_back(vector, records, &Record::vector);
        options.targets.emplace_back(label, records, &Record::label);
    }
    rds::Loader loader = rds::Loader::open(reader, options);
    std::uint64_t rows = 0, wrong = 0;
    for (const rds::LoaderBatch &batch : loader.batches()) {
        const rds::Strided<std::int32_t> labels = batch.column<std::int32_t>(1);
        const auto *records = reinterpret_cast<const Record *>(labels.data());
        CHECK(records == ring[0].data() || records == ring[1].data());
        CHECK(labels.stride() == sizeof(Record) && labels.values().empty() && labels.elements() == 1);
        for (std::uint64_t i = 0; i < batch.size(); ++i, ++rows) {
            wrong += labels[i][0] != static_cast<std::int32_t>(batch.rows()[i]) || records[i].label != labels[i][0];
            wrong += batch.column<float>(0)[i][0] != static_cast<float>(batch.rows()[i]) + 0.5F;
        }
    }
    CHECK(rows == 50 && wrong == 0);
    // Where nothing is aligned there are bytes to look at.
    std::vector<std::byte> bytes(8 * 12 + 1), others(8 * 4 + 1);
    options.targets = {{vector, bytes.data() + 1, 8 * 12}, {label, others.data() + 1, 8 * 4}};
    loader = rds::Loader::open(reader, options);
    const rds::LoaderBatch batch = loader.next();
    CHECK(!batch.column<float>(0) && batch.column<float>(0).size() == 8 && batch.column<float>(0).values().empty());
    CHECK(batch.column<std::byte>(0).values().data() == bytes.data() + 1);
    std::vector<double> doubles(24);
    options.targets = {{vector, doubles}, {label, written, &Record::label}};
    CHECK_THROWS(rds::Loader::open(reader, options), RDS_ERR_SCHEMA_MISMATCH,
                 "rds::Loader::open: column \"vector\": its dtype is float32, asked for as float64");
    const check_path_text other_path = check_path();
    CHECK_THROWS(rds::Loader::open(hpp_table(other_path.text, 9), options), RDS_ERR_INVALID_ARGUMENT,
                 "rds::Loader::open: the column is one of another reader");
    rds::error failure;
    CHECK(!rds::Loader::open(reader, options, &failure) && failure.argument() == 1);
}

TEST(every_option_arrives) {
    const check_path_text path = check_path(), other_path = check_path();
    const rds::Reader reader = hpp_table(path.text, 30), other = hpp_table(other_path.text, 40);
    rds::LoaderOptions options;
    options.global_batch_rows = 20, options.rank = 1, options.world_size = 2, options.worker = 2;
    options.worker_count = 3, options.flags = RDS_LOADER_WHOLE_STEPS, options.tail = RDS_TAIL_PAD, options.epoch = 6;
    options.seed = 3, options.clump_rows = 2, options.rows = {7, 3, 3}, options.epoch_rows = 110, options.ahead = 3;
    options.others = {{&other}, {&other, {{9, 8}}}, {&other, {}, 10, 20}};
    options.weights = {{6, 0, {1, 1, 1, 1}}, {6, 56, {0, 1, 0, 0}}};
    rds::Loader loader = rds::Loader::open(reader, options);
    rds_load_stats stats = loader.stats();
    CHECK(stats.epoch == 6 && stats.epoch_rows == 110 && stats.epoch_steps == 6 && stats.batch_rows == 10);
    CHECK_NUMBER(stats.ahead, 3);
    rds::LoaderBatch batch = loader.next();
    CHECK(batch.consumed() == 40 && batch.size() == 10 && batch.step_rows() == 20 && is_right(batch));
    std::vector<std::uint64_t> counts(4);
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const std::uint64_t row = batch.rows()[i];
        ++counts[batch.tables()[i]];
        CHECK(batch.tables()[i] != 0 || row == 7 || row == 3);
        CHECK(batch.tables()[i] != 2 || row == 9 || row == 8);
        CHECK(batch.tables()[i] != 3 || (row >= 10 && row < 30));
    }
    CHECK(*std::min_element(counts.begin(), counts.end()) >= 1);
    for (std::size_t i = 6; i < 10; ++i) CHECK_NUMBER(batch.tables()[i], 1);
    batch = loader.next();
    CHECK(batch.consumed() == 100 && batch.pad_rows() == 10 && batch.size() == 10);
    CHECK(!loader.next() && loader.next().epoch() == 7);
    // A list without a row is none of all rows; and a range.
    options = options_of(4);
    options.rows.emplace();
    CHECK(!rds::Loader::open(reader, options).next());
    options = options_of(4), options.first_row = 5, options.row_count = 3, options.order = RDS_ORDER_IN_ORDER;
    options.max_bytes = 200, options.threads = 2;
    loader = rds::Loader::open(reader, options);
    batch = loader.next();
    CHECK(batch.size() == 3 && batch.rows()[0] == 5 && is_right(batch));
    // Without a table.
    options = options_of(4), options.row_count = 6, options.clump_rows = 6;
    loader = rds::Loader::open(options);
    CHECK(loader.next().rows()[3] == 3 && loader.next().rows().size() == 2 && !loader.next());
    CHECK_THROWS(rds::Loader::open(options_of(4)), RDS_ERR_INVALID_ARGUMENT, "rds_loader_open: ");
    CHECK_THROWS(rds::Loader::open(rds::Reader(), options), RDS_ERR_INVALID_HANDLE, "");
}

TEST(a_state_is_where_another_loader_goes_on) {
    const check_path_text path = check_path();
    const rds::Reader reader = hpp_table(path.text, 50);
    rds::Loader loader = rds::Loader::open(reader, options_of(8)), other = rds::Loader::open(reader, options_of(5));
    for (int i = 0; i < 3; ++i) loader.next();
    const rds_position position = loader.state();
    const rds::LoaderBatch batch = loader.next();
    other.seek(position);
    const rds::LoaderBatch same = other.next();
    CHECK(same.consumed() == 24 && std::equal(same.rows().begin(), same.rows().end(), batch.rows().begin()));
    other.seek(9, 48);
    CHECK(other.next().size() == 2 && !other.next() && other.next().epoch() == 10);
    other.seek(2);
    CHECK(other.next().epoch() == 2);
    rds_position damaged = position;
    damaged.bytes[20] ^= 1;
    CHECK_THROWS(other.seek(damaged), RDS_ERR_INVALID_ARGUMENT, "rds_loader_seek: position is damaged");
    CHECK_TELLS(other.seek(0, 51, &failure), RDS_ERR_INVALID_ARGUMENT, "rds_loader_seek: ");
}

TEST(failures_are_thrown_or_told) {
    const check_path_text path = check_path();
    const rds::Reader reader = hpp_table(path.text, 50);
    rds::LoaderOptions options = options_of(8);
    options.max_bytes = 400;
    rds::Loader loader = rds::Loader::open(reader, options), closed;
    std::vector<rds::LoaderBatch> kept;
    kept.push_back(loader.next());
    CHECK_THROWS(loader.next(), RDS_ERR_NO_ROOM, "rds_loader_next: ");
    CHECK_TELLS(loader.next(&failure), RDS_ERR_NO_ROOM, "rds_loader_next: ");
    // A walk ends where it fails, and says so.
    rds::error failure;
    int steps = 0;
    for (const rds::LoaderBatch &batch : loader.batches(&failure)) steps += batch ? 1 : 100;
    CHECK(steps == 0 && failure.status() == RDS_ERR_NO_ROOM);
    kept.clear();
    for (rds::LoaderBatch &batch : loader.batches(&failure)) {
        kept.push_back(std::move(batch));
        ++steps;
    }
    CHECK(steps == 1 && failure.status() == RDS_ERR_NO_ROOM);
    CHECK_THROWS(loader.batches().begin(), RDS_ERR_NO_ROOM, "rds_loader_next: ");
    kept.clear();
    for (rds::LoaderBatch &batch : loader.batches(&failure)) steps += batch ? 1 : 100;
    CHECK(steps == 1 + 5 && !failure);
    const auto walk = [&] {
        for (const rds::LoaderBatch &batch : loader.batches()) {
            steps += batch ? 1 : 100;
            loader.close();
        }
    };
    CHECK_THROWS(walk(), RDS_ERR_INVALID_HANDLE, "rds_loader_next: ");
    CHECK(steps == 7 && !loader);
    CHECK_THROWS(closed.next(), RDS_ERR_INVALID_HANDLE, "rds_loader_next: ");
    CHECK_THROWS(closed.state(), RDS_ERR_INVALID_HANDLE, "rds_loader_state: ");
    CHECK_THROWS(closed.seek(0), RDS_ERR_INVALID_HANDLE, "rds_loader_seek: ");
    CHECK_THROWS(closed.stats(), RDS_ERR_INVALID_HANDLE, "rds_loader_stats: ");
    CHECK_THROWS(closed.fd(), RDS_ERR_INVALID_HANDLE, "rds_loader_fd: ");
    CHECK_THROWS(closed.close(), RDS_ERR_INVALID_HANDLE, "rds_loader_close: ");
    options.columns = {7};
    CHECK_THROWS(rds::Loader::open(reader, options), RDS_ERR_INVALID_ARGUMENT, "rds_reader_column_info: ");
    options.columns = {0, 0};
    CHECK_TELLS(rds::Loader::open(reader, options, &failure), RDS_ERR_INVALID_ARGUMENT, "rds_loader_open: ");
}

TEST(what_a_waiting_callback_throws_arrives_at_the_call) {
    const check_path_text path = check_path();
    table_make(path.text, 20);
    const rds::Reader reader = rds::Reader::open(path.text);
    rds_loader_options gated;
    gate_options(&gated, 1, 1);
    rds::LoaderOptions options = options_of(GATE_ROWS);
    const rds_target &target = gate.targets[0];
    options.targets = {{reader.column(), target.data, target.bytes}};
    options.threads = options.ahead = 1;
    bool throws = true;
    int calls = 0;
    options.waiting = [&] { ++calls > 2 && throws ? throw std::length_error("waits no longer") : void(); };
    rds::Loader loader = rds::Loader::open(reader, options), moved;
    REQUIRE(gate_await(loader.handle(), 1));
    rds::error failure;
    for (rds::error *place : {static_cast<rds::error *>(nullptr), &failure}) {
        calls = 0;
        try {
            loader.next(place);
            CHECK(false);
        } catch (const std::length_error &thrown) {
            CHECK_TEXT(thrown.what(), "waits no longer");
        }
        CHECK_NUMBER(calls, 3);
    }
    moved = std::move(loader);
    throws = false;
    gate_open();
    std::uint64_t rows = 0;
    for (const rds::LoaderBatch &batch : moved.batches()) {
        CHECK(batch.consumed() == rows && batch_is_right(&batch.get()));
        rows += batch.size();
    }
    CHECK_NUMBER(rows, 20);
}

TEST(threads_take_their_batches_from_one_loader) {
    const check_path_text path = check_path();
    rds::Loader loader = rds::Loader::open(hpp_table(path.text, 400), options_of(3));
    CHECK(loader.fd() >= 0 && loader.fd() == loader.fd());
    std::atomic<std::uint64_t> wrong{0}, sum{0}, rows{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            while (rows < 400) {
                const rds::LoaderBatch batch = loader.next();
                if (batch.epoch() != 0 || !batch) return;
                wrong += !is_right(batch);
                for (const std::uint64_t row : batch.rows()) sum += row;
                rows += batch.size();
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    CHECK(wrong == 0 && rows == 400 && sum == 399 * 200);
}

CHECK_MAIN(RUN(an_epoch_is_gone_through_and_then_the_next_one), RUN(a_batch_is_released_when_it_is_gone),
           RUN(columns_have_the_type_that_is_asked_for), RUN(batches_go_to_records_of_the_caller),
           RUN(every_option_arrives), RUN(a_state_is_where_another_loader_goes_on), RUN(failures_are_thrown_or_told),
           RUN(what_a_waiting_callback_throws_arrives_at_the_call), RUN(threads_take_their_batches_from_one_loader))
