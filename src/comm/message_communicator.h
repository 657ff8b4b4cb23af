// Collective calls over messages between two ranks: a star around the root of each call.
#ifndef DCP_COMM_MESSAGE_COMMUNICATOR_H_
#define DCP_COMM_MESSAGE_COMMUNICATOR_H_

#include <memory>

#include "comm/communicator.h"
#include "comm/transport.h"

namespace dcp {

// While a root waits for some ranks it tells those that have come that it is still there, so that a
// rank is missed by all or by none. Silence is measured to a twentieth of itself.
std::unique_ptr<Communicator> NewMessageCommunicator(std::shared_ptr<Transport> transport);

}  // namespace dcp

#endif  // DCP_COMM_MESSAGE_COMMUNICATOR_H_
