#include "base/large_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace dcp {
namespace {

constexpr size_t kFewPages = 4;

}  // namespace

void PreferLargePages(void* at, size_t size) {
  if (size < kFewPages * kLargePage) return;
  const auto begin = reinterpret_cast<uintptr_t>(at);
  const uintptr_t from = (begin + kLargePage - 1) / kLargePage * kLargePage;
  const uintptr_t to = (begin + size) / kLargePage * kLargePage;
  auto* const first = static_cast<std::byte*>(at) + (from - begin);
  (void)madvise(first, to - from, MADV_HUGEPAGE);
}

}  // namespace dcp
