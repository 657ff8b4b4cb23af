// What all ranks hold under one name, before and after it is decided who writes what.
#ifndef DCP_PLANNER_GATHERED_NAME_H_
#define DCP_PLANNER_GATHERED_NAME_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/shape.h"
#include "planner/plan.h"

namespace dcp {

// Items are numbered in the order of ranks, and within a rank of its plan. Either all are kBytes or
// none is.
struct GatheredName {
  static constexpr uint32_t kNone = 0xffffffff;

  std::string name;
  WriteKind kind = WriteKind::kBytes;   // of item 0
  Shape size;                           // of tensors: the same in all items
  uint32_t properties = 0;              // of all items, unless properties_of is filled
  std::vector<uint32_t> ranks;          // [item]
  std::vector<int64_t> boxes;           // of tensors, as in Entry
  std::vector<WriteKind> kinds;         // [item]; empty: all as item 0
  std::vector<uint32_t> properties_of;  // [item]; empty: all alike

  // Filled by FindRepeats when two items have one key; else empty.
  std::vector<uint32_t> first;  // [item]: the first item with its key
  std::vector<uint32_t> next;   // [item]: the next item with its key, or kNone
  std::vector<uint8_t> keep;    // [item]: by Deal

  uint32_t entry = kNone;  // of the merged metadata
  uint32_t kept = 0;       // items of that entry so far

  size_t ndim() const { return size.size(); }
  bool repeats() const { return !first.empty(); }
  bool keeps(uint32_t item) const { return keep.empty() || keep[item] != 0; }
  WriteKind kind_of(uint32_t item) const { return kinds.empty() ? kind : kinds[item]; }
  uint32_t properties_at(uint32_t item) const {
    return properties_of.empty() ? properties : properties_of[item];
  }
  Dims offsets(uint32_t item) const { return Dims(boxes).subspan(2 * ndim() * item, ndim()); }
};

}  // namespace dcp

#endif  // DCP_PLANNER_GATHERED_NAME_H_
