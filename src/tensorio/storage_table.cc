#include "tensorio/storage_table.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <unordered_set>

#include "tensorio/object_item.h"

namespace dcp {
namespace {

constexpr uint32_t kNone = 0xffffffff;

// torch.save has no form for the sub-byte integers, which come last.
bool HasStorage(const Value& value) { return value.tensor.dtype < DType::kInt1; }

}  // namespace

uint64_t TouchedBytes(const Tensor& tensor) {
  Result<int64_t> extent = StorageExtent(tensor.shape, tensor.strides);  // validated before
  return extent.ok() ? static_cast<uint64_t>(*extent * DTypeSize(tensor.dtype)) : 0;
}

Status StorageTable::Add(const Value* value) {
  if (!HasStorage(*value)) {
    return Error(Code::kUnsupported, "a torch.{} tensor inside an object cannot be stored",
                 DTypeName(value->tensor.dtype));
  }
  if (!value->tensor.device.is_cpu()) {
    return Error(Code::kUnsupported,
                 "a tensor on a device inside an object; copy it to the CPU first");
  }
  tensors_.push_back(value);
  return Status::Ok();
}

Result<StorageTable> StorageTable::Collect(const Value& root, int max_depth) {
  StorageTable table;
  struct Step {
    const Value* value;
    int depth;
  };
  std::unordered_set<const Value*> seen;
  std::vector<Step> todo = {{&root, 0}};
  std::vector<Step> children;
  while (!todo.empty()) {
    auto [value, depth] = todo.back();
    todo.pop_back();
    if (value == nullptr) {
      return Error(Code::kInvalidArgument, "a value tree has an empty place");
    }
    if (depth > max_depth) {
      return Error(Code::kLimit, "an object is nested more than {} deep", max_depth);
    }
    if (value->kind == ValueKind::kTensor) {
      if (!seen.insert(value).second) continue;
      DCP_RETURN_IF_ERROR(table.Add(value));
    }
    if (value->items.empty() && value->entries.empty() && value->constructed == nullptr) continue;
    if (value->kind != ValueKind::kTensor && !seen.insert(value).second) continue;
    children.clear();
    if (value->constructed != nullptr) {
      const Constructed& constructed = *value->constructed;
      if (constructed.arguments) children.push_back({constructed.arguments.get(), depth + 1});
      if (constructed.state) children.push_back({constructed.state.get(), depth + 1});
    }
    for (const ValuePtr& item : value->items) children.push_back({item.get(), depth + 1});
    for (const auto& [key, entry] : value->entries) {
      children.push_back({key.get(), depth + 1});
      children.push_back({entry.get(), depth + 1});
    }
    todo.insert(todo.end(), children.rbegin(), children.rend());
  }
  table.Arrange();
  return table;
}

// Tensors of one type whose bytes overlap become one storage; bytes that no tensor touches are not
// written. Empty tensors get storages of their own.
void StorageTable::Arrange() {
  std::vector<uint32_t> order(tensors_.size());
  std::iota(order.begin(), order.end(), 0);
  // Parameters share with tensors; storages of their own class do not.
  auto group = [&](uint32_t i) {
    const Value& value = *tensors_[i];
    const bool parameter = value.name == kParameterName;
    return std::pair(value.tensor.dtype, parameter ? std::string_view() : value.name);
  };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (group(a) != group(b)) return group(a) < group(b);
    return std::less<>()(tensors_[a]->tensor.data, tensors_[b]->tensor.data);
  });

  struct Range {
    const std::byte* begin;
    const std::byte* end;
    uint32_t storage = 0;
    bool numbered = false;
  };
  std::vector<Range> ranges;
  std::vector<uint32_t> range_of(tensors_.size());
  uint32_t last = kNone;  // tensor with bytes before this one, its range is the last such
  for (uint32_t i : order) {
    const Tensor& tensor = tensors_[i]->tensor;
    const uint64_t bytes = TouchedBytes(tensor);
    const std::byte* begin = bytes == 0 ? nullptr : tensor.data;
    if (bytes > 0 && last != kNone && group(last) == group(i)) {
      Range& range = ranges[range_of[last]];
      if (begin < range.end && (begin - range.begin) % DTypeSize(tensor.dtype) == 0) {
        range.end = std::max(range.end, begin + bytes);
        range_of[i] = range_of[last];
        continue;
      }
    }
    range_of[i] = static_cast<uint32_t>(ranges.size());
    ranges.push_back({begin, begin + bytes});
    if (bytes > 0) last = i;
  }
  // Numbers follow the order of appearance, as stock's do.
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Range& range = ranges[range_of[i]];
    if (!range.numbered) {
      range.numbered = true;
      range.storage = static_cast<uint32_t>(storages_.size());
      storages_.emplace_back(range.begin, range.end);
    }
    const Tensor& tensor = tensors_[i]->tensor;
    const int64_t bytes = range.begin == nullptr ? 0 : tensor.data - range.begin;
    places_.emplace(tensors_[i], Place{range.storage, bytes / DTypeSize(tensor.dtype)});
  }
}

}  // namespace dcp
