#include "base/stream_copy.h"

#include <cstdint>
#include <cstring>

// Sanitizers do not see stores past the cache.
#if defined(__SSE2__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define DCP_STREAMS 1
#include <emmintrin.h>
#else
#define DCP_STREAMS 0
#endif

namespace dcp {

#if DCP_STREAMS

void StreamCopy(std::byte* to, const std::byte* from, size_t size) {
  constexpr size_t kLine = 64;
  constexpr size_t kWorthIt = 256;  // a few lines are cheaper left in the cache
  if (size < kWorthIt) {
    std::memcpy(to, from, size);
    return;
  }
  const size_t head = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine;
  std::memcpy(to, from, head);
  to += head;
  from += head;
  size -= head;
  for (; size >= kLine; size -= kLine, to += kLine, from += kLine) {
    const auto* source = reinterpret_cast<const __m128i*>(from);
    auto* target = reinterpret_cast<__m128i*>(to);
    const __m128i a = _mm_loadu_si128(source);
    const __m128i b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2);
    const __m128i d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
  }
  std::memcpy(to, from, size);
}

void StreamFence() { _mm_sfence(); }

#else

void StreamCopy(std::byte* to, const std::byte* from, size_t size) { std::memcpy(to, from, size); }
void StreamFence() {}

#endif

}  // namespace dcp
