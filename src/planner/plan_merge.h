// The plans of all ranks, folded into one as they come. Of a plan that was added a few numbers an
// item stay, and the boxes that the metadata will have; names and paths that ranks share stay once.
#ifndef DCP_PLANNER_PLAN_MERGE_H_
#define DCP_PLANNER_PLAN_MERGE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/dedup.h"
#include "planner/path_merge.h"
#include "planner/save_planner.h"

namespace dcp {

struct MergedPlan {
  Metadata metadata;  // entries and chunks; every location still missing
  // [rank]: the numbers of those of its items that it is to write, ascending, and beside each the
  // entry and chunk in metadata that it fills.
  std::vector<std::vector<uint32_t>> items;
  std::vector<std::vector<GlobalSavePlan::Slot>> slots;
};

class PlanMerge {
 public:
  // Names and paths of a plan, which any number of ranks may have; returns their number. Called
  // for the first of these ranks before later ranks are added.
  uint32_t AddTable(std::vector<std::string> names, NamedPaths paths);

  // The plan of the next rank: `items` point into the table's names, `properties` and `dims`, and
  // are `flattened` as SavePlan::flattened. kInvalidArgument when an item points outside them, and
  // for a name whose kind or size differs from that of ranks before; the merge is then of no
  // further use.
  Status Add(uint32_t table, bool flattened, std::span<const TensorProperties> properties,
             Dims dims, std::span<const WriteItem> items);

  size_t ranks() const { return plans_.size(); }

  // Dedup, merge, validate, as CreateGlobalSavePlan. Once.
  Result<MergedPlan> Finish(const GlobalPlanOptions& options);

 private:
  struct Table {
    std::vector<uint32_t> names;  // numbers in names_
    uint32_t paths;               // number in paths_
  };

  uint32_t NumberProperties(const TensorProperties& properties);
  Status AddItem(const WriteItem& item, Dims dims, uint32_t rank, uint32_t number,
                 GatheredName* name);
  Status CheckKinds(const GatheredName& name) const;
  Entry MakeEntry(GatheredName* name) const;

  std::vector<Table> tables_;
  std::vector<GatheredName> names_;
  IdTable name_ids_;
  PathMerge paths_;
  bool flattened_ = false;  // any plan
  std::vector<TensorProperties> properties_;
  IdTable properties_ids_;
  std::vector<uint32_t> numbered_;             // of the plan that is added: its properties' numbers
  std::vector<std::vector<NamedItem>> plans_;  // [rank][item]
};

}  // namespace dcp

#endif  // DCP_PLANNER_PLAN_MERGE_H_
