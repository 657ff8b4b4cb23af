// Messages from one rank to another: what the collective calls of message_communicator.h are made
// of.
#ifndef DCP_COMM_TRANSPORT_H_
#define DCP_COMM_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/status.h"

namespace dcp {

struct Message {
  enum class Kind : uint8_t { kData = 0, kStillHere = 1 };
  uint64_t sequence = 0;  // of the collective call, counted from 1; 0: of none
  uint8_t operation = 0;  // which call
  Kind kind = Kind::kData;
  std::string body;
};

// Reliable, and in order between any two ranks. Failures other than time are those of the medium:
// they name a rank where one is to blame. Any thread, one at a time.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual int32_t rank() const = 0;
  virtual int32_t world_size() const = 0;
  // May return before it is received; whoever does not take it does not hold up the sender for
  // longer than `deadline`.
  virtual Status Send(int32_t to, Message message, Deadline deadline) = 0;
  // The next message of `from`; nothing when none came in time. With a deadline that has passed:
  // what is there already.
  virtual Result<std::optional<Message>> Receive(int32_t from, Deadline deadline) = 0;
};

}  // namespace dcp

#endif  // DCP_COMM_TRANSPORT_H_
