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
#include <exception>
#include <future>
#include <string>
#include <vector>

#include "rds.hpp"

namespace {

constexpr std::size_t kPixels = 16;
constexpr std::size_t kEmbedding = 4;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kObjects = 1000;
constexpr std::uint64_t kThreads = 4;

using Image = std::array<float, kPixels>;
using Embedding = std::array<float, kEmbedding>;

// A row as the program has it: one tensor of the table behind the other.
struct Result {
    Embedding embedding;
    float confidence;
};

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

// What a destructor finds out nobody hears, so the loop closes its writer.
void infer(const char *path) {
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open(path, options);
    for (std::size_t first = 0; first < kObjects; first += kBatch) {
        const std::size_t count = std::min(kBatch, kObjects - first);
        std::vector<std::size_t> objects(count);
        std::vector<Result> results(count);
        for (std::size_t i = 0; i < count; ++i) {
            objects[i] = first + i;
            results[i].embedding = embed(load(objects[i]));
            results[i].confidence = confidence(results[i].embedding);
        }
        writer.write(objects, {{"embedding", results, &Result::embedding}, {"confidence", results, &Result::confidence}});
    }
    std::printf("stored %llu results\n", static_cast<unsigned long long>(writer.commit().rows));
    writer.close();
}

float distance(const Embedding &a, const Embedding &b) {
    float sum = 0;
    for (std::size_t i = 0; i < kEmbedding; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

struct Nearest {
    std::uint64_t row = RDS_ROW_NONE;
    float distance = INFINITY;
};

// Among every kThreads-th row.
Nearest search(const rds::Reader &reader, std::uint64_t wanted, std::uint64_t thread) {
    const rds::Column embedding = reader.column("embedding"), confidence = reader.column("confidence");
    Embedding target{};
    reader.read_row(embedding, wanted, target);
    std::vector<Result> candidates((kObjects - thread + kThreads - 1) / kThreads);
    reader.gather(rds::RowSet::range(thread, candidates.size(), kThreads),
                  {{embedding, candidates, &Result::embedding}, {confidence, candidates, &Result::confidence}});
    Nearest best;
    for (std::uint64_t i = 0; i < candidates.size(); ++i) {
        const std::uint64_t row = thread + i * kThreads;
        const float d = distance(target, candidates[i].embedding);
        if (row != wanted && candidates[i].confidence > 0.5F && d < best.distance) best = {row, d};
    }
    return best;
}

Nearest nearest(const rds::Reader &reader, std::uint64_t wanted) {
    std::vector<std::future<Nearest>> searches;
    for (std::uint64_t t = 0; t < kThreads; ++t) {
        searches.push_back(std::async(std::launch::async, [&reader, wanted, t] { return search(reader, wanted, t); }));
    }
    Nearest best;
    for (std::future<Nearest> &one : searches) {
        const Nearest found = one.get();
        if (found.distance < best.distance) best = found;
    }
    return best;
}

}  // namespace

int main(int argc, char **argv) try {
    const char *path = argc > 1 ? argv[1] : "loop_results";
    rds::check_abi();
    infer(path);
    const rds::Reader reader = rds::Reader::open(path);
    const std::string id(reader.id(nearest(reader, 42).row));
    std::printf("nearest to object 42: object %s\n", id.c_str());
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
