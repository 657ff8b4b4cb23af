#include <algorithm>

#include "metadata/id_table.h"
#include "planner/dedup.h"
#include "planner/save_planner.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr size_t kMaxErrorText = 500;

// Every index of every item points into its plan, so that the rest need not look.
Status CheckPlan(const SavePlan& plan, size_t rank) {
  for (size_t i = 0; i < plan.items.size(); ++i) {
    const WriteItem& item = plan.items[i];
    bool sound = item.name < plan.names.size();
    if (item.kind == WriteKind::kTensor || item.kind == WriteKind::kShard) {
      size_t n = item.ndim, dims = plan.dims.size();
      sound = sound && n <= kMaxDims && item.properties < plan.properties.size() &&
              item.global <= dims && n <= dims - item.global && item.box <= dims &&
              2 * n <= dims - item.box &&
              IsValidDType(static_cast<int32_t>(plan.properties[item.properties].dtype));
    } else {
      sound = sound && item.kind == WriteKind::kBytes;
    }
    if (!sound) {
      return Error(Code::kInvalidArgument,
                   "the save plan of rank {} is malformed: item {} points outside it", rank, i);
    }
  }
  return Status::Ok();
}

// Ranks that hold tensors of other sizes under one name would lose all but one of them.
Status CheckSizes(const std::vector<SavePlan>& plans, const GlobalNames& names) {
  struct First {
    uint32_t rank;
    const WriteItem* item;
  };
  std::vector<First> first(names.names.size(), First{0, nullptr});
  for (uint32_t rank = 0; rank < plans.size(); ++rank) {
    const SavePlan& plan = plans[rank];
    for (const WriteItem& item : plan.items) {
      if (item.kind == WriteKind::kBytes) continue;
      First& seen = first[names.ids[rank][item.name]];
      if (seen.item == nullptr) {
        seen = {rank, &item};
        Result<int64_t> count = NumElements(plan.global_size(item));
        if (!count.ok()) {
          return Error(Code::kInvalidArgument, "{} on rank {}: {}",
                       PrintableName(plan.names[item.name]), rank, count.status().message());
        }
        continue;
      }
      Dims there = plans[seen.rank].global_size(*seen.item);
      Dims here = plan.global_size(item);
      if (!std::equal(there.begin(), there.end(), here.begin(), here.end())) {
        return Error(Code::kInvalidArgument,
                     "{} has size {} on rank {} and {} on rank {}: give the tensors one size or "
                     "two names",
                     PrintableName(plan.names[item.name]), ToString(there), seen.rank,
                     ToString(here), rank);
      }
    }
  }
  return Status::Ok();
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

class Merge {
 public:
  explicit Merge(size_t name_count) : entry_of_(name_count, IdTable::kNone) {
    firsts_.reserve(name_count);
  }

  // Adds one item that rank `rank` is to write.
  Result<GlobalSavePlan::Slot> Add(const SavePlan& plan, const WriteItem& item, uint32_t name,
                                   uint32_t rank, Metadata* metadata) {
    uint32_t& id = entry_of_[name];
    if (id == IdTable::kNone) {
      id = static_cast<uint32_t>(metadata->entries.size());
      firsts_.push_back({item.kind, rank});
      Entry& entry = metadata->entries.emplace_back();
      entry.name = plan.names[item.name];
      if (item.kind == WriteKind::kBytes) {
        entry.kind = EntryKind::kBytes;
      } else {
        entry.kind = EntryKind::kTensor;
        entry.properties = plan.properties[item.properties];
        Dims size = plan.global_size(item);
        entry.size.assign(size.begin(), size.end());
      }
    } else if (item.kind != WriteKind::kShard || firsts_[id].kind == WriteKind::kBytes) {
      return Error(Code::kInvalidArgument,
                   "item.index.fqn not in md: {} is {} on rank {} and {} on rank {}: one name "
                   "must hold one thing",
                   PrintableName(plan.names[item.name]), KindText(firsts_[id].kind),
                   firsts_[id].rank, KindText(item.kind), rank);
    }
    Entry& entry = metadata->entries[id];
    uint32_t chunk = static_cast<uint32_t>(entry.locations.size());
    if (item.kind != WriteKind::kBytes) {
      Dims box = Dims(plan.dims).subspan(item.box, 2 * size_t{item.ndim});  // offsets, sizes
      entry.boxes.insert(entry.boxes.end(), box.begin(), box.end());
    }
    entry.locations.emplace_back();
    return GlobalSavePlan::Slot{id, chunk};
  }

 private:
  struct First {
    WriteKind kind;
    uint32_t rank;
  };
  std::vector<uint32_t> entry_of_;  // by global name
  std::vector<First> firsts_;       // by entry
};

// dict(ChainMap(*maps)): names in the order of the last rank first, values of the first rank. What
// is taken over is gone from the plans.
std::vector<std::pair<std::string, Path>> MergePlannerData(std::vector<SavePlan>& plans) {
  struct Where {
    uint32_t rank;
    uint32_t item;
  };
  std::vector<Where> order;
  IdTable table;
  if (!plans.empty()) {
    order.reserve(plans.back().planner_data.size());
    table.Reserve(plans.back().planner_data.size());
  }
  auto name_of = [&](uint32_t id) -> const std::string& {
    return plans[order[id].rank].planner_data[order[id].item].first;
  };
  for (uint32_t rank = static_cast<uint32_t>(plans.size()); rank-- > 0;) {
    const auto& data = plans[rank].planner_data;
    for (uint32_t i = 0; i < data.size(); ++i) {
      const std::string& name = data[i].first;
      // Ranks tend to list the same names in the same order.
      if (i < order.size() && name_of(i) == name) {
        order[i] = {rank, i};
        continue;
      }
      uint32_t fresh = static_cast<uint32_t>(order.size());
      uint32_t id = table.FindOrAdd(SeededHash(name), fresh,
                                    [&](uint32_t other) { return name_of(other) == name; });
      if (id == fresh) {
        order.push_back({rank, i});
      } else {
        order[id] = {rank, i};
      }
    }
  }
  std::vector<std::pair<std::string, Path>> merged;
  merged.reserve(order.size());
  for (const Where& where : order) {
    merged.push_back(std::move(plans[where.rank].planner_data[where.item]));
  }
  for (SavePlan& plan : plans) plan.planner_data = {};
  return merged;
}

Status Validate(const Metadata& metadata, bool check_volume) {
  std::vector<std::string> messages = ValidateEntries(metadata, check_volume);
  if (messages.empty()) return Status::Ok();
  std::string text;
  for (const std::string& message : messages) {
    if (!text.empty()) text += "; ";
    text += message;
    if (text.size() > kMaxErrorText) {
      size_t cut = kMaxErrorText;
      while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
      text.resize(cut);
      text += "... (truncated)";
      break;
    }
  }
  return Error(Code::kInvalidArgument, "Failed to validate global plan: {}", text);
}

}  // namespace

Result<GlobalSavePlan> CreateGlobalSavePlan(std::vector<SavePlan> plans,
                                            const GlobalPlanOptions& options) {
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    DCP_RETURN_IF_ERROR(CheckPlan(plans[rank], rank));
  }
  GlobalNames names = NumberNames(plans);
  DCP_RETURN_IF_ERROR(CheckSizes(plans, names));
  std::vector<std::vector<uint8_t>> keep;
  const bool dedup = options.dedup && plans.size() > 1;
  if (dedup) keep = Dedup(plans, names, options.dedup_to_lowest_rank);

  GlobalSavePlan out;
  out.slots.resize(plans.size());
  Merge merge(names.names.size());
  out.metadata.entries.reserve(names.names.size());
  for (uint32_t rank = 0; rank < plans.size(); ++rank) {
    SavePlan& plan = plans[rank];
    size_t kept = 0;
    out.slots[rank].reserve(plan.items.size());
    for (size_t i = 0; i < plan.items.size(); ++i) {
      if (dedup && !keep[rank][i]) continue;
      const WriteItem& item = plan.items[i];
      DCP_ASSIGN_OR_RETURN(GlobalSavePlan::Slot slot,
                           merge.Add(plan, item, names.ids[rank][item.name], rank, &out.metadata));
      out.slots[rank].push_back(slot);
      plan.items[kept++] = item;
    }
    plan.items.resize(kept);
  }
  if (std::any_of(plans.begin(), plans.end(), [](const SavePlan& p) { return p.flattened; })) {
    out.metadata.planner_data = MergePlannerData(plans);
  }
  out.metadata.BuildIndex();
  DCP_RETURN_IF_ERROR(Validate(out.metadata, plans.size() > 1));
  out.ranks = std::move(plans);
  return out;
}

}  // namespace dcp
