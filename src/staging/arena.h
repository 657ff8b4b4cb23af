// One block of host memory for all bytes of a staged state dict.
#ifndef DCP_STAGING_ARENA_H_
#define DCP_STAGING_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/status.h"

namespace dcp {

// Private pages, huge where the system grants them, given back when the last reference is gone. A
// forked child does not inherit them. `size` 0 gives a null block.
Result<std::shared_ptr<std::byte>> NewArena(uint64_t size);

}  // namespace dcp

#endif  // DCP_STAGING_ARENA_H_
