// The memo of the pickle machine: keeps only what the pickle will ask for.
#ifndef DCP_PICKLE_MEMO_H_
#define DCP_PICKLE_MEMO_H_

#include <array>
#include <cstdint>
#include <unordered_map>

#include "pickle/graph.h"
#include "pickle/recalled.h"

namespace dcp::pickle {

// Indices up to the input's length and a little further lie in arrays; no pickler counts beyond.
class Memo {
 public:
  // `alike`: whether to expect many objects whose states are alike.
  Memo(Input& input, bool alike);

  // No index from here on is kept by rank.
  uint64_t end() const { return end_; }
  // The indices put are 0, 1, 2 ..., each once.
  bool in_order() const { return !gaps_ && !replaced_; }
  // Which of the 64 indices from this one on are recalled.
  uint64_t RecalledFrom(uint64_t index) const { return recalled_.WordFrom(index); }
  // Puts something at the next `entries` indices; Fill tells what, where it is asked for. Needs
  // in_order().
  void Skip(uint64_t entries) { count_ += entries; }
  void Fill(uint64_t index, NodeId node) { Keep(index, node); }

  // Entries put so far, recalled or not; MEMOIZE's next index.
  uint64_t count() const { return count_; }
  // Puts `node` at `index`. True when it can be recalled.
  bool Put(uint64_t index, NodeId node) {
    if (index >= end_) {
      PutFar(index, node);
      return true;
    }
    if ((index == count_ && !gaps_) || IsNew(index)) {
      ++count_;
    } else {
      replaced_ = true;
    }
    if (!recalled_.Has(index)) return false;
    Keep(index, node);
    return true;
  }
  // kNoNode when nothing was put there.
  NodeId Get(uint64_t index) {
    if (index >= end_) return GetFar(index);
    if (IsRecent(index)) return recent_[index % recent_.size()].node;
    if (!recalled_.Has(index)) return kNoNode;
    const NodeId node = kept_[recalled_.Rank(index)];
    SetRecent(index, node);
    return node;
  }

 private:
  // A few entries asked for again and again (classes, names of fields), so as not to rank them.
  struct Recent {
    uint64_t index;
    NodeId node;
  };
  bool IsRecent(uint64_t index) const {
    return (has_recent_ >> index % recent_.size() & 1) != 0 &&
           recent_[index % recent_.size()].index == index;
  }
  void SetRecent(uint64_t index, NodeId node) {
    recent_[index % recent_.size()] = {index, node};
    has_recent_ |= uint64_t{1} << index % recent_.size();
  }
  void Keep(uint64_t index, NodeId node) {
    kept_[recalled_.Rank(index)] = node;
    SetRecent(index, node);
  }
  void AllowGaps();
  bool IsNew(uint64_t index);
  void PutFar(uint64_t index, NodeId node);
  NodeId GetFar(uint64_t index) const;

  const uint64_t end_;
  const Recalled recalled_;
  PodArray<NodeId> kept_;          // by rank
  std::array<Recent, 64> recent_;  // many memos are small: not filled before they are used
  uint64_t has_recent_ = 0;        // bit i: recent_[i] is one
  uint64_t count_ = 0;
  bool replaced_ = false;   // some index was put again
  bool gaps_ = false;       // the indices put are no longer 0, 1, 2 ...
  PodArray<uint64_t> put_;  // with gaps: which there were
  std::unordered_map<uint64_t, NodeId> far_;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_MEMO_H_
