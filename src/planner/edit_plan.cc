#include "planner/edit_plan.h"

#include <algorithm>
#include <initializer_list>

#include "value/names.h"

namespace dcp {
namespace {

// One after the other; each may lie in *all itself.
uint32_t AppendDims(std::initializer_list<Dims> parts, std::vector<int64_t>* all) {
  std::vector<int64_t> added;
  for (Dims dims : parts) added.insert(added.end(), dims.begin(), dims.end());
  const auto at = static_cast<uint32_t>(all->size());
  all->insert(all->end(), added.begin(), added.end());
  return at;
}

Status CheckRoom(const std::vector<int64_t>& dims) {
  if (dims.size() < UINT32_MAX - 3 * size_t{kMaxDims}) return Status::Ok();
  return Status(Code::kLimit, "the plan has more than 2^32 numbers");
}

uint32_t NumberOf(std::string_view name, std::vector<std::string>* names) {
  if (names->empty() || names->back() != name) names->push_back(std::string(name));
  return static_cast<uint32_t>(names->size() - 1);
}

uint32_t NumberOf(const TensorProperties& properties, std::vector<TensorProperties>* all) {
  const auto found = std::find(all->begin(), all->end(), properties);
  if (found != all->end()) return static_cast<uint32_t>(found - all->begin());
  all->push_back(properties);
  return static_cast<uint32_t>(all->size() - 1);
}

}  // namespace

Status AddWriteItem(const NewWriteItem& item, SavePlan* plan) {
  const bool tensor = item.kind == WriteKind::kTensor || item.kind == WriteKind::kShard;
  if (!tensor && item.kind != WriteKind::kBytes) {
    return Error(Code::kInvalidArgument, "{} is no kind of item", static_cast<int>(item.kind));
  }
  const size_t ndim = item.global_size.size();
  if (ndim > kMaxDims || item.offsets.size() != ndim || item.sizes.size() != ndim ||
      (!tensor && ndim > 0)) {
    return Error(Code::kInvalidArgument, "an item of {} has {} global sizes, {} offsets, {} sizes",
                 PrintableName(item.name), ndim, item.offsets.size(), item.sizes.size());
  }
  const auto negative = [](int64_t number) { return number < 0; };
  for (Dims dims : {item.global_size, item.offsets, item.sizes}) {
    if (!std::any_of(dims.begin(), dims.end(), negative)) continue;
    return Error(Code::kInvalidArgument, "an item of {} has negative sizes or offsets: {}",
                 PrintableName(item.name), ToString(dims));
  }
  DCP_RETURN_IF_ERROR(CheckRoom(plan->dims));
  WriteItem added;
  added.name = NumberOf(item.name, &plan->names);
  added.kind = item.kind;
  added.ndim = static_cast<uint8_t>(ndim);
  added.source = item.source;
  if (tensor) {
    added.properties = NumberOf(item.properties, &plan->properties);
    added.global = AppendDims({item.global_size, item.offsets, item.sizes}, &plan->dims);
    added.box = added.global + static_cast<uint32_t>(ndim);
  }
  plan->items.push_back(added);
  return Status::Ok();
}

void SetPlannedPath(std::string_view name, Path path, SavePlan* plan) {
  const auto found = std::find_if(plan->planner_data.begin(), plan->planner_data.end(),
                                  [&](const auto& known) { return known.first == name; });
  if (found == plan->planner_data.end()) {
    plan->planner_data.emplace_back(name, std::move(path));
  } else {
    found->second = std::move(path);
  }
}

Status AddReadItem(const NewReadItem& item, const Metadata& metadata, LoadPlan* plan) {
  const std::optional<size_t> entry = metadata.Find(item.name);
  if (!entry) {
    return Error(Code::kNotFound, "the checkpoint has no {}", PrintableName(item.name));
  }
  DCP_RETURN_IF_ERROR(CheckRoom(plan->dims));
  const Entry& found = metadata.entries[*entry];
  const size_t ndim = found.kind == EntryKind::kTensor ? found.ndim() : 0;
  if (item.chunk >= found.chunk_count() || item.storage_offsets.size() != ndim ||
      item.dest_offsets.size() != ndim || item.lengths.size() != ndim) {
    return Error(Code::kInvalidArgument,
                 "a read of chunk {} of {} with {} dimensions: it has {} chunks of {} dimensions",
                 item.chunk, PrintableName(item.name), item.lengths.size(), found.chunk_count(),
                 ndim);
  }
  ReadItem added;
  added.entry = static_cast<uint32_t>(*entry);
  added.chunk = static_cast<uint32_t>(item.chunk);
  added.target = item.target;
  added.ndim = static_cast<uint8_t>(ndim);
  added.kind = found.kind;
  added.dims = AppendDims({item.storage_offsets, item.dest_offsets, item.lengths}, &plan->dims);
  plan->items.push_back(added);
  return Status::Ok();
}

}  // namespace dcp
