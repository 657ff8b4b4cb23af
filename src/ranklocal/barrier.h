// Where the ranks of a rank-local save meet when each has written its file.
#ifndef DCP_RANKLOCAL_BARRIER_H_
#define DCP_RANKLOCAL_BARRIER_H_

#include <memory>

#include "comm/communicator.h"

namespace dcp {

// One call at a time, on any thread.
class Barrier {
 public:
  virtual ~Barrier() = default;
  // Returns when every rank has come. kTimeout names the ranks that did not, where it can. What a
  // host plugs in may ignore the time: see ExecuteInTime.
  virtual Status Execute(Silence timeout) = 0;
};

std::shared_ptr<Barrier> NewCommunicatorBarrier(std::shared_ptr<Communicator> comm);

// Executes it on a thread of its own, which is left behind, with the barrier, when the time is over
// and it has not ended: kTimeout. A negative timeout waits without end.
Status ExecuteInTime(std::shared_ptr<Barrier> barrier, Silence timeout);

}  // namespace dcp

#endif  // DCP_RANKLOCAL_BARRIER_H_
