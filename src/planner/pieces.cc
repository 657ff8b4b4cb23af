#include "planner/pieces.h"

#include <algorithm>
#include <numeric>

#include "planner/box_join.h"

namespace dcp {
namespace {

constexpr size_t kMaxCuts = 1 << 20;

BoxList ListOf(size_t ndim, const std::vector<ChunkPiece>& pieces) {
  BoxList boxes(ndim);
  boxes.Reserve(pieces.size());
  for (const ChunkPiece& piece : pieces) boxes.Add({piece.offsets, piece.sizes});
  return boxes;
}

// Keeps the first of each set of equal boxes, in order.
void DropRepeats(std::vector<ChunkPiece>* pieces) {
  std::vector<uint32_t> order(pieces->size());
  std::iota(order.begin(), order.end(), 0);
  auto compare = [&](uint32_t a, uint32_t b) {
    const ChunkPiece& x = (*pieces)[a];
    const ChunkPiece& y = (*pieces)[b];
    if (x.offsets != y.offsets) return x.offsets < y.offsets ? -1 : 1;
    if (x.sizes != y.sizes) return x.sizes < y.sizes ? -1 : 1;
    return 0;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return compare(a, b) < 0; });
  std::vector<bool> drop(pieces->size(), false);
  for (size_t i = 1; i < order.size(); ++i) {
    if (compare(order[i - 1], order[i]) == 0) drop[order[i]] = true;
  }
  size_t kept = 0;
  for (size_t i = 0; i < pieces->size(); ++i) {
    if (drop[i]) continue;
    if (kept != i) (*pieces)[kept] = std::move((*pieces)[i]);
    ++kept;
  }
  pieces->resize(kept);
}

// Appends to `out` the parts of `from` outside `away`: at most two boxes a dimension.
void Subtract(const ChunkPiece& from, const ChunkPiece& away, std::vector<ChunkPiece>* out) {
  size_t ndim = from.offsets.size();
  for (size_t d = 0; d < ndim; ++d) {
    if (from.offsets[d] >= away.offsets[d] + away.sizes[d] ||
        away.offsets[d] >= from.offsets[d] + from.sizes[d]) {
      out->push_back(from);
      return;
    }
  }
  ChunkPiece rest = from;
  for (size_t d = 0; d < ndim; ++d) {
    int64_t low = rest.offsets[d], high = low + rest.sizes[d];
    int64_t away_low = away.offsets[d], away_high = away_low + away.sizes[d];
    if (low < away_low) {
      out->push_back(rest);
      out->back().sizes[d] = away_low - low;
      low = away_low;
    }
    if (away_high < high) {
      out->push_back(rest);
      out->back().offsets[d] = away_high;
      out->back().sizes[d] = high - away_high;
      high = away_high;
    }
    rest.offsets[d] = low;
    rest.sizes[d] = high - low;
  }
}

}  // namespace

Status MakeDisjoint(size_t ndim, std::vector<ChunkPiece>* pieces) {
  if (pieces->size() < 2) return Status::Ok();
  bool overlap = false;
  JoinSelf(ListOf(ndim, *pieces), [&](uint32_t, uint32_t) {
    overlap = true;
    return false;
  });
  if (!overlap) return Status::Ok();

  DropRepeats(pieces);
  std::vector<std::pair<uint32_t, uint32_t>> pairs;  // later, earlier
  JoinSelf(ListOf(ndim, *pieces), [&](uint32_t a, uint32_t b) {
    pairs.emplace_back(std::max(a, b), std::min(a, b));
    return pairs.size() <= kMaxCuts;
  });
  if (pairs.size() > kMaxCuts) return Error(Code::kLimit, "too many overlapping chunks");
  std::sort(pairs.begin(), pairs.end());

  std::vector<ChunkPiece> out;
  std::vector<ChunkPiece> parts, next;
  size_t at = 0, work = 0;
  for (uint32_t i = 0; i < pieces->size(); ++i) {
    parts.assign(1, (*pieces)[i]);
    for (; at < pairs.size() && pairs[at].first == i; ++at) {
      next.clear();
      for (const ChunkPiece& part : parts) Subtract(part, (*pieces)[pairs[at].second], &next);
      parts.swap(next);
      work += parts.size();
      if (work > kMaxCuts) return Error(Code::kLimit, "too many overlapping chunks");
    }
    std::move(parts.begin(), parts.end(), std::back_inserter(out));
  }
  *pieces = std::move(out);
  return Status::Ok();
}

}  // namespace dcp
