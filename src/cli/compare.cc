#include "cli/compare.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace dcp::cli {
namespace {

// Cuts a box into pieces of at most `most` elements, in row-major order.
class Pieces {
 public:
  Pieces(const Chunk& box, uint64_t most)
      : box_(box), at_(box.sizes.size(), 0), size_(box.sizes.begin(), box.sizes.end()) {
    if (ElementCount(box.sizes) == 0) {
      more_ = false;
      return;
    }
    // Dimensions after split_ are whole, split_ goes in steps, those before it one by one.
    uint64_t inner = 1;
    split_ = size_.size();
    while (split_ > 0 && inner * static_cast<uint64_t>(size_[split_ - 1]) <= most) {
      inner *= static_cast<uint64_t>(size_[--split_]);
    }
    if (split_ > 0) {
      --split_;
      step_ = static_cast<int64_t>(std::max<uint64_t>(1, most / inner));
      std::fill(size_.begin(), size_.begin() + static_cast<std::ptrdiff_t>(split_), 1);
      whole_ = false;
    }
  }

  bool Next(std::vector<int64_t>* offsets, std::vector<int64_t>* sizes) {
    if (!more_) return false;
    if (!whole_) size_[split_] = std::min(step_, box_.sizes[split_] - at_[split_]);
    *sizes = size_;
    offsets->resize(at_.size());
    for (size_t d = 0; d < at_.size(); ++d) (*offsets)[d] = box_.offsets[d] + at_[d];
    Advance();
    return true;
  }

 private:
  void Advance() {
    more_ = false;
    if (whole_) return;
    at_[split_] += size_[split_];
    for (size_t d = split_ + 1; d-- > 0;) {
      if (at_[d] < box_.sizes[d]) {
        more_ = true;
        return;
      }
      at_[d] = 0;
      if (d > 0) ++at_[d - 1];
    }
  }

  const Chunk& box_;
  std::vector<int64_t> at_;
  std::vector<int64_t> size_;
  size_t split_ = 0;
  int64_t step_ = 1;
  bool whole_ = true;
  bool more_ = true;
};

uint64_t CoveredElements(const Checkpoint& checkpoint, const Entry& entry, Failure* failure) {
  uint64_t covered = 0;
  for (uint64_t i = 0; i < entry.chunk_count; ++i) {
    Chunk chunk;
    *failure = checkpoint.ReadChunk(entry.index, i, &chunk);
    if (*failure) return 0;
    covered += ElementCount(chunk.sizes);
  }
  return covered;
}

void CountDifferences(const char* a, const char* b, uint64_t count, size_t width,
                      const std::vector<int64_t>& offsets, const std::vector<int64_t>& sizes,
                      TensorDifference* out) {
  if (std::memcmp(a, b, count * width) == 0) return;
  for (uint64_t i = 0; i < count; ++i) {
    if (std::memcmp(a + i * width, b + i * width, width) == 0) continue;
    if (out->elements++ > 0) continue;
    out->first.resize(sizes.size());
    uint64_t rest = i;
    for (size_t d = sizes.size(); d-- > 0;) {
      uint64_t size = static_cast<uint64_t>(sizes[d]);
      out->first[d] = offsets[d] + static_cast<int64_t>(rest % size);
      rest /= size;
    }
  }
}

}  // namespace

Failure CompareTensors(const Checkpoint& checkpoint_a, const Entry& a,
                       const Checkpoint& checkpoint_b, const Entry& b,
                       const std::function<bool(uint64_t bytes)>& done, TensorDifference* out,
                       bool* from_b) {
  Failure failure;
  *from_b = false;
  out->covered_a = CoveredElements(checkpoint_a, a, &failure);
  if (failure) return failure;
  *from_b = true;
  out->covered_b = CoveredElements(checkpoint_b, b, &failure);
  if (failure || out->covered_a != out->covered_b) return failure;
  size_t width = static_cast<size_t>(dcp_dtype_size(a.dtype));
  uint64_t most = std::max<uint64_t>(1, kCompareBytes / width);
  uint64_t capacity = std::min(most, out->covered_a) * width;
  auto left = std::make_unique<char[]>(capacity);
  auto right = std::make_unique<char[]>(capacity);
  for (uint64_t i = 0; i < a.chunk_count; ++i) {
    Chunk chunk;
    *from_b = false;
    if (failure = checkpoint_a.ReadChunk(a.index, i, &chunk); failure) return failure;
    Pieces pieces(chunk, most);
    std::vector<int64_t> offsets, sizes;
    while (pieces.Next(&offsets, &sizes)) {
      *from_b = false;
      failure =
          checkpoint_a.Read(a, offsets, {}, sizes, a.dtype, left.get(), &out->unverified_bytes);
      if (failure) return failure;
      *from_b = true;
      failure =
          checkpoint_b.Read(b, offsets, {}, sizes, b.dtype, right.get(), &out->unverified_bytes);
      if (failure) return failure;
      uint64_t count = ElementCount(sizes);
      CountDifferences(left.get(), right.get(), count, width, offsets, sizes, out);
      if (!done(count * width)) return Failure(DCP_CANCELLED, "interrupted");
    }
  }
  return Failure();
}

}  // namespace dcp::cli
