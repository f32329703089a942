// Results are stored while a model is trained, and another model is trained on them, with libtorch: rows are written
// from the memory of tensors, read into the memory of tensors, and are a tensor themselves, by DLPack. The loops are in
// train_loop.h; train_loop_plain.cpp is the same without libtorch. `make test-libtorch` builds and runs it.
#include <ATen/DLConvertor.h>
#include <ATen/dlpack.h>
#include <torch/torch.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "rds.hpp"
#include "train_loop.h"

#ifndef DLPACK_MAJOR_VERSION
// The dlpack.h of libtorch is older than DLPack 1.0, of which librds gives tensors.
struct DLPackVersion {
    std::uint32_t major, minor;
};
struct DLManagedTensorVersioned {
    DLPackVersion version;
    void *manager_ctx;
    void (*deleter)(DLManagedTensorVersioned *self);
    std::uint64_t flags;
    DLTensor dl_tensor;
};
#endif

using namespace train_loop;

namespace {

// The memory of a tensor, which must outlive what is returned.
rds::span<const float> values(const torch::Tensor &tensor) {
    TORCH_CHECK(tensor.is_contiguous() && tensor.device().is_cpu(), "not one behind the other, in memory of the CPU");
    return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

// Memory as a tensor. libtorch has no constant ones.
template <class T>
torch::Tensor tensor_of(const T *data, torch::IntArrayRef shape) {
    return torch::from_blob(const_cast<T *>(data), shape, torch::CppTypeToScalarType<T>::value);
}

class Autoencoder {
public:
    Autoencoder() : encoder_(kPixels, kEmbedding), decoder_(kEmbedding, kPixels), optimizer_(parameters(), 0.01) {}

    Step step(const std::vector<float> &images) {
        const torch::Tensor batch = tensor_of(images.data(), {kBatch, kPixels});
        embedding_ = torch::tanh(encoder_(batch));
        reconstruction_ = decoder_(embedding_);
        const torch::Tensor loss = torch::mse_loss(reconstruction_, batch);
        optimizer_.zero_grad();
        loss.backward();
        optimizer_.step();
        return {values(embedding_), values(reconstruction_), loss.item<float>()};
    }

private:
    std::vector<torch::Tensor> parameters() const {
        std::vector<torch::Tensor> all = encoder_->parameters();
        for (const torch::Tensor &one : decoder_->parameters()) all.push_back(one);
        return all;
    }

    torch::nn::Linear encoder_, decoder_;
    torch::optim::Adam optimizer_;
    torch::Tensor embedding_, reconstruction_;
};

class Classifier {
public:
    Classifier(const float *embeddings, const std::int64_t *labels)
        : embeddings_(tensor_of(embeddings, {kBatch, kEmbedding})), labels_(tensor_of(labels, {kBatch})),
          model_(kEmbedding, kClasses), optimizer_(model_->parameters(), 0.05) {}

    void step() {
        const torch::Tensor loss = torch::nn::functional::cross_entropy(model_(embeddings_), labels_);
        optimizer_.zero_grad();
        loss.backward();
        optimizer_.step();
    }

    std::size_t correct() {
        const torch::NoGradGuard no_gradients;
        return static_cast<std::size_t>(model_(embeddings_).argmax(1).eq(labels_).sum().item<std::int64_t>());
    }

private:
    // Tensors of the memory that each batch is read into: nothing is made for a batch.
    torch::Tensor embeddings_, labels_;
    torch::nn::Linear model_;
    torch::optim::Adam optimizer_;
};

using Dlpack = std::unique_ptr<DLManagedTensorVersioned, rds::DlpackDelete>;

// The tensor of before DLPack 1.0 that libtorch takes, over the same memory, which is released with it. That it is not
// to be written to is lost: what is written to it changes this process' map, but neither the file nor others.
torch::Tensor from_dlpack(Dlpack tensor) {
    auto old = std::make_unique<DLManagedTensor>();
    old->dl_tensor = tensor->dl_tensor;
    old->manager_ctx = tensor.release();
    old->deleter = [](DLManagedTensor *self) {
        const std::unique_ptr<DLManagedTensor> freed(self);
        const Dlpack released(static_cast<DLManagedTensorVersioned *>(self->manager_ctx));
    };
    return at::fromDLPack(old.release());
}

void check_dlpack(rds::Reader &reader, const Written &written, Facts &facts) {
    const rds::Column embedding = reader.column("embedding");
    const torch::Tensor all = from_dlpack(reader.dlpack(embedding, 0, kRows));
    const float *mapped = reader.span<float>(embedding, 0).data();
    facts.check(mapped && all.data_ptr<float>() == mapped,
                "the tensor of all embeddings is the map of their file, no copy");
    reader.close();
    facts.check(torch::equal(all, tensor_of(written.embedding.data(), {kRows, kEmbedding})),
                "when its reader is closed the tensor still has what was written");
}

}  // namespace

int main(int argc, char **argv) try {
    const char *path = argc > 1 ? argv[1] : "train_results";
    torch::manual_seed(24);
    Facts facts;
    const Objects objects = make_objects();
    const Written written = train_autoencoder<Autoencoder>(path, objects, facts);
    rds::Reader reader = rds::Reader::open(path);
    check_rows(reader, objects, written, facts);
    train_classifier<Classifier>(reader, facts);
    check_dlpack(reader, written, facts);
    return facts.failed() != 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
