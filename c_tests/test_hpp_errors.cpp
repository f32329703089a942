// What fails through rds.hpp is told, thrown or put where it was asked for, and leaves the state that is promised; handles
// are moved, closed once, and closed by themselves; what a callback throws arrives at the call.
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "hpp.h"

static_assert(std::is_base_of_v<std::runtime_error, rds::error>, "an error is caught as what it is");
static_assert(!std::is_copy_constructible_v<rds::Writer> && !std::is_copy_assignable_v<rds::Writer>, "moved only");
static_assert(!std::is_copy_constructible_v<rds::Reader> && !std::is_copy_assignable_v<rds::Reader>, "moved only");
static_assert(std::is_nothrow_move_constructible_v<rds::Writer> && std::is_nothrow_move_assignable_v<rds::Writer>, "");
static_assert(std::is_nothrow_move_constructible_v<rds::Reader> && std::is_nothrow_destructible_v<rds::Reader>, "");
static_assert(!std::is_copy_constructible_v<rds::Array> && std::is_nothrow_move_constructible_v<rds::Array>, "");
static_assert(!std::is_copy_constructible_v<rds::Ids>, "it may point into itself");

TEST(an_error_tells_all_that_the_library_tells) {
    const check_path_text path = check_path();
    try {
        rds::Reader::open(path.text);
        CHECK(false);
    } catch (const rds::error &error) {
        CHECK_NUMBER(error.status(), RDS_ERR_NOT_FOUND);
        CHECK(error.function() == "rds_reader_open" && static_cast<bool>(error) && !error.may_pass());
        CHECK_CONTAINS(error.what(), path.text);
        CHECK_TEXT(error.what(), rds_last_error_message());
        CHECK_TEXT(error.what(), rds::error::last().what());
        const rds::error copy = error;
        CHECK_TEXT(copy.what(), error.what());
    }
    const rds::error none;
    CHECK(!none && none.status() == RDS_OK && none.argument() == -1 && none.function().empty());
    CHECK_TEXT(none.what(), "");
    rds_error told = RDS_ERROR_INIT;
    const rds::error bad = thrown_by([] { rds::Reader::open(nullptr); });
    CHECK_OK(rds_last_error(&told));
    CHECK(bad.status() == RDS_ERR_INVALID_ARGUMENT && bad.argument() == 0 && told.argument == 0);
    CHECK(rds::error(RDS_ERR_NO_ROOM, "f: full", 2, true).may_pass());
}

TEST(an_error_that_is_asked_for_is_not_thrown) {
    const check_path_text path = check_path();
    rds::error failure(RDS_ERR_IO, "from before");
    CHECK(!rds::Reader::open(path.text, {}, &failure));
    CHECK_NUMBER(failure.status(), RDS_ERR_NOT_FOUND);
    rds::Writer writer = rds::Writer::open(path.text, {}, &failure);
    CHECK(writer && !failure);
    CHECK_TEXT(failure.what(), "");
    writer.write({"a"}, {{"data", std::vector<float>{1, 2}, {1, 3}}}, &failure);
    CHECK_TEXT(failure.what(), "rds::Writer::write: tensor \"data\": its shape has 3 elements, the range 2");
    CHECK(failure.status() == RDS_ERR_INVALID_ARGUMENT && failure.argument() == 1);
    CHECK(failure.function() == "rds::Writer::write");
    writer.write({"a"}, {{"data", std::vector<float>{1, 2}}}, &failure);
    CHECK(failure.status() == RDS_ERR_INVALID_ARGUMENT && failure.function() == "rds_write_tensors");
    hpp_write(writer, 0, 1);
    writer.close(&failure);
    CHECK(!failure);
    const rds::Reader reader = rds::Reader::open(path.text);
    CHECK(reader.column("none", &failure).name().empty());
    CHECK_NUMBER(failure.status(), RDS_ERR_NOT_FOUND);
    CHECK(reader.columns(&failure).size() == 1 && !failure);
    CHECK(reader.read<float>(reader.column(), {9}, &failure).empty());
    CHECK_NUMBER(failure.status(), RDS_ERR_OUT_OF_RANGE);
    CHECK(reader.find_all("0", &failure).size() == 1 && !failure);
}

TEST(shapes_that_do_not_fit_their_memory_are_refused) {
    const check_path_text path = check_path();
    const std::vector<float> six(6);
    rds::Writer writer = rds::Writer::open(path.text);
    const auto refused = [&](const rds::Tensor &tensor, const char *part) {
        CHECK_THROWS(writer.write({1, 2}, tensor), RDS_ERR_INVALID_ARGUMENT, part);
    };
    refused({"x", six, {2, 4}}, "tensor \"x\": its shape has 8 elements, the range 6");
    refused({"x", six, {2, -3}}, "no possible number of elements");
    refused({"x", six, {INT64_MAX, INT64_MAX}}, "no possible number of elements");
    refused({"x", six, {2, 3}, {12, 8}}, "tensor \"x\": its shape and strides go beyond the range");
    refused({"x", six, {2, 3}, {12, -4}}, "go beyond the range");
    refused({"x", six, {2, 3}, {12}}, "its shape has 2 dimensions, there are 1 strides");
    refused({"x", six.data(), std::vector<int>(70, 1)}, "rds_write_tensors: ");
    refused({"x", six.data(), {1, 3}}, "rds_write_tensors: ");
    writer.write({1, 2}, {{"x", six, {2, 2}, {12, 4}}});
    writer.close();
    CHECK_NUMBER(rds::Reader::open(path.text).size(), 2);
}

TEST(elements_of_another_type_are_a_mismatch) {
    const check_path_text path = check_path();
    const rds::Reader reader = hpp_table(path.text, 2);
    const rds::Column column = reader.column();
    std::vector<double> doubles(6);
    const char *wrong = "column \"data\": its dtype is float32, asked for as float64";
    CHECK_THROWS(reader.span<double>(column, 0), RDS_ERR_SCHEMA_MISMATCH, wrong);
    CHECK_THROWS(reader.spans<double>(column), RDS_ERR_SCHEMA_MISMATCH, wrong);
    CHECK_THROWS(reader.rows<double>(column), RDS_ERR_SCHEMA_MISMATCH, wrong);
    CHECK_THROWS(reader.read(column, {0}, doubles), RDS_ERR_SCHEMA_MISMATCH, wrong);
    CHECK_THROWS(reader.read(column, {0}, doubles), RDS_ERR_SCHEMA_MISMATCH, "rds::Reader::read: ");
    CHECK_THROWS(reader.read_range(column, 0, 1, doubles), RDS_ERR_SCHEMA_MISMATCH, wrong);
    CHECK_THROWS(reader.read_range(column, 0, 1, doubles), RDS_ERR_SCHEMA_MISMATCH, "rds::Reader::read_range: ");
    CHECK_THROWS(reader.read<std::int32_t>(column, {0}), RDS_ERR_SCHEMA_MISMATCH, "rds::Reader::read: ");
    CHECK_THROWS(reader.gather({0}, {{column, doubles}}), RDS_ERR_SCHEMA_MISMATCH, wrong);
    struct Pair {
        float two[2];
    };
    std::vector<Pair> pairs(2);
    CHECK_THROWS(reader.gather({0}, {{column, pairs, &Pair::two}}), RDS_ERR_SCHEMA_MISMATCH,
                 "column \"data\": a row has 12 bytes, the member 8");
    CHECK_TELLS(reader.rows<double>(column, &failure), RDS_ERR_SCHEMA_MISMATCH, wrong);
    std::vector<float> few(2);
    CHECK_THROWS(reader.read(column, {0}, few), RDS_ERR_INVALID_ARGUMENT, "rds_reader_read: ");
    CHECK_THROWS(reader.gather({0}, {{column, few}}), RDS_ERR_INVALID_ARGUMENT, "rds_reader_gather: ");
    const check_path_text other_path = check_path();
    const rds::Reader other = hpp_table(other_path.text, 2);
    CHECK_THROWS(other.span<float>(column, 0), RDS_ERR_INVALID_ARGUMENT, "the column is one of another reader");
    CHECK_THROWS(other.gather({0}, {{rds::Column(), few.data(), 8}}), RDS_ERR_INVALID_ARGUMENT, "of another reader");
    CHECK_THROWS(other.get(column, 0), RDS_ERR_INVALID_ARGUMENT, "rds::Reader::get: ");
}

TEST(a_handle_that_was_moved_from_or_closed_is_invalid) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    rds::Writer taken = std::move(writer);
    CHECK(!writer && taken && writer.handle() == nullptr);
    CHECK_THROWS(hpp_write(writer, 0, 1), RDS_ERR_INVALID_HANDLE, "rds_write_tensors: ");
    CHECK_THROWS(writer.close(), RDS_ERR_INVALID_HANDLE, "rds_writer_close: ");
    hpp_write(taken, 0, 2);
    rds::Writer &same = taken;
    taken = std::move(same);
    CHECK(static_cast<bool>(taken));
    writer = std::move(taken);
    writer.close();
    CHECK(!writer);
    CHECK_THROWS(writer.close(), RDS_ERR_INVALID_HANDLE, "rds_writer_close: ");
    CHECK_THROWS(writer.abort(), RDS_ERR_INVALID_HANDLE, "rds_writer_abort: ");
    CHECK_THROWS(writer.commit(), RDS_ERR_INVALID_HANDLE, "rds_commit: ");
    CHECK_THROWS(writer.flush(), RDS_ERR_INVALID_HANDLE, "rds_flush: ");
    CHECK_THROWS(writer.stats(), RDS_ERR_INVALID_HANDLE, "rds_writer_stats: ");
    CHECK_THROWS(writer.stage(), RDS_ERR_INVALID_HANDLE, "rds_writer_stage: ");

    rds::Reader reader = rds::Reader::open(path.text);
    const rds::Column column = reader.column();
    rds::Reader moved(std::move(reader));
    CHECK(!reader && moved.span<float>(column, 1).row(1)[1] == 11);
    std::vector<float> out(3);
    CHECK_THROWS(reader.read(column, {0}, out), RDS_ERR_INVALID_HANDLE, "rds_reader_read: ");
    CHECK_THROWS(reader.info(), RDS_ERR_INVALID_HANDLE, "rds_reader_info: ");
    CHECK_THROWS(reader.columns(), RDS_ERR_INVALID_HANDLE, "rds_reader_info: ");
    CHECK_THROWS(reader.clone(), RDS_ERR_INVALID_HANDLE, "rds_reader_clone: ");
    CHECK_THROWS(reader.refresh(), RDS_ERR_INVALID_HANDLE, "rds_reader_refresh: ");
    CHECK_THROWS(rds::Rows<float>().at(0), RDS_ERR_INVALID_HANDLE, "rds_reader_span: ");
    rds::Rows<float> rows = moved.rows<float>(column);
    moved.close();
    CHECK_THROWS(moved.close(), RDS_ERR_INVALID_HANDLE, "rds_reader_close: ");
    CHECK_THROWS(rows.at(0), RDS_ERR_INVALID_HANDLE, "rds_reader_span: ");
    CHECK_TELLS(rows.at(0, &failure), RDS_ERR_INVALID_HANDLE, "rds_reader_span: ");
    rds_reader *handle = nullptr;
    CHECK_OK(rds_reader_open(path.text, nullptr, &handle));
    reader = rds::Reader(handle);
    CHECK_NUMBER(reader.size(), 2);
}

TEST(a_destructor_closes_and_says_nothing) {
    const check_path_text path = check_path(), gone = check_path();
    try {
        rds::Writer writer = rds::Writer::open(path.text);
        hpp_write(writer, 0, 3);
        throw 1;
    } catch (int) {
    }
    CHECK_NUMBER(rds::Reader::open(path.text).size(), 3);
    {
        rds::WriterOptions options;
        options.durability = RDS_DURABILITY_COMMIT;
        rds::Writer first = rds::Writer::open(gone.text, options);
        hpp_write(first, 0, 3);
        first = rds::Writer::open(path.text, {RDS_MODE_APPEND});
        rds::Writer dead = rds::Writer::open(gone.text, options);
        CHECK_OK(rds_writer_close(dead.handle()));
    }
    CHECK_NUMBER(rds::error::last().status(), RDS_ERR_INVALID_HANDLE);
    CHECK_THROWS(rds::Reader::open(gone.text), RDS_ERR_NOT_FOUND, "");
    rds::Writer aborted = rds::Writer::open(path.text, {RDS_MODE_APPEND, RDS_DURABILITY_COMMIT});
    hpp_write(aborted, 3, 3);
    aborted.abort();
    CHECK(!aborted);
    CHECK_NUMBER(rds::Reader::open(path.text).size(), 3);
}

// As many rows as make a commit tell how far it is.
static void write_much(rds::Writer &writer) {
    for (std::uint64_t part = 0; part < 12; ++part) {
        const std::vector<std::array<float, 4096>> rows(100);
        writer.write(hpp_rows(part * 100, 100), rows);
        writer.flush();
    }
}

TEST(what_a_progress_callback_throws_arrives_at_the_call) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    write_much(writer);
    int calls = 0;
    try {
        writer.commit({[&](std::uint64_t, std::uint64_t) { ++calls, throw std::out_of_range("enough"); }});
        CHECK(calls == 0);
    } catch (const std::out_of_range &thrown) {
        CHECK_TEXT(thrown.what(), "enough");
    }
    CHECK_NUMBER(calls, 1);
    // Nothing is left of it, and an error that is asked for does not swallow what is not one.
    CHECK_NUMBER(writer.stats().accepted_rows, 1200);
    rds::error failure;
    try {
        writer.commit({[](std::uint64_t, std::uint64_t) { throw std::bad_alloc(); }}, &failure);
    } catch (const std::bad_alloc &) {
        calls += 10;
    }
    CHECK_NUMBER(calls, 11);
    CHECK_THROWS(writer.commit({[](std::uint64_t, std::uint64_t) { return true; }}), RDS_ERR_CANCELLED, "rds_commit: ");
    std::uint64_t last_done = 0, last_total = 1;
    const std::function<bool(std::uint64_t, std::uint64_t)> kept = [&](std::uint64_t done, std::uint64_t total) {
        return last_done = done, last_total = total, false;
    };
    CHECK_NUMBER(writer.commit({kept}).rows, 1200);
    CHECK(last_done == last_total);
    CHECK_NUMBER(writer.commit({nullptr, RDS_COMMIT_MERGE_ALL}).rows, 1200);
    writer.close();
}

TEST(what_a_waiting_callback_throws_arrives_at_the_call) {
    const check_path_text path = check_path();
    {
        const std::uint64_t count = static_cast<std::uint64_t>(check_rounds(2000000));
        rds::Writer writer = rds::Writer::open(path.text);
        writer.write(hpp_rows(0, count), std::vector<std::uint8_t>(count));
        writer.close();
    }
    std::atomic<int> calls{0};
    std::atomic<bool> throws{true};
    rds::ReaderOptions options;
    options.waiting = [&] {
        ++calls;
        if (throws) throw std::length_error("waits no longer");
    };
    rds::Reader reader = rds::Reader::open(path.text, options);
    rds::Reader clone = reader.clone();
    reader.close();
    const auto id = [&](rds::error *failure) {
        try {
            clone.find_first("7", failure);
            return calls == 0;
        } catch (const std::length_error &) {
            return calls == 1;
        }
    };
    rds::error failure;
    CHECK(id(nullptr));
    CHECK_NUMBER(clone.info().rows, static_cast<std::uint64_t>(check_rounds(2000000)));
    // Each thread has its own.
    calls = 0;
    std::thread([&] { CHECK(id(&failure)); }).join();
    throws = false;
    CHECK(clone.find_first("7") == 7);
    calls = 0;
    throws = true;
    clone = rds::Reader();
    CHECK_NUMBER(calls, 0);
}

CHECK_MAIN(RUN(an_error_tells_all_that_the_library_tells), RUN(an_error_that_is_asked_for_is_not_thrown),
           RUN(shapes_that_do_not_fit_their_memory_are_refused), RUN(elements_of_another_type_are_a_mismatch),
           RUN(a_handle_that_was_moved_from_or_closed_is_invalid), RUN(a_destructor_closes_and_says_nothing),
           RUN(what_a_progress_callback_throws_arrives_at_the_call),
           RUN(what_a_waiting_callback_throws_arrives_at_the_call))
