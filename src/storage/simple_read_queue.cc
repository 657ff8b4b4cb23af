#include <algorithm>
#include <optional>

#include "storage/store.h"

namespace dcp {
namespace {

class SimpleReadQueue final : public ReadQueue {
 public:
  explicit SimpleReadQueue(const ReadableFile* file) : file_(file) {}

  Status Start(uint64_t offset, MutableBytes out, uint64_t token) override {
    if (done_) return Status(Code::kInvalidArgument, "a read is in flight already (depth is 1)");
    uint64_t left = file_->size() - std::min(offset, file_->size());
    size_t size = std::min<uint64_t>(out.size(), left);
    if (size > 0) DCP_RETURN_IF_ERROR(file_->ReadAt(offset, out.first(size)));
    done_ = Done{token, size};
    return Status::Ok();
  }

  Result<Done> Wait() override {
    if (!done_) return Status(Code::kInvalidArgument, "no read is in flight");
    Done done = *done_;
    done_.reset();
    return done;
  }

 private:
  const ReadableFile* file_;
  std::optional<Done> done_;
};

}  // namespace

std::unique_ptr<ReadQueue> NewSimpleReadQueue(const ReadableFile* file) {
  return std::make_unique<SimpleReadQueue>(file);
}

}  // namespace dcp
