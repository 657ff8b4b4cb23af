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

// A second save of the same layout: from the first rank's key to the last piece of `.metadata`, by
// way of what ranks are told and of what they have written. The same options, and --workers N.
// Facts: up_bytes and down_bytes of each rank's plan, result_bytes of all, metadata_bytes, patched.
void SecondSaveCommand(const Arguments& arguments);

// --bytes N: memcpy into memory that is there.
void MemcpyCommand(const Arguments& arguments);

}  // namespace dcp::bench

#endif  // DCP_BENCH_PLANNING_COMMANDS_H_
