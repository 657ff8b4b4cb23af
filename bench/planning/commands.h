// What bench_planning does: the coordinator's work for simulated ranks, in one process.
#ifndef DCP_BENCH_PLANNING_COMMANDS_H_
#define DCP_BENCH_PLANNING_COMMANDS_H_

#include "driver/arguments.h"
#include "planning/simulated_plans.h"

namespace dcp::bench {

// --ranks N --items N [--stages N] [--replicas N]
Job JobOf(const Arguments& arguments);

// The plans of all ranks, from their messages to the messages that tell ranks what to write.
// Facts: items, chunks, wire_bytes and back_bytes (of all messages each way), digest.
void GlobalPlanCommand(const Arguments& arguments);

}  // namespace dcp::bench

#endif  // DCP_BENCH_PLANNING_COMMANDS_H_
