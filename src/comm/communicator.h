// How ranks talk: byte buffers between the ranks of one group. Implementations: single (here),
// local threads, and whatever the host plugs in through dcp.h's table.
#ifndef DCP_COMM_COMMUNICATOR_H_
#define DCP_COMM_COMMUNICATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/status.h"

namespace dcp {

// Collective calls are made by every rank in the same order, one at a time per communicator.
// kTimeout names the ranks that are missing.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int32_t rank() const = 0;
  virtual int32_t world_size() const = 0;
  // On `root`: one buffer a rank, in rank order; elsewhere empty.
  virtual Result<std::vector<std::string>> Gather(std::string bytes, int32_t root,
                                                  Deadline deadline) = 0;
  // `parts` is read on `root` only: one a rank. Returns this rank's.
  virtual Result<std::string> Scatter(std::vector<std::string> parts, int32_t root,
                                      Deadline deadline) = 0;
  virtual Result<std::string> Broadcast(std::string bytes, int32_t root, Deadline deadline) = 0;
  virtual Status Barrier(Deadline deadline) = 0;
};

std::unique_ptr<Communicator> NewSingleCommunicator();  // rank 0 of 1

}  // namespace dcp

#endif  // DCP_COMM_COMMUNICATOR_H_
