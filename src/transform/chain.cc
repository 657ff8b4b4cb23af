#include <new>

#include "transform/transform.h"

namespace dcp {
namespace {

// Upstream reads one; what stacks more than this is no checkpoint but an attack on the reader.
constexpr size_t kMaxStages = 8;

// What a stage may give out on the way to an item of `size` bytes: encoded forms are hardly larger
// than what they encode, so more is a bomb whose last stage swallows it.
uint64_t StageLimit(uint64_t size) {
  uint64_t limit;
  if (!CheckedMul<uint64_t>(size, 2, &limit)) return UINT64_MAX;
  return CheckedAdd<uint64_t>(limit, uint64_t{1} << 20, &limit) ? limit : UINT64_MAX;
}

class DecodeChain {
 public:
  explicit DecodeChain(uint64_t max_size) : max_size_(max_size) {}

  void Add(std::unique_ptr<TransformStream> stream) { stages_.push_back({std::move(stream), 0}); }

  // The stages from `stage` on; behind the last one lies the result.
  Status PushFrom(size_t stage, Bytes in) {
    if (stage == stages_.size()) return Append(in);
    return stages_[stage].stream->Push(in, [&](Bytes out) { return Pass(stage, out); });
  }

  Status Finish() {
    for (size_t stage = 0; stage < stages_.size(); ++stage) {
      DCP_RETURN_IF_ERROR(
          stages_[stage].stream->Finish([&](Bytes out) { return Pass(stage, out); }));
    }
    return Status::Ok();
  }

  std::string TakeResult() { return std::move(result_); }

 private:
  struct Stage {
    std::unique_ptr<TransformStream> stream;
    uint64_t out_size;
  };

  Status Pass(size_t stage, Bytes out) {
    bool last = stage + 1 == stages_.size();
    uint64_t limit = last ? max_size_ : StageLimit(max_size_);
    uint64_t& size = stages_[stage].out_size;
    if (out.size() > limit - size) return TooLarge();
    size += out.size();
    return PushFrom(stage + 1, out);
  }

  Status Append(Bytes in) {
    if (in.size() > max_size_ - result_.size()) return TooLarge();
    try {
      result_.append(AsText(in));
    } catch (const std::bad_alloc&) {
      return Error(Code::kOutOfMemory, "no memory for a decoded entry of more than {} bytes",
                   result_.size());
    }
    return Status::Ok();
  }

  Status TooLarge() const {
    return Error(Code::kLimit, "the stored entry decodes to more than the {} bytes allowed",
                 max_size_);
  }

  const uint64_t max_size_;
  std::vector<Stage> stages_;
  std::string result_;
};

}  // namespace

Result<EncodeChain> EncodeChain::Create(
    std::span<const std::shared_ptr<const Transform>> transforms) {
  if (transforms.size() > kMaxStages) {
    return Error(Code::kInvalidArgument, "{} stream transforms; at most {} can be stacked",
                 transforms.size(), kMaxStages);
  }
  EncodeChain chain;
  for (size_t i = transforms.size(); i-- > 0;) {
    if (transforms[i] == nullptr) {
      return Error(Code::kInvalidArgument, "stream transform {} is null", i);
    }
    DCP_ASSIGN_OR_RETURN(auto stream, transforms[i]->NewEncoder());
    chain.stages_.push_back(std::move(stream));
  }
  return chain;
}

Status EncodeChain::PushFrom(size_t stage, Bytes in, const ByteSink& out) {
  if (stage == stages_.size()) return out(in);
  return stages_[stage]->Push(in, [&](Bytes passed) { return PushFrom(stage + 1, passed, out); });
}

Status EncodeChain::Finish(const ByteSink& out) {
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    DCP_RETURN_IF_ERROR(
        stages_[stage]->Finish([&](Bytes passed) { return PushFrom(stage + 1, passed, out); }));
  }
  return Status::Ok();
}

std::vector<std::string> DescriptorsFor(
    std::span<const std::shared_ptr<const Transform>> transforms) {
  std::vector<std::string> descriptors;
  for (size_t i = transforms.size(); i-- > 0;) descriptors.push_back(transforms[i]->Descriptor());
  return descriptors;
}

Result<std::string> DecodeAll(const TransformRegistry& registry,
                              std::span<const std::string> descriptors, Bytes encoded,
                              uint64_t max_size) {
  if (descriptors.size() > kMaxStages) {
    return Error(Code::kUnsupported, "the entry names {} stream transforms; at most {} are read",
                 descriptors.size(), kMaxStages);
  }
  DecodeChain chain(max_size);
  // The first descriptor saw the data first, so the file holds the output of the last.
  for (size_t i = descriptors.size(); i-- > 0;) {
    const std::string& descriptor = descriptors[i];
    DCP_ASSIGN_OR_RETURN(auto transform, registry.Find(descriptor));
    size_t slash = descriptor.find('/');
    std::string_view version;
    if (slash != std::string::npos) version = std::string_view(descriptor).substr(slash + 1);
    DCP_ASSIGN_OR_RETURN(auto stream, transform->NewDecoder(version));
    chain.Add(std::move(stream));
  }
  DCP_RETURN_IF_ERROR(chain.PushFrom(0, encoded));
  DCP_RETURN_IF_ERROR(chain.Finish());
  return chain.TakeResult();
}

}  // namespace dcp
