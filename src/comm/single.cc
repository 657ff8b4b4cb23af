#include "comm/communicator.h"

namespace dcp {
namespace {

class SingleCommunicator final : public Communicator {
 public:
  int32_t rank() const override { return 0; }
  int32_t world_size() const override { return 1; }

  Result<std::vector<std::string>> Gather(std::string bytes, int32_t root, Deadline) override {
    DCP_RETURN_IF_ERROR(CheckRoot(root));
    std::vector<std::string> all;
    all.push_back(std::move(bytes));
    return all;
  }

  Result<std::string> Scatter(std::vector<std::string> parts, int32_t root, Deadline) override {
    DCP_RETURN_IF_ERROR(CheckRoot(root));
    if (parts.size() != 1) {
      return Error(Code::kInvalidArgument, "scatter of {} parts in a group of one rank",
                   parts.size());
    }
    return std::move(parts[0]);
  }

  Result<std::string> Broadcast(std::string bytes, int32_t root, Deadline) override {
    DCP_RETURN_IF_ERROR(CheckRoot(root));
    return bytes;
  }

  Status Barrier(Deadline) override { return Status::Ok(); }

 private:
  static Status CheckRoot(int32_t root) {
    if (root == 0) return Status::Ok();
    return Error(Code::kInvalidArgument, "root {} in a group of one rank", root);
  }
};

}  // namespace

std::unique_ptr<Communicator> NewSingleCommunicator() {
  return std::make_unique<SingleCommunicator>();
}

}  // namespace dcp
