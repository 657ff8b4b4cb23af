// What ranks tell each other during a save or load, as bytes: little-endian, numbers mostly as
// varints, names sharing their prefixes. Every message ends exactly where its last field does;
// decoding anything else is kCorrupt. Plans: plan_wire.h.
#ifndef DCP_CHECKPOINT_WIRE_H_
#define DCP_CHECKPOINT_WIRE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "planner/plan.h"
#include "writer/writer.h"

namespace dcp {

// kCorrupt: `what` of another rank cannot be read.
Status MalformedMessage(std::string_view what);

// Coordinator to rank: what to write, in this order.
struct Assignment {
  std::string save_id;
  std::string storage_data;       // of the rank's plan, from the storage writer
  std::vector<uint32_t> sources;  // positions in the rank's own plan, or kNoSource
  std::optional<SavePlan> plan;   // when a planner made it: item i has sources[i]
};
std::string EncodeAssignment(const Assignment& assignment);
Result<Assignment> DecodeAssignment(std::string_view bytes);

// Rank to coordinator: where the items are now. The coordinator's own does not travel.
struct OutcomeMessage {
  std::string save_id;
  WriteOutcome outcome;
};
std::string EncodeOutcomeMessage(const OutcomeMessage& message);
Result<OutcomeMessage> DecodeOutcomeMessage(std::string_view bytes);

// Coordinator to rank: the save is committed.
struct CommitMessage {
  bool synced = true;
};
std::string EncodeCommitMessage(const CommitMessage& message);
Result<CommitMessage> DecodeCommitMessage(std::string_view bytes);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_WIRE_H_
