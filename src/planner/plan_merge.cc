#include "planner/plan_merge.h"

#include <algorithm>

#include "value/names.h"

namespace dcp {
namespace {

// Every index of an item points into its plan, so that the rest need not look.
bool IsSound(const WriteItem& item, size_t names, size_t properties, size_t dims) {
  if (item.name >= names) return false;
  if (item.kind == WriteKind::kBytes) return true;
  if (item.kind != WriteKind::kTensor && item.kind != WriteKind::kShard) return false;
  const size_t n = item.ndim;
  return n <= kMaxDims && item.properties < properties && item.global <= dims &&
         n <= dims - item.global && item.box <= dims && 2 * n <= dims - item.box;
}

uint64_t HashOf(const TensorProperties& properties) {
  const uint64_t rest = static_cast<uint64_t>(properties.dtype) << 8 |
                        static_cast<uint64_t>(properties.memory_format) << 2 |
                        (properties.requires_grad ? 2u : 0u) | (properties.pin_memory ? 1u : 0u);
  return SeededHash(properties.layout, rest);
}

std::string_view KindText(WriteKind kind) {
  switch (kind) {
    case WriteKind::kTensor:
      return "a whole tensor";
    case WriteKind::kShard:
      return "a sharded tensor";
    case WriteKind::kBytes:
      return "an object";
  }
  return "unknown";
}

Status TwoKinds(const GatheredName& name, WriteKind first, uint32_t first_rank, WriteKind second,
                uint32_t second_rank) {
  return Error(Code::kInvalidArgument,
               "item.index.fqn not in md: {} is {} on rank {} and {} on rank {}: one name must "
               "hold one thing",
               PrintableName(name.name), KindText(first), first_rank, KindText(second),
               second_rank);
}

}  // namespace

uint32_t PlanMerge::AddTable(std::vector<std::string> names, NamedPaths paths) {
  Table table;
  table.paths = paths_.AddTable(std::move(paths));
  table.names.reserve(names.size());
  name_ids_.Reserve(names_.size() + names.size());
  if (names_.empty()) names_.reserve(names.size());
  for (std::string& name : names) {
    const auto fresh = static_cast<uint32_t>(names_.size());
    const uint32_t id = name_ids_.FindOrAdd(
        SeededHash(name), fresh, [&](uint32_t other) { return names_[other].name == name; });
    if (id == fresh) names_.emplace_back().name = std::move(name);
    table.names.push_back(id);
  }
  tables_.push_back(std::move(table));
  return static_cast<uint32_t>(tables_.size() - 1);
}

uint32_t PlanMerge::NumberProperties(const TensorProperties& properties) {
  const auto fresh = static_cast<uint32_t>(properties_.size());
  const uint32_t id = properties_ids_.FindOrAdd(
      HashOf(properties), fresh, [&](uint32_t other) { return properties_[other] == properties; });
  if (id == fresh) properties_.push_back(properties);
  return id;
}

Status PlanMerge::Add(uint32_t table, bool flattened, std::span<const TensorProperties> properties,
                      Dims dims, std::span<const WriteItem> items) {
  const auto rank = static_cast<uint32_t>(plans_.size());
  const std::vector<uint32_t>& names = tables_[table].names;
  paths_.Use(tables_[table].paths, rank);
  flattened_ = flattened_ || flattened;
  numbered_.clear();
  for (const TensorProperties& of_rank : properties) {
    if (!IsValidDType(static_cast<int32_t>(of_rank.dtype))) {
      return Error(Code::kInvalidArgument,
                   "the save plan of rank {} is malformed: it has no valid dtype", rank);
    }
    numbered_.push_back(NumberProperties(of_rank));
  }
  std::vector<NamedItem>& plan = plans_.emplace_back();
  plan.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const WriteItem& item = items[i];
    if (!IsSound(item, names.size(), properties.size(), dims.size())) {
      return Error(Code::kInvalidArgument,
                   "the save plan of rank {} is malformed: item {} points outside it", rank, i);
    }
    GatheredName& name = names_[names[item.name]];
    const auto number = static_cast<uint32_t>(name.ranks.size());
    if (number == GatheredName::kNone) {
      return Error(Code::kLimit, "more than 2^32 items of {}", PrintableName(name.name));
    }
    DCP_RETURN_IF_ERROR(AddItem(item, dims, rank, number, &name));
    plan.push_back({names[item.name], number});
  }
  return Status::Ok();
}

Status PlanMerge::AddItem(const WriteItem& item, Dims dims, uint32_t rank, uint32_t number,
                          GatheredName* name) {
  const bool bytes = item.kind == WriteKind::kBytes;
  if (number == 0) {
    name->kind = item.kind;
    if (!bytes) {
      const Dims size = dims.subspan(item.global, item.ndim);
      name->size.assign(size.begin(), size.end());
      name->properties = numbered_[item.properties];
      if (const Result<int64_t> count = NumElements(size); !count.ok()) {
        return Error(Code::kInvalidArgument, "{} on rank {}: {}", PrintableName(name->name), rank,
                     count.status().message());
      }
    }
  } else if (bytes != (name->kind == WriteKind::kBytes)) {
    return TwoKinds(*name, name->kind, name->ranks[0], item.kind, rank);
  }
  name->ranks.push_back(rank);
  if (bytes) return Status::Ok();
  const Dims size = dims.subspan(item.global, item.ndim);
  if (name->size != size) {
    return Error(Code::kInvalidArgument,
                 "{} has size {} on rank {} and {} on rank {}: give the tensors one size or two "
                 "names",
                 PrintableName(name->name), ToString(name->size), name->ranks[0], ToString(size),
                 rank);
  }
  if (item.kind != name->kind && name->kinds.empty()) name->kinds.assign(number, name->kind);
  if (!name->kinds.empty()) name->kinds.push_back(item.kind);
  const uint32_t properties = numbered_[item.properties];
  if (properties != name->properties && name->properties_of.empty()) {
    name->properties_of.assign(number, name->properties);
  }
  if (!name->properties_of.empty()) name->properties_of.push_back(properties);
  const Dims box = dims.subspan(item.box, 2 * size_t{item.ndim});
  name->boxes.insert(name->boxes.end(), box.begin(), box.end());
  return Status::Ok();
}

// Of the items that stay: what is no shard stands alone, or at least first, as upstream has it.
Status PlanMerge::CheckKinds(const GatheredName& name) const {
  if (name.kept < 2 || (name.kind == WriteKind::kShard && name.kinds.empty())) return Status::Ok();
  uint32_t first = GatheredName::kNone;
  for (uint32_t i = 0; i < name.ranks.size(); ++i) {
    if (!name.keeps(i)) continue;
    if (first == GatheredName::kNone) {
      first = i;
    } else if (name.kind_of(i) != WriteKind::kShard) {
      return TwoKinds(name, name.kind_of(first), name.ranks[first], name.kind_of(i), name.ranks[i]);
    }
  }
  return Status::Ok();
}

// Takes what it can from `name`.
Entry PlanMerge::MakeEntry(GatheredName* name) const {
  Entry entry;
  entry.locations.resize(name->kept);
  entry.name = std::move(name->name);
  if (name->kind == WriteKind::kBytes) return entry;
  entry.kind = EntryKind::kTensor;
  uint32_t first = 0;
  while (!name->keeps(first)) ++first;
  entry.properties = properties_[name->properties_at(first)];
  if (name->kept < name->ranks.size()) {
    const size_t step = 2 * name->ndim();
    auto to = name->boxes.begin();
    for (uint32_t i = 0; i < name->ranks.size(); ++i) {
      if (!name->keeps(i)) continue;
      to = std::copy_n(name->boxes.begin() + static_cast<ptrdiff_t>(step * i), step, to);
    }
    name->boxes.erase(to, name->boxes.end());
    name->boxes.shrink_to_fit();
  }
  entry.size = std::move(name->size);
  entry.boxes = std::move(name->boxes);
  return entry;
}

Result<MergedPlan> PlanMerge::Finish(const GlobalPlanOptions& options) {
  if (options.dedup && plans_.size() > 1) {
    bool repeats = false;
    for (GatheredName& name : names_) {
      FindRepeats(&name);
      repeats = repeats || name.repeats();
    }
    if (repeats) {
      std::vector<DType> dtypes;
      for (const TensorProperties& properties : properties_) dtypes.push_back(properties.dtype);
      Deal(plans_, dtypes, options.dedup_to_lowest_rank, &names_);
    }
  }
  MergedPlan out;
  out.items.resize(plans_.size());
  out.slots.resize(plans_.size());
  std::vector<uint32_t> order;  // names by entry
  for (size_t rank = 0; rank < plans_.size(); ++rank) {
    out.items[rank].reserve(plans_[rank].size());
    out.slots[rank].reserve(plans_[rank].size());
    for (uint32_t i = 0; i < plans_[rank].size(); ++i) {
      const NamedItem at = plans_[rank][i];
      GatheredName& name = names_[at.name];
      if (!name.keeps(at.item)) continue;
      if (name.entry == GatheredName::kNone) {
        name.entry = static_cast<uint32_t>(order.size());
        order.push_back(at.name);
      }
      out.items[rank].push_back(i);
      out.slots[rank].push_back({name.entry, name.kept++});
    }
    plans_[rank] = {};
  }
  for (uint32_t name : order) DCP_RETURN_IF_ERROR(CheckKinds(names_[name]));
  out.metadata.entries.reserve(order.size());
  for (uint32_t name : order) out.metadata.entries.push_back(MakeEntry(&names_[name]));
  names_.clear();
  if (flattened_) out.metadata.planner_data = paths_.Finish();
  out.metadata.BuildIndex();
  DCP_RETURN_IF_ERROR(CheckEntries(out.metadata, out.slots.size() > 1));
  return out;
}

}  // namespace dcp
