// Rows through rds.hpp: spans are walked, kept and shared, rows without a span are read, and many threads read at once.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "hpp.h"

static_assert(std::is_convertible_v<std::vector<float> &, rds::span<const float>>, "a view of any contiguous range");
static_assert(std::is_convertible_v<const std::array<float, 3> &, rds::span<const float>>, "");
static_assert(std::is_convertible_v<float (&)[3], rds::span<float>>, "");
static_assert(std::is_convertible_v<rds::span<float>, rds::span<const float>>, "");
static_assert(!std::is_convertible_v<const std::vector<float> &, rds::span<float>>, "not of what is constant");
static_assert(!std::is_convertible_v<std::vector<float>, rds::span<float>>, "nor of what is gone");
static_assert(!std::is_convertible_v<std::vector<double> &, rds::span<const float>>, "nor of other elements");

// A table of several data files: `parts` of so many rows.
static void make_parts(const char *path, std::uint64_t parts, std::uint64_t rows) {
    for (std::uint64_t part = 0; part < parts; ++part) hpp_add(path, part * rows, rows);
}

static bool is_row(rds::span<const float> values, std::uint64_t row) {
    const std::vector<float> expected = hpp_values(row, 1);
    return std::equal(values.begin(), values.end(), expected.begin(), expected.end());
}

TEST(spans_are_all_rows_in_order) {
    const check_path_text path = check_path();
    make_parts(path.text, 3, 5);
    const rds::Reader reader = rds::Reader::open(path.text);
    const rds::Column column = reader.column("data");
    CHECK_NUMBER(column.mapped_rows(), 15);
    std::uint64_t row = 0;
    int runs = 0;
    for (const rds::RowSpan<float> &span : reader.spans<float>(column)) {
        REQUIRE(CHECK(static_cast<bool>(span)));
        CHECK(span.first_row() == row && span.elements() == 3 && span.stride() == column.row_bytes());
        CHECK(span.values().data() == span.data() && span.values().size() == span.size() * 3);
        CHECK(is_row(span.row(row + 1), row + 1) && is_row(span[2], row + 2));
        for (const rds::span<const float> values : span) CHECK(is_row(values, row++));
        ++runs;
    }
    CHECK(row == 15 && runs == 3);
    const rds::Spans<float> spans = reader.spans<float>(column);
    CHECK_NUMBER(std::distance(spans.begin(), spans.end()), 3);
    auto second = spans.begin();
    CHECK(second++->first_row() == 0 && second->first_row() == 5 && second == std::next(spans.begin()));
    CHECK_THROWS(reader.span<float>(column, 15), RDS_ERR_OUT_OF_RANGE, "rds_reader_span: ");
    CHECK_TELLS(reader.span<float>(column, 15, &failure), RDS_ERR_OUT_OF_RANGE, "rds_reader_span: ");
    CHECK_NUMBER(reader.spans<std::byte>(column).begin()->elements(), 12);
}

TEST(a_walk_over_spans_ends_where_it_fails_and_says_so) {
    const check_path_text path = check_path();
    make_parts(path.text, 2, 5);
    rds::Reader reader = rds::Reader::open(path.text);
    rds::error failure;
    int runs = 0;
    for (const auto &span : reader.spans<float>(reader.column(), &failure)) {
        runs += span.size() == 5;
        reader.close();
    }
    CHECK(runs == 1 && failure.status() == RDS_ERR_INVALID_HANDLE);
    reader = rds::Reader::open(path.text);
    const auto walk = [&] {
        for (const auto &span : reader.spans<float>(reader.column())) {
            runs += span.size() == 5;
            reader.close();
        }
    };
    CHECK_THROWS(walk(), RDS_ERR_INVALID_HANDLE, "rds_reader_span: ");
    CHECK_NUMBER(runs, 2);
}

static void check_rows(const rds::Reader &reader, std::uint64_t count) {
    rds::Rows<float> rows = reader.rows<float>(reader.column());
    CHECK_NUMBER(rows.size(), count);
    CHECK_NUMBER(rows.elements(), 3);
    std::uint64_t row = 0, wrong = 0;
    for (const rds::span<const float> values : rows) wrong += !is_row(values, row++);
    CHECK_NUMBER(row, count);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t any = i * 7919 % count;
        wrong += !is_row(rows[any], any);
    }
    for (row = count; row-- > 0;) wrong += !is_row(rows.at(row), row);
    CHECK_NUMBER(wrong, 0);
    CHECK_THROWS(rows[count], RDS_ERR_OUT_OF_RANGE, "rds_reader_span: ");
    CHECK_THROWS(rows[UINT64_MAX], RDS_ERR_OUT_OF_RANGE, "rds_reader_span: ");
    CHECK(is_row(rows[count - 1], count - 1));
}

TEST(rows_are_the_same_mapped_and_decoded) {
    const check_path_text path = check_path();
    make_parts(path.text, 3, 70);
    check_rows(rds::Reader::open(path.text), 210);
    const rds::Reader decoded = rds::Reader::open(path.text, {0, RDS_ACCESS_LANCE});
    check_rows(decoded, 210);
    CHECK_NUMBER(decoded.column().mapped_rows(), 0);
    std::uint64_t rows = 0;
    for (const auto &span : decoded.spans<float>(decoded.column())) {
        CHECK(!span && span.data() == nullptr && span.values().empty() && span.begin() == span.end());
        CHECK_NUMBER(span.first_row(), rows);
        rows += span.size();
    }
    CHECK_NUMBER(rows, 210);
}

TEST(what_a_reader_lends_stays_when_it_is_moved_or_cloned) {
    const check_path_text path = check_path();
    rds::Reader reader = hpp_table(path.text, 5);
    const rds::Column column = reader.column();
    rds::RowSpan<float> span = reader.span<float>(column, 0);
    const std::string_view id = reader.id(3);
    rds::Rows<float> rows = reader.rows<float>(column);
    const rds::Reader moved = std::move(reader);
    CHECK(is_row(span[4], 4) && id == "3" && is_row(rows[2], 2));
    CHECK(moved.span<float>(column, 0).data() == span.data());
    const rds::Reader clone = moved.clone();
    CHECK(clone.span<float>(clone.column(), 0).data() == span.data() && clone.handle() != moved.handle());
    rds::Rows<float> taken = std::move(rows);
    CHECK(is_row(taken[1], 1));
}

TEST(a_refresh_shows_what_was_added) {
    const check_path_text path = check_path();
    rds::Reader reader = hpp_table(path.text, 5);
    const rds::Column column = reader.column();
    CHECK(!reader.refresh());
    hpp_add(path.text, 5, 3);
    const rds::Reader before = reader.clone();
    CHECK(reader.refresh());
    CHECK(reader.size() == 8 && before.size() == 5 && reader.info().version > before.info().version);
    CHECK(is_row(reader.rows<float>(column)[7], 7) && reader.find_first("7") == 7 && !before.find_first("7"));
}

TEST(rows_are_copied_in_any_order) {
    const check_path_text path = check_path();
    const rds::Reader reader = hpp_table(path.text, 10);
    const rds::Column column = reader.column();
    std::vector<float> flat(6);
    float plain[2][3];
    std::array<std::array<float, 3>, 2> nested{};
    const std::vector<std::uint64_t> rows = {9, 0};
    std::vector<float> expected = hpp_values(9, 1);
    for (const float value : hpp_values(0, 1)) expected.push_back(value);
    reader.read(column, rows, flat);
    reader.read(column, {9, 0}, plain);
    reader.read(column, rds::span(rows), nested);
    CHECK(flat == expected && std::memcmp(plain, flat.data(), sizeof plain) == 0 && nested[0][2] == 92);
    CHECK(reader.read<float>(column, rows) == expected);
    reader.read_row(column, 4, nested[1]);
    CHECK(is_row(nested[1], 4));
    reader.read_range(column, 8, 2, rds::span(flat));
    CHECK(flat == hpp_values(8, 2));
    reader.gather(rows, {{column, nested}, {column, flat}});
    CHECK(flat == expected && nested[0][2] == 92);
    reader.gather(rds::RowSet::range(2, 2), {{column, flat}});
    CHECK(flat == hpp_values(2, 2));
    // More targets than one call has room for on the stack.
    std::vector<std::array<float, 3>> outs(20);
    std::vector<rds::Target> targets;
    for (auto &out : outs) targets.emplace_back(column, out);
    reader.gather({3}, targets);
    CHECK(std::all_of(outs.begin(), outs.end(), [](const auto &out) { return is_row(out, 3); }));
    // Every other place, and nothing in between.
    float apart[12];
    std::fill(std::begin(apart), std::end(apart), -1.0F);
    reader.gather({9, 0}, {{column, apart, sizeof apart, 6 * sizeof(float)}});
    CHECK(is_row(rds::span(apart).first(3), 9) && is_row(rds::span(apart).subspan(6, 3), 0) && apart[3] == -1);
    CHECK_THROWS(reader.gather({10}, {{column, flat}}), RDS_ERR_OUT_OF_RANGE, "rds_reader_gather: ");
    CHECK_THROWS(reader.gather(rds::RowSet::range(1, 2, -2), {{column, flat}}), RDS_ERR_OUT_OF_RANGE, "");
}

TEST(bools_have_no_span_but_rows) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    const bool flags[3][2] = {{true, false}, {false, false}, {true, true}};
    const bool scalars[3] = {false, true, true};
    writer.write({0, 1, 2}, {{"flags", flags}, {"scalar", scalars}});
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    const rds::Column column = reader.column("flags");
    CHECK(!reader.span<bool>(column, 0));
    rds::Rows<bool> rows = reader.rows<bool>(column);
    CHECK(rows[0][0] && !rows[0][1] && !rows[1][0] && rows[2][1]);
    CHECK(reader.read<std::uint8_t>(column, {2, 0}) == std::vector<std::uint8_t>({1, 1, 1, 0}));
    std::vector<bool> seen;
    for (const rds::span<const bool> value : reader.rows<bool>(reader.column("scalar"))) seen.push_back(value[0]);
    CHECK(seen == std::vector<bool>({false, true, true}));
    CHECK_THROWS(reader.rows<std::int8_t>(column), RDS_ERR_SCHEMA_MISMATCH, "its dtype is bool, asked for as int8");
}

TEST(ids_are_found_however_often) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    const std::vector<std::string> many(40, "often");
    writer.write({"a", "b", "a"}, std::vector<float>{1, 2, 3});
    writer.write(many, std::vector<float>(40));
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    std::vector<std::uint64_t> rows(3), counts(3);
    reader.find({"a", "none", "b"}, rows, counts);
    CHECK(rows == std::vector<std::uint64_t>({0, RDS_ROW_NONE, 1}) && counts == std::vector<std::uint64_t>({2, 0, 1}));
    CHECK(reader.find({"b"}) == std::vector<std::uint64_t>({1}));
    CHECK(reader.find_all("a") == std::vector<std::uint64_t>({0, 2}) && reader.find_all("none").empty());
    CHECK(reader.find_all("often") == hpp_rows(3, 40));
    CHECK(reader.find_all("often", rds::span(rows)) == 40 && rows == hpp_rows(3, 3));
    CHECK_THROWS(reader.find({"a", "b", "c", "d"}, rows), RDS_ERR_INVALID_ARGUMENT, "rds::Reader::find: there are 4 ids");
    CHECK_THROWS(reader.id(43), RDS_ERR_OUT_OF_RANGE, "rds_reader_id: ");
}

TEST(threads_read_through_one_reader_at_once) {
    const check_path_text path = check_path();
    make_parts(path.text, 4, 100);
    const rds::Reader reader = rds::Reader::open(path.text);
    const rds::Column column = reader.column();
    std::atomic<std::uint64_t> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            rds::Rows<float> rows = reader.rows<float>(column);
            std::array<float, 3> out{};
            for (std::uint64_t i = 0; i < 400; ++i) {
                const std::uint64_t row = (i * 31 + t * 100) % 400;
                reader.read_row(column, row, out);
                wrong += !is_row(rows[row], row) || !is_row(out, row);
                wrong += reader.id(row) != std::to_string(row) || reader.find_first(std::to_string(row)) != row;
                rds::error failure;
                static_cast<void>(reader.span<float>(column, 400 + i, &failure));
                wrong += failure.status() != RDS_ERR_OUT_OF_RANGE;
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    CHECK_NUMBER(wrong, 0);
}

CHECK_MAIN(RUN(spans_are_all_rows_in_order), RUN(a_walk_over_spans_ends_where_it_fails_and_says_so),
           RUN(rows_are_the_same_mapped_and_decoded), RUN(what_a_reader_lends_stays_when_it_is_moved_or_cloned),
           RUN(a_refresh_shows_what_was_added), RUN(rows_are_copied_in_any_order), RUN(bools_have_no_span_but_rows),
           RUN(ids_are_found_however_often), RUN(threads_read_through_one_reader_at_once))
