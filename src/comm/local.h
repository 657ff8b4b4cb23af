// N ranks of one process, each on a thread of its own.
#ifndef DCP_COMM_LOCAL_H_
#define DCP_COMM_LOCAL_H_

#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "comm/transport.h"

namespace dcp {

// Those of ranks 0 to world_size - 1. Each is used by one thread at a time. A rank whose
// communicator is gone is missed at once.
std::vector<std::unique_ptr<Communicator>> NewLocalCommunicators(int32_t world_size);

// What they are made of.
std::vector<std::shared_ptr<Transport>> NewLocalTransports(int32_t world_size);

}  // namespace dcp

#endif  // DCP_COMM_LOCAL_H_
