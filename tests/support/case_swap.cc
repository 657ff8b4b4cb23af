#include "support/case_swap.h"

#include "transform/version.h"

namespace dcp {
namespace {

std::byte Swapped(std::byte byte) {
  auto c = static_cast<unsigned char>(byte);
  bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  return letter ? byte ^ std::byte{0x20} : byte;
}

class CaseSwapStream final : public TransformStream {
 public:
  Status Push(Bytes in, const ByteSink& out) override {
    std::vector<std::byte> swapped(in.begin(), in.end());
    for (std::byte& byte : swapped) byte = Swapped(byte);
    return out(swapped);
  }
  Status Finish(const ByteSink& /*out*/) override { return Status::Ok(); }
};

class CaseSwap final : public Transform {
 public:
  std::string_view name() const override { return "stream.rot13"; }
  std::string_view version() const override { return "1"; }
  Result<std::unique_ptr<TransformStream>> NewEncoder() const override {
    return std::unique_ptr<TransformStream>(std::make_unique<CaseSwapStream>());
  }
  Result<std::unique_ptr<TransformStream>> NewDecoder(std::string_view stored) const override {
    DCP_RETURN_IF_ERROR(CheckTransformVersion(name(), stored, version()));
    return NewEncoder();
  }
};

}  // namespace

std::shared_ptr<const Transform> NewCaseSwapTransform() { return std::make_shared<CaseSwap>(); }

}  // namespace dcp
