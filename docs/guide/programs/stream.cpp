// Copies one column of a table into another table, through an Arrow stream.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <vector>

#include "rds.hpp"

// The layout of Arrow: a struct, whose child is a fixed-size list, whose child has the numbers.
static double sum_of(const ArrowArray &batch, std::int64_t width) {
    const ArrowArray &list = *batch.children[0], &items = *list.children[0];
    const float *values = static_cast<const float *>(items.buffers[1]);
    const std::int64_t first = (batch.offset + list.offset) * width + items.offset;
    double sum = 0;
    for (std::int64_t i = 0; i < batch.length * width; ++i) sum += values[first + i];
    return sum;
}

int main() try {
    const std::vector<float> vectors = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const std::vector<std::int64_t> numbers = {1, 2, 3, 4, 5, 6};
    rds::WriterOptions overwrite;
    overwrite.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open("results", overwrite);
    writer.write(numbers, {{"vector", vectors, {numbers.size(), 2}}, {"number", numbers}});
    writer.close();

    const rds::Reader reader = rds::Reader::open("results");
    const rds::Column vector = reader.column("vector");
    rds::StreamOptions options;
    options.select = {{vector.number()}, RDS_SELECT_NO_IDS};
    options.batch_rows = 4;
    rds::Stream batches = reader.stream(options);
    while (const rds::Array batch = batches.next()) {
        std::printf("%lld rows, sum %g\n", static_cast<long long>(batch->length), sum_of(*batch, vector.shape()[0]));
    }

    options.select.flags = 0;
    writer = rds::Writer::open("copy", overwrite);
    const std::uint64_t rows = writer.write_stream(reader.stream(options));
    writer.close();
    std::printf("%llu rows copied\n", static_cast<unsigned long long>(rows));
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
