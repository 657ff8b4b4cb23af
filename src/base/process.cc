#include "base/process.h"

#include <atomic>
#include <new>

#include <sys/mman.h>
#include <unistd.h>

namespace dcp {
namespace {

using Number = std::atomic<pid_t>;

// In memory that the kernel clears in a forked child; null where it does not (before Linux 4.14).
Number* MakeNumber() {
  void* page =
      mmap(nullptr, sizeof(Number), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (madvise(page, sizeof(Number), MADV_WIPEONFORK) != 0) {
    munmap(page, sizeof(Number));
    return nullptr;
  }
  return new (page) Number(0);
}

}  // namespace

pid_t ThisProcess() {
  static Number* const number = MakeNumber();
  if (number == nullptr) return getpid();
  const pid_t known = number->load(std::memory_order_relaxed);
  if (known != 0) return known;
  const pid_t found = getpid();
  number->store(found, std::memory_order_relaxed);
  return found;
}

}  // namespace dcp
