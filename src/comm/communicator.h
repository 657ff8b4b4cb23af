// How ranks talk: byte buffers between the ranks of one group. Implementations: single (here),
// local (threads of one process), over messages (message_communicator.h), over a key-value store
// (key_value.h), and whatever the host plugs in through dcp.h's tables.
#ifndef DCP_COMM_COMMUNICATOR_H_
#define DCP_COMM_COMMUNICATOR_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace dcp {

// How long a rank may say nothing before it counts as missing. Negative: for ever.
using Silence = std::chrono::milliseconds;

// Collective calls are made by every rank in the same order, one at a time per communicator; on
// which thread does not matter. A rank that is missing is named: FailedRanksError. One
// that was late finds out what the others did without it, and all can go on.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int32_t rank() const = 0;
  virtual int32_t world_size() const = 0;

  // What a root has gathered.
  struct Gathered {
    std::vector<std::string> buffers;  // one a rank, in rank order; empty for those that failed
    std::vector<RankFailure> failed;   // those that are missing, or cannot be heard
  };
  // Elsewhere than on `root` empty, and it may return before the others have come.
  virtual Result<Gathered> Gather(std::string bytes, int32_t root, Silence silence) = 0;
  // `parts` is read on `root` only: one a rank. Returns this rank's.
  virtual Result<std::string> Scatter(std::vector<std::string> parts, int32_t root,
                                      Silence silence) = 0;
  virtual Result<std::string> Broadcast(std::string bytes, int32_t root, Silence silence) = 0;
  // On every rank: one buffer a rank. Fails on all ranks or on none.
  virtual Result<std::vector<std::string>> AllGather(std::string bytes, Silence silence) = 0;
  // Fails on all ranks or on none.
  virtual Status Barrier(Silence silence) = 0;

  // Between two calls: this rank is at work, and is to be waited for. Told to `root`, or by `root`
  // to all. Any thread, but not beside a collective call; cheap when called often. Implementations
  // that cannot tell it count silence from the beginning of a call.
  virtual void StillHere(int32_t /*root*/, Silence /*silence*/) {}
};

std::unique_ptr<Communicator> NewSingleCommunicator();  // rank 0 of 1

// A rank that said nothing for so long.
RankFailure MissingRank(int32_t rank, Silence silence);
// Names the ranks: kTimeout when all are missing, else kRankFailed. `what` was waited for; at least
// one.
Status FailedRanksError(std::vector<RankFailure> failed, int32_t world_size, std::string_view what);
// "2", "2 and 5", "1, 2, 3 and 12 more": for messages.
std::string RankList(const std::vector<int32_t>& ranks);

// kInvalidArgument unless `root` is a rank.
Status CheckRoot(const Communicator& comm, int32_t root);

}  // namespace dcp

#endif  // DCP_COMM_COMMUNICATOR_H_
