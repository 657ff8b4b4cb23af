#include "planner/box_join.h"

#include <algorithm>
#include <numeric>

namespace dcp {
namespace {

using Ids = std::vector<uint32_t>;

constexpr size_t kLeafPairs = 1024;   // compared one by one without looking for a cut
constexpr size_t kSamples = 64;       // bounds looked at to choose a cut, a side
constexpr int kMaxDepth = 96;         // of the recursion
constexpr double kWorthwhile = 0.95;  // a cut must leave at most this part of the pairs

struct Cut {
  size_t dim = 0;
  int64_t at = 0;
  double pairs = 0;  // left to compare after it
};

// A cell is the region [floor, ceiling). A pair belongs to the one cell that holds the lowest
// corner of its intersection, so boxes that were cut are not reported twice.
class Join {
 public:
  Join(const BoxList& left, const BoxList& right, bool self, const PairVisitor& visit)
      : left_(left), right_(right), self_(self), visit_(visit) {
    FindDims();
    floor_.assign(left.ndim(), INT64_MIN);
    ceiling_.assign(left.ndim(), INT64_MAX);
  }

  void Run() {
    Ids a(left_.size());
    std::iota(a.begin(), a.end(), 0);
    Ids b;
    if (!self_) {
      b.resize(right_.size());
      std::iota(b.begin(), b.end(), 0);
    }
    Visit(a, self_ ? a : b, 0);
  }

 private:
  // Dimensions in which all boxes are alike cut nothing off and separate nothing.
  void FindDims() {
    if (left_.size() == 0 || right_.size() == 0) return;
    for (size_t d = 0; d < left_.ndim(); ++d) {
      int64_t low = left_.low(0)[d], high = left_.high(0)[d];
      auto differs = [&](const BoxList& boxes) {
        for (size_t i = 0; i < boxes.size(); ++i) {
          if (boxes.low(i)[d] != low || boxes.high(i)[d] != high) return true;
        }
        return false;
      };
      if (differs(left_) || (!self_ && differs(right_))) dims_.push_back(d);
    }
  }

  bool Visit(const Ids& a, const Ids& b, int depth) {
    if (a.empty() || b.empty()) return true;
    double pairs = static_cast<double>(a.size()) * static_cast<double>(b.size());
    if (pairs <= kLeafPairs || depth >= kMaxDepth) return CompareAll(a, b);
    Cut cut = ChooseCut(a, b, pairs);
    if (cut.pairs > kWorthwhile * pairs) return CompareAll(a, b);

    size_t d = cut.dim;
    {
      Ids below_a = Below(left_, a, d, cut.at);
      Ids below_b = self_ ? Ids() : Below(right_, b, d, cut.at);
      int64_t kept = ceiling_[d];
      ceiling_[d] = cut.at;
      bool more = Visit(below_a, self_ ? below_a : below_b, depth + 1);
      ceiling_[d] = kept;
      if (!more) return false;
    }
    Ids above_a = Above(left_, a, d, cut.at);
    Ids above_b = self_ ? Ids() : Above(right_, b, d, cut.at);
    int64_t kept = floor_[d];
    floor_[d] = cut.at;
    bool more = Visit(above_a, self_ ? above_a : above_b, depth + 1);
    floor_[d] = kept;
    return more;
  }

  static Ids Below(const BoxList& boxes, const Ids& ids, size_t d, int64_t at) {
    Ids out;
    out.reserve(ids.size() / 2 + 8);
    for (uint32_t id : ids) {
      if (boxes.low(id)[d] < at) out.push_back(id);
    }
    return out;
  }
  static Ids Above(const BoxList& boxes, const Ids& ids, size_t d, int64_t at) {
    Ids out;
    out.reserve(ids.size() / 2 + 8);
    for (uint32_t id : ids) {
      if (boxes.high(id)[d] > at) out.push_back(id);
    }
    return out;
  }

  Cut ChooseCut(const Ids& a, const Ids& b, double pairs) {
    Cut best;
    best.pairs = pairs;
    for (size_t d : dims_) {
      samples_.clear();
      Sample(left_, a, d);
      if (!self_) Sample(right_, b, d);
      if (samples_.empty()) continue;
      auto middle = samples_.begin() + static_cast<ptrdiff_t>(samples_.size() / 2);
      std::nth_element(samples_.begin(), middle, samples_.end());
      int64_t at = *middle;
      auto [below_a, above_a] = Count(left_, a, d, at);
      auto [below_b, above_b] = self_ ? std::pair(below_a, above_a) : Count(right_, b, d, at);
      double left_over = below_a * below_b + above_a * above_b;
      if (left_over < best.pairs) best = {d, at, left_over};
    }
    return best;
  }

  // Bounds strictly inside the cell: a cut elsewhere separates nothing.
  void Sample(const BoxList& boxes, const Ids& ids, size_t d) {
    size_t step = std::max<size_t>(1, ids.size() / kSamples);
    for (size_t i = 0; i < ids.size(); i += step) {
      for (int64_t at : {boxes.low(ids[i])[d], boxes.high(ids[i])[d]}) {
        if (at > floor_[d] && at < ceiling_[d]) samples_.push_back(at);
      }
    }
  }

  static std::pair<double, double> Count(const BoxList& boxes, const Ids& ids, size_t d,
                                         int64_t at) {
    size_t below = 0, above = 0;
    for (uint32_t id : ids) {
      below += boxes.low(id)[d] < at;
      above += boxes.high(id)[d] > at;
    }
    return {static_cast<double>(below), static_cast<double>(above)};
  }

  bool CompareAll(const Ids& a, const Ids& b) {
    for (size_t i = 0; i < a.size(); ++i) {
      for (size_t j = self_ ? i + 1 : 0; j < b.size(); ++j) {
        if (Owned(a[i], b[j]) && !visit_(a[i], b[j])) return false;
      }
    }
    return true;
  }

  bool Owned(uint32_t a, uint32_t b) const {
    const int64_t* low_a = left_.low(a);
    const int64_t* high_a = left_.high(a);
    const int64_t* low_b = right_.low(b);
    const int64_t* high_b = right_.high(b);
    for (size_t d : dims_) {
      int64_t low = std::max(low_a[d], low_b[d]);
      if (low >= std::min(high_a[d], high_b[d]) || low < floor_[d] || low >= ceiling_[d]) {
        return false;
      }
    }
    return true;
  }

  const BoxList& left_;
  const BoxList& right_;
  const bool self_;
  const PairVisitor& visit_;
  std::vector<size_t> dims_;
  std::vector<int64_t> floor_;
  std::vector<int64_t> ceiling_;
  std::vector<int64_t> samples_;
};

// True when a single dimension separates all boxes, the way of most shardings. A false says
// nothing.
bool ApartInOneDim(const BoxList& boxes) {
  for (size_t d = 0; d < boxes.ndim(); ++d) {
    bool apart = true;
    for (size_t i = 1; i < boxes.size() && apart; ++i) {
      apart = boxes.low(i)[d] >= boxes.high(i - 1)[d];
    }
    if (apart) return true;
  }
  return false;
}

}  // namespace

void BoxList::Add(Box box) {
  for (int64_t offset : box.offsets) bounds_.push_back(offset);
  for (size_t d = 0; d < ndim_; ++d) bounds_.push_back(box.offsets[d] + box.sizes[d]);
  ++count_;
}

void BoxList::Clear() {
  bounds_.clear();
  count_ = 0;
}

void JoinBoxes(const BoxList& left, const BoxList& right, const PairVisitor& visit) {
  Join(left, right, false, visit).Run();
}

void JoinSelf(const BoxList& boxes, const PairVisitor& visit) {
  if (boxes.size() < 2 || ApartInOneDim(boxes)) return;
  Join(boxes, boxes, true, visit).Run();
}

}  // namespace dcp
