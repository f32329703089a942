// What a training loop in C++ pays: batches of random rows beside a plain map of a raw file, and writing beside fwrite and
// fsync. Interleaved, medians. `make bench-cpp`.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "rds.hpp"

namespace {

constexpr std::size_t kWidth = 512, kRows = 200'000, kBatch = 256, kBatches = 400;
constexpr int kRounds = 11;
namespace fs = std::filesystem;

double seconds(const std::function<void()> &work) {
    const auto begun = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

double median(std::vector<double> times) {
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

// Rows of both in turn; per second, and how the first is beside the second.
// `prepare` comes before each.
void compare(const char *what, double rows, const std::function<void()> &ours, const std::function<void()> &plain, double must,
             const std::function<void()> &prepare = [] {}) {
    std::vector<double> our, their;
    for (int round = 0; round < 2 * kRounds; ++round) {
        const bool first = round / 2 % 2 == round % 2;
        prepare();
        (first ? our : their).push_back(seconds(first ? ours : plain));
    }
    const double ratio = median(their) / median(our);
    std::printf("%-46s rds %9.0f rows/s   plain %9.0f rows/s   %.2fx  (must %.2f)\n", what, rows / median(our),
                rows / median(their), ratio, must);
}

void save(const fs::path &path, const std::vector<float> &values) {
    std::FILE *file = std::fopen(path.c_str(), "wb");
    for (std::size_t row = 0; row < kRows; row += kBatch) {
        const std::size_t count = std::min(kBatch, kRows - row);
        std::fwrite(values.data() + row * kWidth, sizeof(float) * kWidth, count, file);
    }
    std::fflush(file);
    fsync(fileno(file));
    std::fclose(file);
}

void write(const fs::path &path, const std::vector<float> &values) {
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open(path.string(), options);
    std::vector<std::int64_t> ids(kBatch);
    for (std::size_t row = 0; row < kRows; row += kBatch) {
        const std::size_t count = std::min(kBatch, kRows - row);
        for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<std::int64_t>(row + i);
        const rds::span<const float> batch(values.data() + row * kWidth, count * kWidth);
        const auto rows = static_cast<std::int64_t>(count);
        writer.write(rds::span<const std::int64_t>(ids.data(), count), {{"x", batch, {rows, static_cast<std::int64_t>(kWidth)}}});
    }
    writer.commit();
    writer.close();
}

}  // namespace

int main(int argc, char **argv) try {
    const fs::path place = fs::path(argc > 1 ? argv[1] : "bench_loop");
    fs::create_directories(place);
    std::mt19937_64 random(0);
    std::vector<float> values(kRows * kWidth);
    for (float &value : values) value = static_cast<float>(random() % 1000) * 0.001F;
    compare("writing 200,000 rows of 512 float32", kRows, [&] { write(place / "table", values); },
            [&] { save(place / "raw", values); }, 0.9,
            [&] {
                fs::remove_all(place / "table");
                fs::remove(place / "raw");
                sync();
            });
    write(place / "table", values);
    save(place / "raw", values);

    const rds::Reader reader = rds::Reader::open((place / "table").string());
    const rds::Column column = reader.column("x");
    const int file = open((place / "raw").c_str(), O_RDONLY);
    const std::size_t bytes = kRows * kWidth * sizeof(float);
    const char *map = static_cast<const char *>(mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0));
    std::vector<std::uint64_t> order(kBatch * kBatches);
    for (std::uint64_t &row : order) row = random() % kRows;
    std::vector<float> batch(kBatch * kWidth);
    float sum = 0;
    compare("batches of 256 random rows", static_cast<double>(order.size()),
            [&] {
                for (std::size_t at = 0; at < order.size(); at += kBatch) {
                    reader.read(column, rds::span<const std::uint64_t>(order.data() + at, kBatch), batch);
                    sum += batch[at % batch.size()];
                }
            },
            [&] {
                for (std::size_t at = 0; at < order.size(); at += kBatch) {
                    for (std::size_t i = 0; i < kBatch; ++i) {
                        const std::size_t row = order[at + i] * kWidth * sizeof(float);
                        std::memcpy(batch.data() + i * kWidth, map + row, kWidth * sizeof(float));
                    }
                    sum += batch[at % batch.size()];
                }
            },
            0.95);
    compare("every row once, by iteration", kRows,
            [&] {
                for (const rds::span<const float> row : reader.rows<float>(column)) sum += row[0] + row[kWidth - 1];
            },
            [&] {
                for (std::size_t row = 0; row < kRows; ++row) {
                    const float *numbers = reinterpret_cast<const float *>(map) + row * kWidth;
                    sum += numbers[0] + numbers[kWidth - 1];
                }
            },
            0.95);
    fs::remove_all(place);
    return sum > 0 ? 0 : 1;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
