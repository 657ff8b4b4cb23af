#include "checkpoint/planned_items.h"

#include <algorithm>
#include <utility>

#include "value/names.h"

namespace dcp {
namespace {

Result<int64_t> GlobalBytes(const Value& value, const Tensor& tensor) {
  if (value.kind != ValueKind::kShardedTensor) return tensor.num_bytes();
  DCP_ASSIGN_OR_RETURN(int64_t elements, NumElements(value.sharded->global_shape));
  int64_t bytes;
  if (!CheckedMul(elements, DTypeSize(tensor.dtype), &bytes)) bytes = INT64_MAX;
  return bytes;
}

int64_t BytesOf(Dims sizes, DType dtype) {
  Result<int64_t> elements = NumElements(sizes);
  int64_t bytes;
  if (!elements.ok() || !CheckedMul(*elements, DTypeSize(dtype), &bytes)) return INT64_MAX;
  return bytes;
}

bool SameDims(Dims a, Dims b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// Which part of which thing, whatever the tables say.
bool SameItem(const SavePlan& a, const WriteItem& x, const SavePlan& b, const WriteItem& y) {
  if (x.kind != y.kind || x.ndim != y.ndim || a.names[x.name] != b.names[y.name]) return false;
  if (x.kind == WriteKind::kBytes) return true;
  return SameDims(a.box(x).offsets, b.box(y).offsets) && SameDims(a.box(x).sizes, b.box(y).sizes) &&
         a.properties[x.properties] == b.properties[y.properties];
}

}  // namespace

Status PlannedItems::SetLeaves(std::vector<FlatLeaf> leaves) {
  leaves_ = std::move(leaves);
  DCP_RETURN_IF_ERROR(CheckLeaves());
  sources_ = LocalSources(leaves_);
  return Status::Ok();
}

Result<SavePlan> PlannedItems::StandardPlan(bool with_paths) {
  SavePlan plan = CreateLocalSavePlan(leaves_, with_paths);
  if (sources_.size() == plan.items.size()) return plan;
  return Error(Code::kInternal, "a plan of {} items from {} sources", plan.items.size(),
               sources_.size());
}

Status PlannedItems::CheckLeaves() const {
  for (const FlatLeaf& leaf : leaves_) {
    if (leaf.value->kind != ValueKind::kShardedTensor) continue;
    const ShardedTensor& sharded = *leaf.value->sharded;
    for (const ShardedTensor::Shard& shard : sharded.shards) {
      if (shard.tensor.dtype == sharded.dtype) continue;
      return Error(Code::kInvalidArgument, "a shard of {} has dtype {}, the whole has {}",
                   PrintableName(leaf.name), DTypeName(shard.tensor.dtype),
                   DTypeName(sharded.dtype));
    }
  }
  return Status::Ok();
}

PlannedItems::Payload PlannedItems::PayloadOf(Source source) const {
  const Value& value = *leaves_[source.leaf].value;
  if (value.kind == ValueKind::kTensor) return {&value.tensor, nullptr};
  if (value.kind == ValueKind::kShardedTensor) {
    return {&value.sharded->shards[source.shard].tensor, nullptr};
  }
  return {nullptr, &value};
}

Status PlannedItems::Assign(const Assignment& assignment, SavePlanner* planner) {
  jobs_.reserve(assignment.sources.size());
  return kept_ ? AssignPlan(assignment, planner) : AssignSources(assignment);
}

Status PlannedItems::AssignSources(const Assignment& assignment) {
  for (uint32_t number : assignment.sources) {
    if (number >= sources_.size()) {
      return Error(Code::kInternal, "the coordinator assigned item {} of the {} there are", number,
                   sources_.size());
    }
    const FlatLeaf& leaf = leaves_[sources_[number].leaf];
    const Payload payload = PayloadOf(sources_[number]);
    WriteJob job;
    job.name = leaf.name;
    job.tensor = payload.tensor;
    job.object = payload.object;
    if (payload.tensor != nullptr) {
      bytes_ += static_cast<uint64_t>(payload.tensor->num_bytes());
      DCP_ASSIGN_OR_RETURN(job.global_bytes, GlobalBytes(*leaf.value, *payload.tensor));
    }
    jobs_.push_back(job);
  }
  return Status::Ok();
}

Status PlannedItems::AssignPlan(const Assignment& assignment, SavePlanner* planner) {
  planner_ = planner;
  if (assignment.plan) {
    plan_ = *assignment.plan;
  } else {
    plan_ = local_;
    plan_.items.clear();
  }
  plan_.storage_data = assignment.storage_data;
  for (size_t i = 0; i < assignment.sources.size(); ++i) {
    const uint32_t position = assignment.sources[i];
    const bool own = position < local_.items.size();
    if (!assignment.plan && !own) {
      return Error(Code::kInternal, "the coordinator assigned item {} of the {} there are",
                   position, local_.items.size());
    }
    if (!assignment.plan) plan_.items.push_back(local_.items[position]);
    plan_.items[i].source = own ? local_.items[position].source : SavePlan::kNoSource;
  }
  local_ = SavePlan();
  if (planner != nullptr) {
    const SavePlan before = plan_;
    DCP_RETURN_IF_ERROR(planner->FinishPlan(&plan_));
    DCP_RETURN_IF_ERROR(CheckSame(before));
  }
  const bool resolves = planner != nullptr && planner->resolves_data();
  for (WriteItem& item : plan_.items) {
    const bool tensor = item.kind != WriteKind::kBytes;
    WriteJob job;
    job.name = plan_.names[item.name];
    job.late_tensor = tensor;
    if (tensor) {
      const DType dtype = plan_.properties[item.properties].dtype;
      job.global_bytes = BytesOf(plan_.global_size(item), dtype);
      job.late_bytes = static_cast<uint64_t>(BytesOf(plan_.box(item).sizes, dtype));
      bytes_ += job.late_bytes;
    }
    item.source = LocalSource(item);
    if (item.source == SavePlan::kNoSource && !resolves) {
      return Error(Code::kInvalidArgument,
                   "the plan has an item {}, which this rank's state dict does not hold: the "
                   "planner that added it is to resolve it too (resolve_data)",
                   PrintableName(job.name));
    }
    if (!resolves) {
      const Payload payload = PayloadOf(sources_[item.source]);
      job.tensor = payload.tensor;
      job.object = payload.object;
    }
    jobs_.push_back(job);
  }
  return Status::Ok();
}

Status PlannedItems::CheckSame(const SavePlan& before) const {
  bool same = before.items.size() == plan_.items.size();
  for (size_t i = 0; same && i < plan_.items.size(); ++i) {
    same = SameItem(before, before.items[i], plan_, plan_.items[i]);
  }
  if (same) return Status::Ok();
  return Status(Code::kInvalidArgument,
                "finish_plan made other items of the plan: the metadata tells of those that the "
                "global plan had");
}

// The item's own source, or, when it has none, what the state dict has of that name and place.
uint32_t PlannedItems::LocalSource(const WriteItem& item) {
  if (item.source < sources_.size()) return item.source;
  if (leaf_of_.empty()) {
    for (uint32_t i = 0; i < sources_.size(); ++i) {
      leaf_of_.emplace(leaves_[sources_[i].leaf].name, i);
    }
  }
  const auto found = leaf_of_.find(plan_.names[item.name]);
  if (found == leaf_of_.end()) return SavePlan::kNoSource;
  const uint32_t leaf = sources_[found->second].leaf;
  for (uint32_t i = found->second; i < sources_.size() && sources_[i].leaf == leaf; ++i) {
    const Value& value = *leaves_[leaf].value;
    if (item.kind == WriteKind::kBytes) {
      if (PayloadOf(sources_[i]).object != nullptr) return i;
      continue;
    }
    const Box box = plan_.box(item);
    if (value.kind == ValueKind::kTensor) {
      const bool whole = std::all_of(box.offsets.begin(), box.offsets.end(),
                                     [](int64_t offset) { return offset == 0; });
      if (whole && SameDims(box.sizes, value.tensor.shape)) return i;
    } else if (value.kind == ValueKind::kShardedTensor) {
      const ShardedTensor::Shard& shard = value.sharded->shards[sources_[i].shard];
      if (SameDims(box.offsets, shard.offsets) && SameDims(box.sizes, shard.tensor.shape)) return i;
    }
  }
  return SavePlan::kNoSource;
}

ValuePtr PlannedItems::Found(const WriteItem& item) const {
  if (item.source >= sources_.size()) return nullptr;
  const Source source = sources_[item.source];
  const ValuePtr& value = leaves_[source.leaf].value;
  if (value->kind != ValueKind::kShardedTensor) return value;
  auto shard = std::make_shared<Value>();
  shard->kind = ValueKind::kTensor;
  shard->tensor = value->sharded->shards[source.shard].tensor;
  return shard;
}

Result<ValuePtr> PlannedItems::Resolve(size_t at) const {
  const WriteItem& item = plan_.items[at];
  const ValuePtr found = Found(item);
  if (planner_ == nullptr || !planner_->resolves_data()) return found;
  DCP_ASSIGN_OR_RETURN(ValuePtr value, planner_->ResolveData(plan_, at, found));
  if (value == nullptr) {
    return Error(Code::kInvalidArgument, "the planner resolved {} to nothing",
                 PrintableName(plan_.names[item.name]));
  }
  if (item.kind == WriteKind::kBytes || value->kind != ValueKind::kTensor) return value;
  const DType dtype = plan_.properties[item.properties].dtype;
  if (!SameDims(value->tensor.shape, plan_.box(item).sizes) || value->tensor.dtype != dtype) {
    return Error(Code::kMismatch,
                 "the planner resolved {} to a {} tensor of {}; the plan has {} {}",
                 PrintableName(plan_.names[item.name]), DTypeName(value->tensor.dtype),
                 ToString(value->tensor.shape), DTypeName(dtype), ToString(plan_.box(item).sizes));
  }
  return value;
}

}  // namespace dcp
