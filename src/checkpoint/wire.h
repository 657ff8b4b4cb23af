// What ranks tell each other during a save or load, as bytes: little-endian, numbers mostly as
// varints, names sharing their prefixes. Every message ends exactly where its last field does;
// decoding anything else is kCorrupt. Plans: plan_wire.h.
#ifndef DCP_CHECKPOINT_WIRE_H_
#define DCP_CHECKPOINT_WIRE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "writer/writer.h"

namespace dcp {

// kCorrupt: `what` of another rank cannot be read.
Status MalformedMessage(std::string_view what);

// Coordinator to rank: which of its own items to write, in this order, and under which names.
struct Assignment {
  std::string save_id;
  uint64_t generation = 0;
  std::vector<uint32_t> sources;
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
