#include "planning/commands.h"

#include "base/checksum.h"
#include "checkpoint/plan_wire.h"
#include "checkpoint/wire.h"
#include "driver/measure.h"
#include "planning/simulated_plans.h"

namespace dcp::bench {
namespace {

// CRC32 over rank, item, entry and chunk of all that is written, in the order of ranks.
uint32_t Digest(const MergedPlan& plan) {
  uint32_t crc = 0;
  for (uint32_t rank = 0; rank < plan.items.size(); ++rank) {
    for (size_t i = 0; i < plan.items[rank].size(); ++i) {
      const GlobalSavePlan::Slot slot = plan.slots[rank][i];
      const uint32_t numbers[] = {rank, plan.items[rank][i], slot.entry, slot.chunk};
      crc = Crc32(crc, AsBytes(numbers, sizeof numbers));
    }
  }
  return crc;
}

}  // namespace

Job JobOf(const Arguments& arguments) {
  Job job;
  job.ranks = static_cast<uint32_t>(arguments.Number("ranks"));
  job.items = static_cast<uint32_t>(arguments.Number("items"));
  job.stages = static_cast<uint32_t>(arguments.Number("stages", 1));
  job.replicas = static_cast<uint32_t>(arguments.Number("replicas", 1));
  return job;
}

void GlobalPlanCommand(const Arguments& arguments) {
  const Job job = JobOf(arguments);
  std::vector<std::string> messages;
  uint64_t wire_bytes = 0, items = 0;
  for (uint32_t rank = 0; rank < job.ranks; ++rank) {
    messages.push_back(EncodePlan(SimulatedPlan(job, rank)));
    wire_bytes += messages.back().size();
    items += job.items;
  }
  Measure measure;
  PlanReceiver receiver;
  for (std::string& message : messages) {
    if (auto added = receiver.Add(message); !added.ok()) Die(added.status().ToString());
    std::string().swap(message);
  }
  auto merged = receiver.Finish({});
  if (!merged.ok()) Die(merged.status().ToString());
  uint64_t back_bytes = 0;
  for (const std::vector<uint32_t>& mine : merged->items) {
    back_bytes += EncodeAssignment({"00000000-0000-0000-0000-000000000000", "", mine, {}}).size();
  }
  Result result;
  measure.Stop(&result);
  result.Add("items", items);
  result.Add(
      "chunks", uint64_t{0} + [&] {
        uint64_t chunks = 0;
        for (const Entry& entry : merged->metadata.entries) chunks += entry.chunk_count();
        return chunks;
      }());
  result.Add("wire_bytes", wire_bytes);
  result.Add("back_bytes", back_bytes);
  result.Add("digest", uint64_t{Digest(*merged)});
  result.Print();
}

}  // namespace dcp::bench
