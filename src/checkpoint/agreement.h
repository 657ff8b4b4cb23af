// One step of a save or load on all ranks: every rank's failure reaches every rank, as the same
// status. The steps are named as upstream's CheckpointException names them: "plan", "write",
// "read".
#ifndef DCP_CHECKPOINT_AGREEMENT_H_
#define DCP_CHECKPOINT_AGREEMENT_H_

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/lease.h"
#include "comm/communicator.h"

namespace dcp {

// One a save or load. A rank that is missing is a failed rank like others: all that are left hear
// of it. Failures of the communicator itself come back as they are, with context.
class Agreement {
 public:
  // `action` is "save" or "load", for messages.
  Agreement(Communicator& comm, int32_t coordinator, int64_t timeout_ms, std::string action)
      : comm_(comm),
        coordinator_(coordinator),
        silence_(timeout_ms),
        action_(std::move(action)),
        lease_(comm.world_size() == 1 ? -1 : timeout_ms) {}

  bool is_coordinator() const { return comm_.rank() == coordinator_; }
  // Of this rank's right to change the store.
  const Lease& lease() const { return lease_; }
  // Between two steps: this rank is at work. Any thread; cheap when called often.
  void StillHere();

  // Every rank gives its message or its failure. On the coordinator: all messages in rank order
  // (empty for ranks that failed), with failures() telling which; elsewhere empty.
  Result<std::vector<std::string>> Gather(std::string_view step, Result<std::string> mine);
  // The coordinator's own failure, or one it found in a rank's message.
  void AddFailure(int32_t rank, std::string_view step, const Status& status);
  const std::vector<RankFailure>& failures() const { return failures_; }  // coordinator only

  // Ends the step: each rank gets its part, or the status that all share when anything failed.
  Result<std::string> Scatter(std::string_view step, std::vector<std::string> parts);
  Result<std::string> Broadcast(std::string_view step, std::string message);
  // True when the last Scatter or Broadcast failed in the communicator: what the coordinator
  // decided is not known here.
  bool decision_unknown() const { return decision_unknown_; }

 private:
  Result<std::string> Open(std::string_view step, Result<std::string> received);
  Status Shared(std::vector<RankFailure> failures) const;
  Status Unheard(std::string_view step, const Status& status, std::string_view doing) const;

  Communicator& comm_;
  int32_t coordinator_;
  Silence silence_;
  std::string action_;
  Lease lease_;
  Status own_failure_;  // with the host's exception, which does not travel
  std::vector<RankFailure> failures_;
  bool decision_unknown_ = false;
};

}  // namespace dcp

#endif  // DCP_CHECKPOINT_AGREEMENT_H_
