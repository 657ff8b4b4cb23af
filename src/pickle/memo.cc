#include "pickle/memo.h"

#include <algorithm>

namespace dcp::pickle {
namespace {

constexpr uint64_t kFree = 1024;

}  // namespace

Memo::Memo(Input& input, bool alike)
    : end_(input.bytes().size() + kFree), recalled_(input, end_, alike) {
  std::fill_n(kept_.Extend(recalled_.count()), recalled_.count(), kNoNode);
}

// From here on `put_` tells which indices there were; so far it was the first count_.
void Memo::AllowGaps() {
  gaps_ = true;
  const size_t words = static_cast<size_t>(count_ / 64 + 1);
  std::fill_n(put_.Extend(words), words, ~uint64_t{0});
  put_.back() = (uint64_t{1} << count_ % 64) - 1;
}

bool Memo::IsNew(uint64_t index) {
  if (!gaps_) {
    if (index < count_) return false;
    AllowGaps();
  }
  if (index / 64 >= put_.size()) {
    const size_t added = static_cast<size_t>(index / 64) + 1 - put_.size();
    std::fill_n(put_.Extend(added), added, 0);
  }
  uint64_t& word = put_[static_cast<size_t>(index / 64)];
  const uint64_t bit = uint64_t{1} << index % 64;
  const bool fresh = (word & bit) == 0;
  word |= bit;
  return fresh;
}

void Memo::PutFar(uint64_t index, NodeId node) {
  if (!gaps_) AllowGaps();
  if (far_.insert_or_assign(index, node).second) ++count_;
}

NodeId Memo::GetFar(uint64_t index) const {
  auto found = far_.find(index);
  return found == far_.end() ? kNoNode : found->second;
}

}  // namespace dcp::pickle
