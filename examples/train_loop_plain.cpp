// Results are stored while a model is trained, and another model is trained on them, in C++ without a library for
// models: a linear autoencoder and a logistic classifier. train_loop.cpp is the same with libtorch.
//
//   c++ -std=c++17 train_loop_plain.cpp -lrds -o train_loop_plain && ./train_loop_plain train_results
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <vector>

#include "rds.hpp"
#include "train_loop.h"

using namespace train_loop;

namespace {

// A matrix, one row behind the other.
struct Matrix {
    Matrix(std::size_t rows, std::size_t columns) : rows(rows), columns(columns), values(rows * columns) {}
    float *operator[](std::size_t row) { return &values[row * columns]; }
    const float *operator[](std::size_t row) const { return &values[row * columns]; }
    void clear() { std::fill(values.begin(), values.end(), 0.0F); }

    std::size_t rows, columns;
    std::vector<float> values;
};

// out[b] += a[b] * weights, for each row of a batch.
void forward(const Matrix &a, const Matrix &weights, Matrix &out) {
    for (std::size_t b = 0; b < a.rows; ++b) {
        for (std::size_t i = 0; i < weights.rows; ++i) {
            for (std::size_t o = 0; o < weights.columns; ++o) out[b][o] += a[b][i] * weights[i][o];
        }
    }
}

// What a gradient of forward()'s output is of its input.
void backward(const Matrix &gradient, const Matrix &weights, Matrix &out) {
    for (std::size_t b = 0; b < gradient.rows; ++b) {
        for (std::size_t i = 0; i < weights.rows; ++i) {
            for (std::size_t o = 0; o < weights.columns; ++o) out[b][i] += gradient[b][o] * weights[i][o];
        }
    }
}

// A step down the gradient of forward()'s weights.
void descend(Matrix &weights, const Matrix &a, const Matrix &gradient, float rate) {
    for (std::size_t b = 0; b < a.rows; ++b) {
        for (std::size_t i = 0; i < weights.rows; ++i) {
            for (std::size_t o = 0; o < weights.columns; ++o) weights[i][o] -= rate * a[b][i] * gradient[b][o];
        }
    }
}

class Autoencoder {
public:
    Autoencoder() {
        std::mt19937 random(23);
        for (Matrix *weights : {&encoder_, &decoder_}) {
            for (float &weight : weights->values) weight = 0.2F * uniform(random);
        }
    }

    Step step(const std::vector<float> &images) {
        images_.values = images;
        for (Matrix *matrix : {&embedding_, &reconstruction_, &hidden_}) matrix->clear();
        forward(images_, encoder_, embedding_);
        forward(embedding_, decoder_, reconstruction_);
        float loss = 0;
        for (std::size_t i = 0; i < images.size(); ++i) {
            gradient_.values[i] = reconstruction_.values[i] - images[i];
            loss += gradient_.values[i] * gradient_.values[i];
        }
        backward(gradient_, decoder_, hidden_);
        descend(decoder_, embedding_, gradient_, kRate);
        descend(encoder_, images_, hidden_, kRate);
        return {embedding_.values, reconstruction_.values, loss / (kBatch * kPixels)};
    }

private:
    static constexpr float kRate = 0.1F / kBatch;
    Matrix encoder_{kPixels, kEmbedding}, decoder_{kEmbedding, kPixels};
    Matrix images_{kBatch, kPixels}, embedding_{kBatch, kEmbedding}, reconstruction_{kBatch, kPixels};
    Matrix gradient_{kBatch, kPixels}, hidden_{kBatch, kEmbedding};
};

class Classifier {
public:
    Classifier(const float *embeddings, const std::int64_t *labels) : embeddings_(embeddings), labels_(labels) {}

    void step() {
        predict();
        for (std::size_t b = 0; b < kBatch; ++b) {
            float sum = 0;
            for (std::size_t c = 0; c < kClasses; ++c) sum += std::exp(logits_[b][c]);
            for (std::size_t c = 0; c < kClasses; ++c) {
                const bool is_label = labels_[b] == static_cast<std::int64_t>(c);
                logits_[b][c] = std::exp(logits_[b][c]) / sum - (is_label ? 1.0F : 0.0F);
            }
        }
        descend(weights_, batch_, logits_, kRate);
    }

    std::size_t correct() {
        predict();
        std::size_t correct = 0;
        for (std::size_t b = 0; b < kBatch; ++b) {
            correct += std::max_element(logits_[b], logits_[b] + kClasses) - logits_[b] == labels_[b];
        }
        return correct;
    }

private:
    void predict() {
        batch_.values.assign(embeddings_, embeddings_ + kBatch * kEmbedding);
        logits_.clear();
        forward(batch_, weights_, logits_);
    }

    static constexpr float kRate = 0.5F / kBatch;
    const float *embeddings_;
    const std::int64_t *labels_;
    Matrix weights_{kEmbedding, kClasses}, batch_{kBatch, kEmbedding}, logits_{kBatch, kClasses};
};

}  // namespace

int main(int argc, char **argv) try {
    const char *path = argc > 1 ? argv[1] : "train_results";
    Facts facts;
    const Objects objects = make_objects();
    const Written written = train_autoencoder<Autoencoder>(path, objects, facts);
    const rds::Reader reader = rds::Reader::open(path);
    check_rows(reader, objects, written, facts);
    train_classifier<Classifier>(reader, facts);
    return facts.failed() != 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
