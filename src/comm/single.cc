#include "comm/communicator.h"

namespace dcp {
namespace {

class SingleCommunicator final : public Communicator {
 public:
  int32_t rank() const override { return 0; }
  int32_t world_size() const override { return 1; }

  Result<Gathered> Gather(std::string bytes, int32_t root, Silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    Gathered gathered;
    gathered.buffers.push_back(std::move(bytes));
    return gathered;
  }

  Result<std::string> Scatter(std::vector<std::string> parts, int32_t root, Silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    if (parts.size() != 1) {
      return Error(Code::kInvalidArgument, "scatter of {} parts in a group of one rank",
                   parts.size());
    }
    return std::move(parts[0]);
  }

  Result<std::string> Broadcast(std::string bytes, int32_t root, Silence) override {
    DCP_RETURN_IF_ERROR(CheckRoot(*this, root));
    return bytes;
  }

  Result<std::vector<std::string>> AllGather(std::string bytes, Silence) override {
    std::vector<std::string> all;
    all.push_back(std::move(bytes));
    return all;
  }

  Status Barrier(Silence) override { return Status::Ok(); }
};

}  // namespace

std::unique_ptr<Communicator> NewSingleCommunicator() {
  return std::make_unique<SingleCommunicator>();
}

}  // namespace dcp
