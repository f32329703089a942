// What two training loops share, of which train_loop.cpp trains with libtorch and train_loop_plain.cpp with loops of
// its own. An autoencoder is trained, and what it makes of each batch is stored; then a classifier is trained on random
// rows of the table.
//
// A program that includes this brings two models:
//
//   struct Autoencoder {
//       Step step(const std::vector<float> &images);  // one step of the training, with a batch
//   };
//   struct Classifier {
//       Classifier(const float *embeddings, const std::int64_t *labels);  // where each batch will be
//       void step();                                                      // one step of the training, with that
//       std::size_t correct();                                            // how many of those it gets right
//   };
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H

#include <unistd.h>

#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "rds.hpp"

namespace train_loop {

constexpr std::size_t kClasses = 4;
constexpr std::size_t kPixels = 32;
constexpr std::size_t kEmbedding = 4;
constexpr std::size_t kObjects = 1024;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kEpochs = 8;
constexpr std::size_t kRows = kEpochs * kObjects;
// Objects of the last epoch that the classifier is not trained on.
constexpr std::size_t kHeldOut = kObjects / 4;
static_assert(kHeldOut % kBatch == 0 && kObjects % kBatch == 0, "every batch is full");

// Prints what is true, and counts what is not.
class Facts {
public:
    [[gnu::format(printf, 3, 4)]] void check(bool holds, const char *format, ...) {
        std::fputs(holds ? "ok: " : "FAILED: ", stdout);
        std::va_list arguments;
        va_start(arguments, format);
        std::vprintf(format, arguments);
        va_end(arguments);
        std::fputc('\n', stdout);
        failed_ += !holds;
    }
    int failed() const { return failed_; }

private:
    int failed_ = 0;
};

// ---- Data -----------------------------------------------------------------------------------------

struct Objects {
    std::vector<float> images;
    std::vector<std::int64_t> labels;
};

// From -1 to 1. The distributions of the standard library differ from one to the other.
inline float uniform(std::mt19937 &random) { return static_cast<float>(random()) / 2147483648.0F - 1; }

// Each class has an image, and each object is that of its class with noise.
inline Objects make_objects() {
    std::mt19937 random(20);
    std::vector<float> classes(kClasses * kPixels);
    for (float &pixel : classes) pixel = uniform(random);
    Objects objects;
    for (std::size_t object = 0; object < kObjects; ++object) {
        const std::size_t label = random() % kClasses;
        objects.labels.push_back(static_cast<std::int64_t>(label));
        for (std::size_t i = 0; i < kPixels; ++i) {
            objects.images.push_back(classes[label * kPixels + i] + 0.2F * uniform(random));
        }
    }
    return objects;
}

inline void shuffle(std::vector<std::uint64_t> &numbers, std::mt19937 &random) {
    for (std::size_t i = numbers.size(); i > 1; --i) std::swap(numbers[i - 1], numbers[random() % i]);
}

inline std::vector<std::uint64_t> count_up(std::size_t first, std::size_t count) {
    std::vector<std::uint64_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), first);
    return numbers;
}

// ---- Training that writes -------------------------------------------------------------------------

// What the autoencoder made of a batch, in memory of its own that lasts until the next step.
struct Step {
    rds::span<const float> embedding;
    rds::span<const float> reconstruction;
    float loss;
};

// What was given to the writer, to compare with what is read.
struct Written {
    std::vector<std::uint64_t> ids;
    std::vector<float> embedding, reconstruction;
    // Of each epoch.
    std::vector<float> loss;
};

// One row for each object and epoch.
template <class Autoencoder>
Written train_autoencoder(const char *path, const Objects &objects, Facts &facts) {
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open(path, options);
    Autoencoder model;
    Written written;
    std::mt19937 random(21);
    std::vector<std::uint64_t> order = count_up(0, kObjects);
    std::vector<float> images(kBatch * kPixels);
    std::vector<std::int64_t> labels(kBatch);
    for (std::size_t epoch = 0; epoch < kEpochs; ++epoch) {
        shuffle(order, random);
        float loss = 0;
        for (std::size_t first = 0; first < kObjects; first += kBatch) {
            const rds::span<const std::uint64_t> ids(order.data() + first, kBatch);
            for (std::size_t i = 0; i < kBatch; ++i) {
                std::memcpy(&images[i * kPixels], &objects.images[ids[i] * kPixels], kPixels * sizeof(float));
                labels[i] = objects.labels[ids[i]];
            }
            const Step step = model.step(images);
            writer.write(ids, {{"embedding", step.embedding, {kBatch, kEmbedding}},
                               {"reconstruction", step.reconstruction, {kBatch, kPixels}},
                               {"label", labels}});
            written.ids.insert(written.ids.end(), ids.begin(), ids.end());
            written.embedding.insert(written.embedding.end(), step.embedding.begin(), step.embedding.end());
            written.reconstruction.insert(written.reconstruction.end(), step.reconstruction.begin(),
                                          step.reconstruction.end());
            loss += step.loss * kBatch / kObjects;
        }
        written.loss.push_back(loss);
    }
    const std::uint64_t rows = writer.commit().rows;
    writer.close();
    facts.check(rows == kRows, "%zu objects in %zu epochs: %llu rows are stored", kObjects, kEpochs,
                static_cast<unsigned long long>(rows));
    facts.check(written.loss.back() < written.loss.front() / 5,
                "the loss of the autoencoder falls: %.2f in the first epoch, %.2f in the last", written.loss.front(),
                written.loss.back());
    return written;
}

// ---- What was written -----------------------------------------------------------------------------

// Bit for bit, as read by number.
inline bool is_stored(const rds::Reader &reader, const char *name, const std::vector<float> &written) {
    const std::vector<float> read = reader.read<float>(reader.column(name), count_up(0, kRows));
    return read.size() == written.size() && std::memcmp(read.data(), written.data(), read.size() * sizeof(float)) == 0;
}

// Of the stored reconstructions of the last epoch, whose ids say of which images they are.
inline float stored_loss(const rds::Reader &reader, const Objects &objects) {
    rds::Rows<float> reconstruction = reader.rows<float>(reader.column("reconstruction"));
    float sum = 0;
    for (std::uint64_t row = kRows - kObjects; row < kRows; ++row) {
        const std::size_t object = std::stoul(std::string(reader.id(row)));
        const rds::span<const float> values = reconstruction[row];
        for (std::size_t i = 0; i < kPixels; ++i) {
            const float difference = values[i] - objects.images[object * kPixels + i];
            sum += difference * difference;
        }
    }
    return sum / (kObjects * kPixels);
}

inline void check_rows(const rds::Reader &reader, const Objects &objects, const Written &written, Facts &facts) {
    facts.check(is_stored(reader, "embedding", written.embedding) &&
                    is_stored(reader, "reconstruction", written.reconstruction),
                "every row has the embedding and the reconstruction that were written");
    bool same = reader.size() == written.ids.size();
    for (std::uint64_t row = 0; same && row < kRows; ++row) same = reader.id(row) == std::to_string(written.ids[row]);
    facts.check(same && reader.find_all("7").size() == kEpochs, "every row has its id: each object is found %zu times",
                kEpochs);
    const float loss = stored_loss(reader, objects);
    facts.check(std::abs(loss - written.loss.back()) < 1e-4F,
                "the stored reconstructions are as far from their images as the loss of the last epoch says");
    const rds::RowSpan<float> span = reader.span<float>(reader.column("embedding"), 0);
    const rds::span<const float> values = span.values();
    facts.check(span.size() == kRows && values.size() == written.embedding.size() &&
                    std::memcmp(values.data(), written.embedding.data(), values.size_bytes()) == 0,
                "all embeddings lie in memory one behind the other, and are those that were written");
}

// ---- Training that reads --------------------------------------------------------------------------

// Memory that is made once, for every batch. It begins at a page: one that has a GPU makes it pinned, by
// cudaHostRegister(), and copies from it while the next batch is read.
template <class T>
class Pages {
public:
    explicit Pages(std::size_t count) : size_(count) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        memory_.reset(std::aligned_alloc(page, (count * sizeof(T) + page - 1) / page * page));
        if (!memory_) throw std::bad_alloc();
    }
    T *data() const { return static_cast<T *>(memory_.get()); }
    std::size_t size() const { return size_; }

private:
    struct Free {
        void operator()(void *memory) const { std::free(memory); }
    };
    std::unique_ptr<void, Free> memory_;
    std::size_t size_;
};

template <class Classifier>
void train_classifier(const rds::Reader &reader, Facts &facts) {
    const rds::Column embedding = reader.column("embedding"), label = reader.column("label");
    const Pages<float> embeddings(kBatch * kEmbedding);
    const Pages<std::int64_t> labels(kBatch);
    Classifier model(embeddings.data(), labels.data());
    const auto read = [&](const std::vector<std::uint64_t> &rows, std::size_t first) {
        const rds::span<const std::uint64_t> batch(rows.data() + first, kBatch);
        reader.read(embedding, batch, embeddings);
        reader.read(label, batch, labels);
    };
    const auto accuracy = [&](const std::vector<std::uint64_t> &rows) {
        std::size_t correct = 0;
        for (std::size_t first = 0; first < rows.size(); first += kBatch) {
            read(rows, first);
            correct += model.correct();
        }
        return 100 * static_cast<double>(correct) / static_cast<double>(rows.size());
    };
    // Those of the last epoch, whose objects came in random order.
    std::vector<std::uint64_t> rows = count_up(kRows - kObjects, kObjects - kHeldOut);
    const std::vector<std::uint64_t> held_out = count_up(kRows - kHeldOut, kHeldOut);
    const double before = accuracy(held_out);
    std::mt19937 random(22);
    for (std::size_t epoch = 0; epoch < kEpochs; ++epoch) {
        shuffle(rows, random);
        for (std::size_t first = 0; first < rows.size(); first += kBatch) {
            read(rows, first);
            model.step();
        }
    }
    const double after = accuracy(held_out);
    facts.check(before < 60 && after > 95,
                "the classifier learns from random rows: %.0f %% of others are right, then %.0f %%", before, after);
}

}  // namespace train_loop

#endif
