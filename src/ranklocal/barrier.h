// Where the ranks of a rank-local save meet when each has written its file.
#ifndef DCP_RANKLOCAL_BARRIER_H_
#define DCP_RANKLOCAL_BARRIER_H_

#include <atomic>
#include <memory>

#include "base/cancel.h"
#include "comm/communicator.h"

namespace dcp {

// One call at a time, on any thread.
class Barrier {
 public:
  virtual ~Barrier() = default;
  // Returns when every rank has come. kTimeout names the ranks that did not, where it can. What a
  // host plugs in may ignore the time: see ExecuteInTime.
  virtual Status Execute(Silence timeout) = 0;
  // How long a call may take that keeps to its timeout.
  virtual Silence Longest(Silence timeout) const { return timeout; }

 private:
  friend Status ExecuteInTime(std::shared_ptr<Barrier> barrier, Silence timeout,
                              const CancelToken& cancel);
  std::atomic<bool> executing_{false};
};

// Names who is missing. A rank waits for `timeout` for the others, and as long again to hear from
// the one that counts them.
std::shared_ptr<Barrier> NewCommunicatorBarrier(std::shared_ptr<Communicator> comm);

// Executes it on a thread of its own, which is left behind, with the barrier, when the time is over
// and it has not ended (kTimeout), or when it is cancelled (kCancelled). A negative timeout waits
// without end. Until a call that was left behind has ended the next ones fail with kTimeout.
Status ExecuteInTime(std::shared_ptr<Barrier> barrier, Silence timeout,
                     const CancelToken& cancel = {});

}  // namespace dcp

#endif  // DCP_RANKLOCAL_BARRIER_H_
