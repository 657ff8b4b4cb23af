// The memo of the pickle machine: keeps only what the pickle will ask for.
#ifndef DCP_PICKLE_MEMO_H_
#define DCP_PICKLE_MEMO_H_

#include <cstdint>
#include <unordered_map>

#include "pickle/graph.h"
#include "pickle/recalled.h"

namespace dcp::pickle {

// Indices up to the input's length and a little further lie in arrays; no pickler counts beyond.
class Memo {
 public:
  explicit Memo(Bytes input);

  // Entries put so far, recalled or not; MEMOIZE's next index.
  uint64_t count() const { return count_; }
  // Puts `node` at `index`. True when it can be recalled.
  bool Put(uint64_t index, NodeId node) {
    if (index == count_ && !gaps_ && index < end_) {
      ++count_;
    } else if (index >= end_) {
      PutFar(index, node);
      return true;
    } else if (IsNew(index)) {
      ++count_;
    }
    if (!recalled_.Has(index)) return false;
    kept_[recalled_.Rank(index)] = node;
    return true;
  }
  // kNoNode when nothing was put there.
  NodeId Get(uint64_t index) const {
    if (recalled_.Has(index)) return kept_[recalled_.Rank(index)];
    return index < end_ ? kNoNode : GetFar(index);
  }

 private:
  void AllowGaps();
  bool IsNew(uint64_t index);
  void PutFar(uint64_t index, NodeId node);
  NodeId GetFar(uint64_t index) const;

  const uint64_t end_;
  const Recalled recalled_;
  PodArray<NodeId> kept_;  // by rank
  uint64_t count_ = 0;
  bool gaps_ = false;       // the indices put are no longer 0, 1, 2 ...
  PodArray<uint64_t> put_;  // with gaps: which there were
  std::unordered_map<uint64_t, NodeId> far_;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_MEMO_H_
