#include "checkpoint/wire.h"

#include "checkpoint/plan_wire.h"
#include "comm/wire_codec.h"

namespace dcp {
namespace {

constexpr uint64_t kMaxId = UINT32_MAX - 1;

}  // namespace

Status MalformedMessage(std::string_view what) {
  return Error(Code::kCorrupt,
               "another rank sent {} that cannot be read: do all ranks run the same version of "
               "libdcp, and is the communicator theirs alone?",
               what);
}

std::string EncodeAssignment(const Assignment& assignment) {
  WireWriter out;
  out.Text(assignment.save_id);
  out.Text(assignment.storage_data);
  out.Number(assignment.sources.size());
  int64_t expected = 0;
  for (uint32_t source : assignment.sources) {
    out.Signed(int64_t{source} - expected);
    expected = int64_t{source} + 1;
  }
  out.Number(assignment.plan ? 1 : 0);
  if (assignment.plan) out.Text(EncodePlan(*assignment.plan));
  return out.Take();
}

Result<Assignment> DecodeAssignment(std::string_view bytes) {
  WireReader in(bytes);
  Assignment assignment;
  assignment.save_id = in.Text();
  assignment.storage_data = in.Text();
  size_t count = in.Count();
  int64_t expected = 0;
  for (; count > 0 && in.ok(); --count) {
    int64_t source;
    if (!CheckedAdd<int64_t>(expected, in.Signed(), &source) || source < 0 ||
        source > static_cast<int64_t>(SavePlan::kNoSource)) {
      in.Fail();
      break;
    }
    assignment.sources.push_back(static_cast<uint32_t>(source));
    expected = source + 1;
  }
  if (in.Number(1) == 1) {
    DCP_ASSIGN_OR_RETURN(SavePlan plan, DecodePlan(in.TextView()));
    if (plan.items.size() != assignment.sources.size()) in.Fail();
    for (size_t i = 0; i < plan.items.size() && in.ok(); ++i) {
      plan.items[i].source = assignment.sources[i];
    }
    assignment.plan = std::move(plan);
  }
  if (!in.complete()) return MalformedMessage("an assignment");
  return assignment;
}

std::string EncodeOutcomeMessage(const OutcomeMessage& message) {
  const WriteOutcome& outcome = message.outcome;
  WireWriter out;
  out.Text(message.save_id);
  out.Number(outcome.bytes);
  out.Number(outcome.files.size());
  for (const std::string& file : outcome.files) out.Name(file);
  out.Number(outcome.items.size());
  for (const WrittenItem& item : outcome.items) {
    out.Number(item.file);
    out.Number(item.offset);
    out.Number(item.length);
    out.Number(item.crc32);
  }
  return out.Take();
}

Result<OutcomeMessage> DecodeOutcomeMessage(std::string_view bytes) {
  WireReader in(bytes);
  OutcomeMessage message;
  WriteOutcome& outcome = message.outcome;
  message.save_id = in.Text();
  outcome.bytes = in.Number();
  size_t files = in.Count(2);
  for (; files > 0 && in.ok(); --files) outcome.files.push_back(in.Name());
  size_t items = in.Count(4);
  for (; items > 0 && in.ok(); --items) {
    WrittenItem item;
    item.file = static_cast<uint32_t>(in.Number(kMaxId));
    item.offset = in.Number();
    item.length = in.Number();
    item.crc32 = static_cast<uint32_t>(in.Number(UINT32_MAX));
    if (item.file >= outcome.files.size()) in.Fail();
    outcome.items.push_back(item);
  }
  if (!in.complete()) return MalformedMessage("the outcome of its writes");
  return message;
}

std::string EncodeCommitMessage(const CommitMessage& message) {
  WireWriter out;
  out.Number(message.synced ? 1 : 0);
  return out.Take();
}

Result<CommitMessage> DecodeCommitMessage(std::string_view bytes) {
  WireReader in(bytes);
  CommitMessage message;
  message.synced = in.Number(1) == 1;
  if (!in.complete()) return MalformedMessage("the outcome of the commit");
  return message;
}

}  // namespace dcp
