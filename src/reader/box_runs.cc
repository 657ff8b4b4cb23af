#include "reader/box_runs.h"

#include <algorithm>

namespace dcp {

std::optional<BoxRuns> BoxRuns::Create(const StoredTensor& stored, Dims offsets, Dims lengths) {
  if (stored.conj || stored.neg) return std::nullopt;
  BoxRuns runs;
  for (size_t i = 0; i < stored.shape.size(); ++i) {
    if (stored.shape[i] != 1) runs.order_.push_back(i);
  }
  const auto slower = [&](size_t a, size_t b) { return stored.strides[a] > stored.strides[b]; };
  if (!std::is_sorted(runs.order_.begin(), runs.order_.end(), slower)) {
    std::stable_sort(runs.order_.begin(), runs.order_.end(), slower);
  }
  const size_t n = runs.order_.size();
  runs.sizes_.resize(n);
  runs.lengths_.resize(n);
  runs.steps_.resize(n);
  const int64_t item = DTypeSize(stored.dtype);
  int64_t dense = 1;
  int64_t first = stored.storage_offset;
  for (size_t i = n; i-- > 0;) {
    const size_t dim = runs.order_[i];
    if (stored.strides[dim] != dense) return std::nullopt;
    dense *= stored.shape[dim];
    runs.sizes_[i] = stored.shape[dim];
    runs.lengths_[i] = lengths[dim];
    runs.steps_[i] = stored.strides[dim] * item;
    first += offsets[dim] * stored.strides[dim];
  }
  runs.first_ = static_cast<uint64_t>(first * item);
  runs.item_ = static_cast<uint64_t>(item);
  runs.dtype_ = stored.dtype;
  runs.run_bytes_ = runs.item_;
  size_t inner = n;
  while (inner > 0) {
    --inner;
    runs.run_bytes_ *= static_cast<uint64_t>(runs.lengths_[inner]);
    if (runs.lengths_[inner] != runs.sizes_[inner]) break;
  }
  runs.outer_ = inner;
  for (size_t i = 0; i < runs.outer_; ++i) runs.count_ *= static_cast<uint64_t>(runs.lengths_[i]);
  return runs;
}

Tensor BoxRuns::Reorder(const Tensor& dest) const {
  Tensor reordered = dest;
  reordered.shape = lengths_;
  reordered.strides.resize(order_.size());
  for (size_t i = 0; i < order_.size(); ++i) reordered.strides[i] = dest.strides[order_[i]];
  return reordered;
}

uint64_t BoxRuns::RunBegin(uint64_t run) const {
  uint64_t begin = first_;
  for (size_t i = outer_; i-- > 0 && run > 0;) {
    const uint64_t length = static_cast<uint64_t>(lengths_[i]);
    begin += run % length * static_cast<uint64_t>(steps_[i]);
    run /= length;
  }
  return begin;
}

std::vector<ByteRange> BoxRuns::Ranges(uint64_t gap, uint64_t granule, uint64_t record_size) const {
  // Whole dimensions whose runs lie close together are one range; only the others are walked.
  uint64_t length = run_bytes_;
  uint64_t runs_in_one = 1;
  for (size_t i = outer_; i-- > 0;) {
    const uint64_t step = static_cast<uint64_t>(steps_[i]);
    if (lengths_[i] > 1 && step - length > gap) break;
    length += static_cast<uint64_t>(lengths_[i] - 1) * step;
    runs_in_one *= static_cast<uint64_t>(lengths_[i]);
  }
  std::vector<ByteRange> ranges;
  for (uint64_t run = 0; run < count_; run += runs_in_one) {
    const uint64_t begin = RunBegin(run);
    const uint64_t wide_begin = begin / granule * granule;
    const uint64_t wide_end = std::min(AlignUp(begin + length, granule), record_size);
    if (!ranges.empty() && wide_begin <= ranges.back().end + gap) {
      ranges.back().end = std::max(ranges.back().end, wide_end);
    } else {
      ranges.push_back({wide_begin, wide_end});
    }
  }
  return ranges;
}

void BoxRuns::PutRows(uint64_t run, int64_t rows, const std::byte* from,
                      const Destination& dest) const {
  const size_t row_dim = outer_ - 1;
  const int64_t item = static_cast<int64_t>(item_);
  Tensor source;
  Tensor target = dest.tensor();
  const int64_t target_item = DTypeSize(target.dtype);
  source.dtype = dtype_;
  source.data = const_cast<std::byte*>(from);  // only read
  source.shape.assign(lengths_.begin() + row_dim, lengths_.end());
  source.shape[0] = rows;
  for (size_t i = row_dim; i < steps_.size(); ++i) source.strides.push_back(steps_[i] / item);
  for (size_t i = outer_; i-- > 0 && run > 0;) {
    const uint64_t length = static_cast<uint64_t>(lengths_[i]);
    target.data += static_cast<int64_t>(run % length) * target.strides[i] * target_item;
    run /= length;
  }
  target.shape = source.shape;
  target.strides.assign(target.strides.begin() + row_dim, target.strides.end());
  dest.PutView(source, target);
}

Status BoxRuns::Extract(uint64_t begin, Bytes bytes, const Destination& dest) const {
  const uint64_t end = begin + bytes.size();
  // The first run that ends behind `begin`.
  uint64_t run = 0;
  for (uint64_t high = count_; run < high;) {
    const uint64_t middle = run + (high - run) / 2;
    if (RunBegin(middle) + run_bytes_ > begin) {
      high = middle;
    } else {
      run = middle + 1;
    }
  }
  const uint64_t elements = run_bytes_ / item_;
  while (run < count_) {
    const uint64_t run_begin = RunBegin(run);
    if (run_begin >= end) break;
    const uint64_t part_begin = std::max(run_begin, begin);
    const uint64_t part_end = std::min(run_begin + run_bytes_, end);
    const std::byte* from = bytes.data() + (part_begin - begin);
    uint64_t rows = 1;
    if (outer_ > 0 && dest.on_cpu() && part_end - part_begin == run_bytes_) {
      const uint64_t length = static_cast<uint64_t>(lengths_[outer_ - 1]);
      const uint64_t step = static_cast<uint64_t>(steps_[outer_ - 1]);
      rows = std::min(length - run % length, (end - run_begin - run_bytes_) / step + 1);
    }
    if (rows > 1) {
      PutRows(run, static_cast<int64_t>(rows), from, dest);
    } else {
      const uint64_t first = run * elements + (part_begin - run_begin) / item_;
      DCP_RETURN_IF_ERROR(dest.Put(from, static_cast<int64_t>(first),
                                   static_cast<int64_t>((part_end - part_begin) / item_)));
    }
    run += rows;
  }
  return Status::Ok();
}

}  // namespace dcp
