// One block of host memory for all bytes of a staged state dict, kept for the next where wanted.
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

// Keeps the last arena, so that its pages need not be faulted in again. One call at a time.
class ArenaKeeper {
 public:
  // As NewArena: the one that is kept, when nothing refers to it any more and it is large enough.
  Result<std::shared_ptr<std::byte>> Take(uint64_t size);
  // Keeps none until the next Take. What is in use goes with its last reference.
  void Release() { kept_.reset(); }

 private:
  std::shared_ptr<std::byte> kept_;
  uint64_t size_ = 0;
};

}  // namespace dcp

#endif  // DCP_STAGING_ARENA_H_
