// An epoch that two ranks begin and three finish: each row comes once.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <numeric>
#include <vector>

#include "rds.hpp"

constexpr std::uint64_t kRows = 1000, kBatch = 120;

static void write_table() {
    std::vector<std::int64_t> numbers(kRows);
    std::iota(numbers.begin(), numbers.end(), 0);
    std::vector<float> features(kRows * 4);
    for (std::size_t i = 0; i < kRows; ++i) features[4 * i] = static_cast<float>(i);
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open("results", options);
    writer.write(numbers, {{"features", features, {kRows, 4}}});
    writer.close();
}

// All ranks of a world are in this program; as a rule each is a process of its own.
static std::vector<rds::Loader> open_ranks(const rds::Reader &reader, std::uint32_t world_size) {
    rds::LoaderOptions options;
    options.global_batch_rows = kBatch;
    options.seed = 7;
    options.world_size = world_size;
    std::vector<rds::Loader> loaders;
    for (; options.rank < world_size; ++options.rank) loaders.push_back(rds::Loader::open(reader, options));
    return loaders;
}

// Takes so many steps, or those that are left of the epoch.
static void train(std::vector<rds::Loader> &loaders, int steps, std::vector<int> &seen) {
    double sum = 0;
    int taken = 0;
    for (rds::Loader &loader : loaders) {
        for (taken = 0; taken < steps; ++taken) {
            const rds::LoaderBatch batch = loader.next();
            if (!batch) break;
            for (const std::uint64_t row : batch.rows()) ++seen[row];
            for (const rds::span<float> features : batch.column<float>(0)) sum += features[0];
        }
    }
    std::printf("%zu ranks: %d steps, sum %g\n", loaders.size(), taken, sum);
}

int main() try {
    write_table();
    const rds::Reader reader = rds::Reader::open("results");
    std::vector<int> seen(kRows);

    std::vector<rds::Loader> loaders = open_ranks(reader, 2);
    train(loaders, 4, seen);
    // All ranks are at the same position; its bytes belong into a checkpoint.
    const rds_position position = loaders[0].state();

    loaders = open_ranks(reader, 3);
    for (rds::Loader &loader : loaders) loader.seek(position);
    train(loaders, kRows, seen);
    std::printf("%td of %d rows came once\n", std::count(seen.begin(), seen.end(), 1), static_cast<int>(kRows));
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
