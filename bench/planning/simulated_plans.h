// The save plans of a simulated job. bench/harness/simulated_plans.py makes the same ones for
// PyTorch.
#ifndef DCP_BENCH_PLANNING_SIMULATED_PLANS_H_
#define DCP_BENCH_PLANNING_SIMULATED_PLANS_H_

#include <cstdint>

#include "planner/plan.h"

namespace dcp::bench {

// `stages` pipeline stages of equally many ranks, each with layers of its own: weights and two
// states of an optimizer, cut by rows over the ranks of the stage, one tensor in 27 held by all of
// them, and one object a rank, held by all ranks. With `replicas`, each shard lies on as many
// ranks.
struct Job {
  uint32_t ranks = 0;
  uint32_t items = 0;  // a rank
  uint32_t stages = 1;
  uint32_t replicas = 1;
};

SavePlan SimulatedPlan(const Job& job, uint32_t rank);

}  // namespace dcp::bench

#endif  // DCP_BENCH_PLANNING_SIMULATED_PLANS_H_
