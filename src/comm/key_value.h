// Ranks that meet at a key-value store: c10d's stores, etcd and the like.
#ifndef DCP_COMM_KEY_VALUE_H_
#define DCP_COMM_KEY_VALUE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "comm/transport.h"

namespace dcp {

// Any thread, one at a time. A store that cannot be reached fails; where a rank hosts it, the
// failure names that rank (MissingError).
class KeyValueStore {
 public:
  virtual ~KeyValueStore() = default;
  virtual Status Set(const std::string& key, std::string value, Deadline deadline) = 0;
  // Nothing when the key is not there in time. With a deadline that has passed: what is there
  // already.
  virtual Result<std::optional<std::string>> Get(const std::string& key, Deadline deadline) = 0;
  // A key that is not there is no failure.
  virtual Status Remove(const std::string& key) = 0;
  // Bytes of a value; larger ones are cut.
  virtual size_t most_bytes() const { return 4 << 20; }
};

// `prefix` is this group's own and was never used in the store before: keys are "<prefix>/<from>/
// <to>/<number>", and are removed when they are received.
std::shared_ptr<Transport> NewKeyValueTransport(std::shared_ptr<KeyValueStore> store,
                                                std::string prefix, int32_t rank,
                                                int32_t world_size);

}  // namespace dcp

#endif  // DCP_COMM_KEY_VALUE_H_
