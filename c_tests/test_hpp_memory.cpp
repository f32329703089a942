// Calls on rows through rds.hpp allocate nothing.
#include <cstdlib>
#include <new>
#include <vector>

#include "hpp.h"

static std::atomic<long> allocations;

[[gnu::noinline]] void *operator new(std::size_t bytes) {
    ++allocations;
    if (void *memory = std::malloc(bytes)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void *memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

// How many times a call allocates.
template <class Call>
static long count(Call call) {
    const long before = allocations;
    call();
    return allocations - before;
}

TEST(rows_are_read_without_an_allocation) {
    const check_path_text path = check_path();
    const rds::Reader reader = hpp_table(path.text, 10);
    const rds::Column column = reader.column();
    std::array<std::array<float, 3>, 2> out{};
    std::vector<std::uint64_t> rows = {9, 0};
    rds::Rows<float> kept = reader.rows<float>(column);
    float sum = 0;
    rds::error failure;
    CHECK_NUMBER(count([&] { reader.read(column, rows, out); }), 0);
    CHECK_NUMBER(count([&] { reader.read(column, {1, 2}, out, &failure); }), 0);
    CHECK_NUMBER(count([&] { reader.read_row(column, 3, out[0]); }), 0);
    CHECK_NUMBER(count([&] { reader.read_range(column, 3, 2, out); }), 0);
    CHECK_NUMBER(count([&] { reader.gather(rows, {{column, out}, {column, out}}); }), 0);
    CHECK_NUMBER(count([&] { reader.gather(rds::RowSet::range(9, 2, -1), {{column, out}}); }), 0);
    CHECK_NUMBER(count([&] { sum += reader.span<float>(column, 3).row(3)[0]; }), 0);
    CHECK_NUMBER(count([&] {
        for (const auto &span : reader.spans<float>(column)) sum += span[0][0];
    }), 0);
    CHECK_NUMBER(count([&] {
        for (const auto row : reader.rows<float>(column)) sum += row[0];
    }), 0);
    CHECK_NUMBER(count([&] { sum += kept[7][0] + kept.at(2, &failure)[0]; }), 0);
    CHECK_NUMBER(sum, 30 + 0 + 450 + 70 + 20);
    CHECK_NUMBER(count([&] { sum += static_cast<float>(reader.id(4).size() + reader.find_first("4").value_or(0)); }), 0);
    CHECK_NUMBER(count([&] { reader.find({1, 2}, rows); }), 1);
    CHECK(count([&] { reader.read<float>(column, rows); }) > 0);
}

TEST(batches_are_gone_through_without_an_allocation) {
    const check_path_text path = check_path();
    const rds::Reader reader = hpp_table(path.text, 100);
    rds::LoaderOptions options;
    options.batch_rows = 8;
    rds::Loader loader = rds::Loader::open(reader, options);
    rds::error failure;
    float sum = 0;
    CHECK_NUMBER(count([&] {
        for (const rds::LoaderBatch &batch : loader.batches()) {
            for (const rds::span<float> row : batch.column<float>(0)) sum += row[0];
        }
    }), 0);
    CHECK_NUMBER(sum, 49500);
    CHECK_NUMBER(count([&] {
        while (rds::LoaderBatch batch = loader.next(&failure)) {
            const rds::LoaderBatch kept = std::move(batch);
            sum += kept.column<float>(0, &failure).values()[0];
        }
    }), 0);
    CHECK_NUMBER(count([&] { loader.seek(loader.state()); }), 0);
    CHECK_NUMBER(count([&] { loader.seek(3, loader.stats().consumed, &failure); }), 0);
}

TEST(integers_and_pointers_are_written_without_a_copy) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    const std::vector<float> values = hpp_values(0, 2);
    const std::vector<std::int64_t> numbers = {0, 1};
    const std::vector<const char *> names = {"a", "b"};
    CHECK_NUMBER(count([&] { writer.write(numbers, {{"data", values, {2, 3}}}); }), 0);
    CHECK_NUMBER(count([&] { writer.write(names, {{"data", values, {2, 3}}}); }), 0);
    writer.close();
    CHECK_NUMBER(rds::Reader::open(path.text).size(), 4);
}

CHECK_MAIN(RUN(rows_are_read_without_an_allocation), RUN(batches_are_gone_through_without_an_allocation),
           RUN(integers_and_pointers_are_written_without_a_copy))
