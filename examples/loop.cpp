// An inference loop: a small model embeds objects batch by batch and says how sure it is, librds stores both, and
// several threads then look for the nearest neighbour of one object among those that it is sure of.
//
//   c++ -std=c++17 loop.cpp -lrds -pthread -o loop && ./loop loop_results
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "rds.h"

namespace {

constexpr std::size_t kPixels = 16;
constexpr std::size_t kEmbedding = 4;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kObjects = 1000;
constexpr std::size_t kThreads = 4;

using Image = std::array<float, kPixels>;
using Embedding = std::array<float, kEmbedding>;

// A row as the program has it: one tensor of the table behind the other.
struct Result {
    Embedding embedding;
    float confidence;
};

void check(rds_status status) {
    if (status != RDS_OK) throw std::runtime_error(rds_last_error_message());
}

// The handles close themselves. A destructor cannot throw, so the loop commits before it closes its
// writer: nothing is left then that could fail.
struct Close {
    void operator()(rds_writer *writer) const { report(rds_writer_close(writer)); }
    void operator()(rds_reader *reader) const { report(rds_reader_close(reader)); }

    static void report(rds_status status) {
        if (status != RDS_OK) std::fprintf(stderr, "%s\n", rds_last_error_message());
    }
};
using Writer = std::unique_ptr<rds_writer, Close>;
using Reader = std::unique_ptr<rds_reader, Close>;

Writer open_writer(const char *path) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE;
    rds_writer *writer = nullptr;
    check(rds_writer_open(path, &options, &writer));
    return Writer(writer);
}

Reader open_reader(const char *path) {
    rds_reader *reader = nullptr;
    check(rds_reader_open(path, nullptr, &reader));
    return Reader(reader);
}

Image load(std::size_t object) {
    Image image{};
    for (std::size_t i = 0; i < kPixels; ++i) {
        image[i] = std::sin(0.1F * static_cast<float>(object * (i + 1)));
    }
    return image;
}

// One dense layer with fixed weights.
Embedding embed(const Image &image) {
    Embedding out{};
    for (std::size_t o = 0; o < kEmbedding; ++o) {
        float sum = 0;
        for (std::size_t i = 0; i < kPixels; ++i) {
            sum += image[i] * std::cos(static_cast<float>(o * kPixels + i));
        }
        out[o] = std::tanh(sum);
    }
    return out;
}

float confidence(const Embedding &embedding) {
    float sum = 0;
    for (const float value : embedding) sum += value * value;
    return sum / static_cast<float>(kEmbedding);
}

// The results lie one behind the other, so each tensor is told how far its rows are apart.
void write_batch(rds_writer *writer, std::size_t first, std::size_t count) {
    std::vector<std::int64_t> numbers(count);
    std::vector<Result> results(count);
    for (std::size_t i = 0; i < count; ++i) {
        numbers[i] = static_cast<std::int64_t>(first + i);
        results[i].embedding = embed(load(first + i));
        results[i].confidence = confidence(results[i].embedding);
    }
    const std::int64_t shape[2] = {static_cast<std::int64_t>(count), kEmbedding};
    const std::int64_t strides[2] = {sizeof(Result), sizeof(float)};
    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64;
    ids.count = count;
    ids.data = numbers.data();
    rds_tensor tensors[2] = {RDS_TENSOR_INIT, RDS_TENSOR_INIT};
    for (rds_tensor &tensor : tensors) {
        tensor.dtype = RDS_DTYPE_FLOAT32;
        tensor.shape = shape;
        tensor.strides = strides;
    }
    tensors[0].name = "embedding";
    tensors[0].ndim = 2;
    tensors[0].data = &results[0].embedding;
    tensors[1].name = "confidence";
    tensors[1].ndim = 1;
    tensors[1].data = &results[0].confidence;
    check(rds_write_tensors(writer, &ids, tensors, 2));
}

void infer(const char *path) {
    const Writer writer = open_writer(path);
    for (std::size_t first = 0; first < kObjects; first += kBatch) {
        write_batch(writer.get(), first, std::min(kBatch, kObjects - first));
    }
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    check(rds_commit(writer.get(), nullptr, &info));
    std::printf("stored %llu results\n", static_cast<unsigned long long>(info.rows));
}

float distance(const Embedding &a, const Embedding &b) {
    float sum = 0;
    for (std::size_t i = 0; i < kEmbedding; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

struct Nearest {
    std::uint64_t row = RDS_ROW_NONE;
    float distance = INFINITY;
    std::string error;
};

std::uint32_t column(const rds_reader *reader, const char *name) {
    std::uint32_t number = 0;
    check(rds_reader_column(reader, name, &number));
    return number;
}

// Both tensors of count rows, from first on, step apart: the way back of write_batch().
std::vector<Result> gather(const rds_reader *reader, std::uint64_t first, std::uint64_t count, std::int64_t step) {
    std::vector<Result> results(count);
    rds_rows rows = RDS_ROWS_INIT;
    rows.first_row = first;
    rows.count = count;
    rows.step = step;
    rds_target targets[2] = {RDS_TARGET_INIT, RDS_TARGET_INIT};
    targets[0].column = column(reader, "embedding");
    targets[0].data = &results[0].embedding;
    targets[0].bytes = count * sizeof(Result);
    targets[1].column = column(reader, "confidence");
    targets[1].data = &results[0].confidence;
    targets[1].bytes = count * sizeof(Result) - offsetof(Result, confidence);
    for (rds_target &target : targets) target.stride = sizeof(Result);
    check(rds_reader_gather(reader, &rows, targets, 2));
    return results;
}

// The rows of one thread. An exception must not leave a thread, so the error is a result.
void search(const rds_reader *reader, std::uint64_t wanted, std::size_t thread, Nearest &best) try {
    const Embedding target = gather(reader, wanted, 1, 1)[0].embedding;
    const std::uint64_t count = (kObjects - thread + kThreads - 1) / kThreads;
    const std::vector<Result> candidates = gather(reader, thread, count, kThreads);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t row = thread + i * kThreads;
        const float d = distance(target, candidates[i].embedding);
        if (row != wanted && candidates[i].confidence > 0.5F && d < best.distance) best = {row, d, {}};
    }
} catch (const std::exception &error) {
    best.error = error.what();
}

Nearest nearest(const rds_reader *reader, std::uint64_t wanted) {
    std::array<Nearest, kThreads> results;
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
        threads.emplace_back(search, reader, wanted, t, std::ref(results[t]));
    }
    for (std::thread &thread : threads) thread.join();
    Nearest best;
    for (const Nearest &result : results) {
        if (!result.error.empty()) throw std::runtime_error(result.error);
        if (result.distance < best.distance) best = result;
    }
    return best;
}

void print_neighbour(const rds_reader *reader, std::uint64_t wanted) {
    const Nearest best = nearest(reader, wanted);
    const char *id = nullptr;
    std::size_t length = 0;
    check(rds_reader_id(reader, best.row, &id, &length));
    std::printf("nearest to object %llu: object %.*s\n", static_cast<unsigned long long>(wanted),
                static_cast<int>(length), id);
}

}  // namespace

int main(int argc, char **argv) try {
    const char *path = argc > 1 ? argv[1] : "loop_results";
    check(rds_check_abi(RDS_ABI_VERSION));
    infer(path);
    const Reader reader = open_reader(path);
    print_neighbour(reader.get(), 42);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
