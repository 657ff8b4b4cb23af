// The items of one rank's plan, and what they hold in its state dict.
#ifndef DCP_CHECKPOINT_PLANNED_ITEMS_H_
#define DCP_CHECKPOINT_PLANNED_ITEMS_H_

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/save_roles.h"
#include "checkpoint/wire.h"
#include "metadata/flatten.h"

namespace dcp {

class PlannedItems {
 public:
  Status SetLeaves(std::vector<FlatLeaf> leaves);
  // The library's local plan. The leaves' paths go into it: the first time only.
  Result<SavePlan> StandardPlan(bool with_paths);
  // What was made of it, where positions and sources may differ, or Assign is to give a plan.
  void KeepPlan(const SavePlan& local) {
    local_ = local;
    kept_ = true;
  }
  // What this rank is to write. `planner` may be null.
  Status Assign(const Assignment& assignment, SavePlanner* planner);

  const SavePlan& plan() const { return plan_; }  // of what is assigned; after KeepPlan only
  std::span<const WriteJob> jobs() const { return jobs_; }
  uint64_t bytes() const { return bytes_; }  // of tensors, as far as they are known
  // What a late job holds.
  Result<ValuePtr> Resolve(size_t item) const;

 private:
  struct Payload {  // exactly one of the two, or none
    const Tensor* tensor = nullptr;
    const Value* object = nullptr;
  };
  Payload PayloadOf(Source source) const;
  Status CheckLeaves() const;
  Status AssignSources(const Assignment& assignment);
  Status AssignPlan(const Assignment& assignment, SavePlanner* planner);
  Status CheckSame(const SavePlan& before) const;
  uint32_t LocalSource(const WriteItem& item);
  ValuePtr Found(const WriteItem& item) const;

  std::vector<FlatLeaf> leaves_;
  std::vector<Source> sources_;
  bool kept_ = false;
  SavePlan local_;
  SavePlan plan_;
  SavePlanner* planner_ = nullptr;
  std::unordered_map<std::string, uint32_t> leaf_of_;  // made when an item has no source
  std::vector<WriteJob> jobs_;
  uint64_t bytes_ = 0;
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_PLANNED_ITEMS_H_
