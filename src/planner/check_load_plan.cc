#include "planner/load_planner.h"
#include "value/names.h"

namespace dcp {
namespace {

bool Inside(Dims offsets, Dims lengths, Dims sizes) {
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (offsets[d] < 0 || lengths[d] < 0 || lengths[d] > sizes[d] ||
        offsets[d] > sizes[d] - lengths[d]) {
      return false;
    }
  }
  return true;
}

Status CheckItem(const LoadPlan& plan, const ReadItem& item, const Metadata& metadata,
                 const std::vector<LoadTarget>& targets) {
  if (item.entry >= metadata.entries.size()) {
    return Error(Code::kInvalidArgument, "it names entry {} of {}", item.entry,
                 metadata.entries.size());
  }
  const Entry& entry = metadata.entries[item.entry];
  const bool has_target = item.target != ReadItem::kNoTarget;
  if (item.kind != entry.kind || (has_target && item.target >= targets.size()) ||
      item.chunk >= entry.chunk_count()) {
    return Error(Code::kInvalidArgument, "of {} it names what is not there",
                 PrintableName(entry.name));
  }
  if (entry.locations[item.chunk].missing()) {
    return Error(Code::kCorrupt, "the metadata lists {} but does not say which file holds it",
                 PrintableName(entry.name));
  }
  if (item.kind == EntryKind::kBytes) return Status::Ok();
  const size_t ndim = entry.ndim();
  bool sound =
      item.ndim == ndim && item.dims <= plan.dims.size() &&
      3 * ndim <= plan.dims.size() - item.dims &&
      Inside(plan.storage_offsets(item), plan.lengths(item), entry.chunk(item.chunk).sizes);
  if (sound && has_target) {
    const LoadTarget& target = targets[item.target];
    sound = target.kind == EntryKind::kTensor && target.sizes.size() == ndim &&
            Inside(plan.dest_offsets(item), plan.lengths(item), target.sizes);
  }
  if (sound) return Status::Ok();
  return Error(Code::kInvalidArgument, "of {} it reads what is outside its chunk or its target",
               PrintableName(entry.name));
}

}  // namespace

Status CheckLoadPlan(const LoadPlan& plan, const Metadata& metadata,
                     const std::vector<LoadTarget>& targets) {
  for (size_t i = 0; i < plan.items.size(); ++i) {
    Status sound = CheckItem(plan, plan.items[i], metadata, targets);
    if (!sound.ok()) return sound.WithContext(fmt::format("item {} of the load plan", i));
  }
  return Status::Ok();
}

}  // namespace dcp
