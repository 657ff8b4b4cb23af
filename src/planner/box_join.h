// Which boxes of two sets overlap: near-linear for the layouts that tensors are cut into.
#ifndef DCP_PLANNER_BOX_JOIN_H_
#define DCP_PLANNER_BOX_JOIN_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/shape.h"

namespace dcp {

// Boxes of one rank, as half-open intervals [low, high) a dimension.
class BoxList {
 public:
  explicit BoxList(size_t ndim) : ndim_(ndim) {}

  size_t ndim() const { return ndim_; }
  size_t size() const { return count_; }
  void Reserve(size_t count) { bounds_.reserve(2 * ndim_ * count); }
  // offset + size must fit int64. Every size must be positive: an empty box overlaps nothing, so
  // it has no place here.
  void Add(Box box);
  void Clear();

  const int64_t* low(size_t i) const { return bounds_.data() + 2 * ndim_ * i; }
  const int64_t* high(size_t i) const { return low(i) + ndim_; }

 private:
  size_t ndim_;
  size_t count_ = 0;
  std::vector<int64_t> bounds_;
};

// Returns false to stop the join.
using PairVisitor = std::function<bool(uint32_t, uint32_t)>;

// Calls visit(i, j) once for each i of `left` and j of `right` that share an element, in no
// particular order. Both lists have the same ndim. Space is cut in halves, recursively, where few
// boxes are cut; work is O(n log n) for grids, and at worst one comparison a pair.
void JoinBoxes(const BoxList& left, const BoxList& right, const PairVisitor& visit);

// Calls visit(i, j), i < j, once for each two boxes of `boxes` that share an element.
void JoinSelf(const BoxList& boxes, const PairVisitor& visit);

}  // namespace dcp

#endif  // DCP_PLANNER_BOX_JOIN_H_
