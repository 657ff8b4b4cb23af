#include "staging/arena.h"

#include <sys/mman.h>

namespace dcp {

Result<std::shared_ptr<std::byte>> NewArena(uint64_t size) {
  if (size == 0) return std::shared_ptr<std::byte>();
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return Error(Code::kOutOfMemory, "no memory to stage {} bytes of tensors", size);
  }
  madvise(data, size, MADV_HUGEPAGE);  // best effort
  madvise(data, size, MADV_DONTFORK);
  return std::shared_ptr<std::byte>(static_cast<std::byte*>(data),
                                    [size](std::byte* block) { munmap(block, size); });
}

Result<std::shared_ptr<std::byte>> ArenaKeeper::Take(uint64_t size) {
  if (size == 0) return std::shared_ptr<std::byte>();
  if (kept_ != nullptr && kept_.use_count() == 1 && size <= size_) return kept_;
  kept_.reset();
  DCP_ASSIGN_OR_RETURN(kept_, NewArena(size));
  size_ = size;
  return kept_;
}

}  // namespace dcp
