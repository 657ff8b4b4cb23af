// Upstream's DefaultLoadPlanner as pure functions: targets x saved chunks -> boxes to read.
#ifndef DCP_PLANNER_LOAD_PLANNER_H_
#define DCP_PLANNER_LOAD_PLANNER_H_

#include <string>
#include <string_view>
#include <vector>

#include "planner/plan.h"

namespace dcp {

// One thing to be filled: a whole tensor, one local shard of a sharded tensor, or an object.
struct LoadTarget {
  std::string_view name;  // borrowed
  EntryKind kind = EntryKind::kBytes;
  DType dtype = DType::kFloat32;
  Shape global_size;
  Shape offsets;  // of this part in the global tensor
  Shape sizes;
};

struct LoadPlanOptions {
  bool allow_partial = false;  // missing names are reported, not an error
  bool allow_cast = true;      // upstream casts silently; here it is reported
};

// Everything upstream would do without a word.
struct LoadReport {
  std::vector<std::string> loaded;
  std::vector<std::string> missing;     // asked for, not in the checkpoint
  std::vector<std::string> unexpected;  // in the checkpoint, not asked for
  std::vector<std::string> cast;        // "name: float32 -> bfloat16"
  std::vector<std::string> uncovered;   // "name: 12 of 24 elements": target parts no chunk covers
  uint64_t unverified_bytes = 0;        // read without any checksum to check
};

struct PlannedLoad {
  LoadPlan plan;
  LoadReport report;  // `loaded` lists what the plan will load
};

// Near-linear box intersection. Errors as upstream's texts: kNotFound "Missing key in checkpoint
// state_dict: K.", kMismatch "Size mismatch between saved torch.Size([4]) and current:
// torch.Size([5]) for K"; a tensor target for a bytes entry and the reverse is kMismatch too.
Result<PlannedLoad> CreateLoadPlan(const Metadata& metadata, const std::vector<LoadTarget>& targets,
                                   const LoadPlanOptions& options);

// kInvalidArgument unless every item of a plan that others made lies in what the metadata has and,
// where it has a target, in that. `targets`: this rank's.
Status CheckLoadPlan(const LoadPlan& plan, const Metadata& metadata,
                     const std::vector<LoadTarget>& targets);

}  // namespace dcp

#endif  // DCP_PLANNER_LOAD_PLANNER_H_
