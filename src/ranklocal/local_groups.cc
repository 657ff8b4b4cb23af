#include "ranklocal/local_groups.h"

#include <algorithm>
#include <utility>

#include "comm/local.h"

namespace dcp {
namespace {

constexpr int64_t kMost = 4096;

}  // namespace

Result<std::shared_ptr<Barrier>> LocalGroups::Join(const std::string& group, int64_t rank,
                                                   int64_t world_size) {
  if (world_size < 1 || world_size > kMost || rank < 0 || rank >= world_size) {
    return Error(Code::kInvalidArgument,
                 "rank {} of {} in the group '{}': 1 to {} ranks are allowed", rank, world_size,
                 group, kMost);
  }
  const std::lock_guard lock(mutex_);
  auto found = groups_.find(group);
  if (found == groups_.end()) {
    std::vector<std::shared_ptr<Communicator>> ranks;
    for (auto& comm : NewLocalCommunicators(static_cast<int32_t>(world_size))) {
      ranks.push_back(std::move(comm));
    }
    found = groups_.emplace(group, std::move(ranks)).first;
  }
  auto& ranks = found->second;
  if (ranks.size() != static_cast<size_t>(world_size)) {
    return Error(Code::kMismatch, "the group '{}' has {} ranks, rank {} says {}", group,
                 ranks.size(), rank, world_size);
  }
  std::shared_ptr<Communicator>& mine = ranks[static_cast<size_t>(rank)];
  if (mine == nullptr) {
    return Error(Code::kAlreadyExists, "rank {} of the group '{}' has its barrier", rank, group);
  }
  std::shared_ptr<Barrier> barrier = NewCommunicatorBarrier(std::exchange(mine, nullptr));
  if (std::all_of(ranks.begin(), ranks.end(), [](const auto& comm) { return comm == nullptr; })) {
    groups_.erase(found);
  }
  return barrier;
}

}  // namespace dcp
