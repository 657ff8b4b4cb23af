#include "planner/set_order.h"

#include <algorithm>

namespace dcp {
namespace {

constexpr uint32_t kFree = 0xffffffff;
constexpr uint64_t kFirstSize = 8;
constexpr uint64_t kNeighbours = 9;  // looked at after a place, where that many follow it
constexpr int kPerturbShift = 5;
constexpr uint64_t kLarge = 50000;  // members: from here on a table doubles

// A table is made larger once three fifths of its places are taken.
bool IsFull(uint64_t used, uint64_t size) { return used * 5 >= (size - 1) * 3; }

uint64_t SizeAfter(uint64_t used) {
  const uint64_t least = used > kLarge ? used * 2 : used * 4;
  uint64_t size = kFirstSize;
  while (size <= least) size *= 2;
  return size;
}

}  // namespace

std::span<const uint32_t> SetOrder::Of(std::span<const uint32_t> members) {
  // The hash of a small number is the number: where each has a place of its own, they ascend.
  if (members.empty() || members.back() < std::max<uint64_t>(kFirstSize, members.size())) {
    return members;
  }

  table_.assign(kFirstSize, kFree);
  uint64_t used = 0;
  for (uint32_t member : members) {
    Insert(member);
    if (IsFull(++used, table_.size())) Grow(used);
  }
  order_.clear();
  for (uint32_t member : table_) {
    if (member != kFree) order_.push_back(member);
  }
  return order_;
}

void SetOrder::Grow(uint64_t used) {
  order_.swap(table_);
  table_.assign(SizeAfter(used), kFree);
  for (uint32_t member : order_) {
    if (member != kFree) Insert(member);
  }
}

void SetOrder::Insert(uint32_t member) {
  const uint64_t mask = table_.size() - 1;
  uint64_t perturb = member;
  for (uint64_t at = member & mask;; at = (at * 5 + 1 + perturb) & mask) {
    const uint64_t last = at + kNeighbours <= mask ? at + kNeighbours : at;
    for (uint64_t place = at; place <= last; ++place) {
      if (table_[place] != kFree) continue;
      table_[place] = member;
      return;
    }
    perturb >>= kPerturbShift;
  }
}

}  // namespace dcp
