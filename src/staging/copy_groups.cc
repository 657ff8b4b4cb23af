#include "staging/copy_groups.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace dcp {
namespace {

constexpr uint64_t kAlignment = 64;

struct Range {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

Result<Range> RangeOf(const Tensor& tensor) {
  DCP_ASSIGN_OR_RETURN(int64_t extent, StorageExtent(tensor.shape, tensor.strides));
  uint64_t bytes;
  uintptr_t begin = reinterpret_cast<uintptr_t>(tensor.data);
  uintptr_t end;
  if (!CheckedMul<uint64_t>(static_cast<uint64_t>(extent),
                            static_cast<uint64_t>(DTypeSize(tensor.dtype)), &bytes) ||
      !CheckedAdd<uintptr_t>(begin, bytes, &end)) {
    return Error(Code::kInvalidArgument, "a tensor of shape {} and strides {} does not fit memory",
                 ToString(tensor.shape), ToString(tensor.strides));
  }
  return Range{begin, end};
}

// Two tensors with one key are the same elements.
auto GeometryKey(const Tensor& tensor) {
  return std::tuple(reinterpret_cast<uintptr_t>(tensor.data), DTypeSize(tensor.dtype), tensor.shape,
                    tensor.strides);
}

class Planner {
 public:
  explicit Planner(const std::vector<const Tensor*>& tensors) : tensors_(tensors) {}

  Result<StageLayout> Run() {
    layout_.places.resize(tensors_.size());
    ranges_.reserve(tensors_.size());
    for (const Tensor* tensor : tensors_) {
      DCP_ASSIGN_OR_RETURN(Range range, RangeOf(*tensor));
      ranges_.push_back(range);
    }
    std::vector<size_t> order(tensors_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return Key(a) < Key(b); });
    for (size_t at = 0; at < order.size();) {
      size_t next = at + 1;
      uintptr_t end = ranges_[order[at]].end;
      while (next < order.size() && tensors_[order[next]]->device == tensors_[order[at]]->device &&
             ranges_[order[next]].begin < end) {
        end = std::max(end, ranges_[order[next]].end);
        ++next;
      }
      DCP_RETURN_IF_ERROR(PlaceGroup({order.begin() + static_cast<ptrdiff_t>(at),
                                      order.begin() + static_cast<ptrdiff_t>(next)},
                                     end));
      at = next;
    }
    return std::move(layout_);
  }

 private:
  std::tuple<int32_t, int32_t, uintptr_t, uintptr_t, size_t> Key(size_t i) const {
    const Device& device = tensors_[i]->device;
    return {device.type, device.index, ranges_[i].begin, ranges_[i].end, i};
  }

  uint64_t SeparateSize(size_t i) const {
    return std::min<uint64_t>(ranges_[i].end - ranges_[i].begin,
                              static_cast<uint64_t>(tensors_[i]->num_bytes()));
  }

  // Room for `size` bytes, aligned for any element.
  Status Reserve(uint64_t size, uint64_t* offset) {
    *offset = layout_.arena_size;
    uint64_t end;
    if (!CheckedAdd<uint64_t>(*offset, size, &end) || end > UINT64_MAX - kAlignment) {
      return Status(Code::kLimit, "the tensors to stage do not fit memory");
    }
    layout_.arena_size = AlignUp(end, kAlignment);
    return Status::Ok();
  }

  Status PlaceGroup(std::vector<size_t> group, uintptr_t end) {
    const uintptr_t begin = ranges_[group[0]].begin;
    if (begin == end) return Status::Ok();  // empty tensors keep a null place
    uint64_t separate = 0;
    std::map<decltype(GeometryKey(*tensors_[0])), std::vector<size_t>> same;
    for (size_t i : group) same[GeometryKey(*tensors_[i])].push_back(i);
    for (const auto& [key, members] : same) separate += SeparateSize(members[0]);

    // Off the CPU there is no gather: whole ranges travel.
    if (end - begin <= separate || !tensors_[group[0]]->device.is_cpu()) {
      return PlaceRange(begin, end, group);
    }
    for (const auto& [key, members] : same) {
      const Tensor& tensor = *tensors_[members[0]];
      const Range& range = ranges_[members[0]];
      if (range.begin == range.end) continue;
      if (range.end - range.begin <= static_cast<uint64_t>(tensor.num_bytes())) {
        DCP_RETURN_IF_ERROR(PlaceRange(range.begin, range.end, members));
        continue;
      }
      StageCopy copy;
      copy.size = static_cast<uint64_t>(tensor.num_bytes());
      copy.device = tensor.device;
      copy.gather = &tensor;
      copy.first = members[0];
      DCP_RETURN_IF_ERROR(Reserve(copy.size, &copy.to));
      for (size_t i : members) layout_.places[i] = {copy.to, true};
      layout_.copies.push_back(copy);
    }
    return Status::Ok();
  }

  Status PlaceRange(uintptr_t begin, uintptr_t end, const std::vector<size_t>& members) {
    StageCopy copy;
    copy.from = reinterpret_cast<const std::byte*>(begin);
    copy.size = end - begin;
    copy.device = tensors_[members[0]]->device;
    copy.first = members[0];
    DCP_RETURN_IF_ERROR(Reserve(copy.size, &copy.to));
    for (size_t i : members) layout_.places[i] = {copy.to + (ranges_[i].begin - begin), false};
    layout_.copies.push_back(copy);
    return Status::Ok();
  }

  const std::vector<const Tensor*>& tensors_;
  std::vector<Range> ranges_;
  StageLayout layout_;
};

}  // namespace

Result<StageLayout> LayOutStage(const std::vector<const Tensor*>& tensors) {
  return Planner(tensors).Run();
}

}  // namespace dcp
