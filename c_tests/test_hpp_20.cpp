// rds.hpp beside what C++20 and later have: std::span, ranges, named members in lists, and std::mdspan where it exists.
#include <algorithm>
#include <ranges>
#include <span>
#include <string>
#include <vector>
#include <version>
#ifdef __cpp_lib_mdspan
#include <mdspan>
#endif

#include "hpp.h"

static_assert(std::ranges::contiguous_range<rds::span<float>>);
static_assert(std::is_convertible_v<rds::span<const float>, std::span<const float>>);
static_assert(std::is_convertible_v<std::span<float>, rds::span<const float>>);
static_assert(std::input_iterator<rds::Rows<float>::iterator>);
static_assert(std::input_iterator<rds::RowSpan<float>::iterator>);
static_assert(std::input_iterator<rds::Spans<float>::iterator>);
static_assert(std::ranges::input_range<rds::Rows<float>> && std::ranges::input_range<const rds::RowSpan<float>>);

TEST(spans_of_the_language_go_in_and_come_out) {
    const check_path_text path = check_path();
    const std::vector<float> values = hpp_values(0, 3);
    const std::vector<std::string> names = {"a", "b", "c"};
    rds::Writer writer = rds::Writer::open(path.text, {.mode = RDS_MODE_CREATE, .metadata = {{"model", "resnet"}}});
    writer.write(std::span(names), {{"x", std::span<const float>(values), {names.size(), 3}}});
    writer.commit({.flags = RDS_COMMIT_MERGE_ALL});
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text, {.access = RDS_ACCESS_MAPPED});
    const rds::Column column = reader.column("x");
    std::vector<float> out(6);
    const std::vector<std::uint64_t> wanted = {2, 0};
    reader.read(column, std::span(wanted), std::span(out));
    CHECK(out[0] == 20 && out[5] == 2);
    reader.gather(std::span(wanted), {{column, std::span(out)}});
    CHECK(out[0] == 20 && out[5] == 2);
    const std::span<const float> row = reader.span<float>(column, 1).row(1);
    CHECK(std::ranges::equal(row, hpp_values(1, 1)));
    rds::Rows<float> rows = reader.rows<float>(column);
    auto firsts = rows | std::views::transform([](rds::span<const float> each) { return each[0]; });
    CHECK(std::ranges::equal(firsts, std::vector<float>{0, 10, 20}));
    CHECK(std::ranges::count_if(rows, [](rds::span<const float> each) { return each[2] > 5; }) == 2);
    CHECK(reader.metadata("model") == "resnet");
}

#ifdef __cpp_lib_mdspan
TEST(an_mdspan_is_a_tensor) {
    const check_path_text path = check_path();
    const std::vector<float> values = {0, 3, 1, 4, 2, 5};
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write({0, 1}, {{"x", std::mdspan<const float, std::dextents<int, 2>, std::layout_left>(values.data(), 2, 3)}});
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    CHECK(reader.read<float>(reader.column("x"), {1}) == std::vector<float>({3, 4, 5}));
}
#define MDSPAN_TESTS , RUN(an_mdspan_is_a_tensor)
#else
#define MDSPAN_TESTS
#endif

CHECK_MAIN(RUN(spans_of_the_language_go_in_and_come_out) MDSPAN_TESTS)
