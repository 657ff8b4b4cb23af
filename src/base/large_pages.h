// Memory in pages of 2 MiB: many faults less while a large block is filled for the first time.
#ifndef DCP_BASE_LARGE_PAGES_H_
#define DCP_BASE_LARGE_PAGES_H_

#include <cstddef>

namespace dcp {

inline constexpr size_t kLargePage = 2 << 20;

// Asks for large pages where whole ones lie between `at` and `at + size`. Only a wish: it changes
// no content, and the system may not grant it. Blocks of few such pages are left as they are.
void PreferLargePages(void* at, size_t size);

}  // namespace dcp

#endif  // DCP_BASE_LARGE_PAGES_H_
