#include "checkpoint/save_id.h"

#include <cerrno>
#include <cstdint>

#include <sys/random.h>

namespace dcp {

Result<std::string> NewSaveId() {
  uint8_t random[16];
  for (size_t have = 0; have < sizeof random;) {
    ssize_t got = getrandom(random + have, sizeof random - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return ErrnoError(errno, "read", "the system's random source");
    have += static_cast<size_t>(got);
  }
  random[6] = static_cast<uint8_t>((random[6] & 0x0f) | 0x40);
  random[8] = static_cast<uint8_t>((random[8] & 0x3f) | 0x80);
  std::string id;
  for (size_t i = 0; i < sizeof random; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    id += fmt::format("{:02x}", random[i]);
  }
  return id;
}

}  // namespace dcp
