// Two loops over all rows: shuffled batches, gathered into records; and rows in order, which are the file itself.
#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "rds.hpp"

// A row as the program has it: its tensors, one behind the other.
struct Record {
    std::array<float, 4> features;
    std::int32_t label;
};
constexpr std::int32_t kRows = 1000, kBatch = 50;

static void write_table() {
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open("results", options);
    std::vector<std::int32_t> numbers(kBatch);
    for (std::int32_t first = 0; first < kRows; first += kBatch) {
        std::iota(numbers.begin(), numbers.end(), first);
        std::vector<Record> records;
        for (const std::int32_t number : numbers) {
            const auto value = static_cast<float>(number);
            records.push_back({{value, value, value, value}, number % 10});
        }
        writer.write(numbers, {{"features", records, &Record::features}, {"label", records, &Record::label}});
    }
    writer.close();
}

int main() try {
    write_table();
    const rds::Reader reader = rds::Reader::open("results");
    const rds::Column features = reader.column("features"), label = reader.column("label");
    std::vector<std::uint64_t> order(reader.size());
    std::vector<Record> records(kBatch);
    for (unsigned epoch = 1; epoch <= 2; ++epoch) {
        std::linear_congruential_engine<std::uint32_t, 1664525, 1013904223, 0> random(epoch);
        std::iota(order.begin(), order.end(), 0);
        for (std::size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random() % (i + 1)]);
        double sum = 0;
        int threes = 0;
        for (std::size_t first = 0; first < order.size(); first += kBatch) {
            const auto rows = rds::span<const std::uint64_t>(order).subspan(first, kBatch);
            reader.gather(rows, {{features, records, &Record::features}, {label, records, &Record::label}});
            for (const Record &record : records) sum += record.features[0], threes += record.label == 3;
        }
        const auto first_row = static_cast<unsigned long long>(order[0]);
        std::printf("epoch %u: first row %llu, sum %g, %d rows of label 3\n", epoch, first_row, sum, threes);
    }
    // No call and no copy for each row; rows that are not mapped are read.
    double sum = 0;
    for (const rds::span<const float> row : reader.rows<float>(features)) sum += row[0];
    std::printf("spans: sum %g\n", sum);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
