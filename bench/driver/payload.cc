#include "payload.h"

#include <algorithm>
#include <cstring>

namespace {

// Word `index` of payload `seed`: a counter, stirred until neighbours have nothing in common.
uint64_t Word(uint64_t seed, uint64_t index) {
  uint64_t word = (seed + 1) * 0xd1342543de82ef95u + index * 0x9e3779b97f4a7c15u;
  word = (word ^ (word >> 32)) * 0xbea225f9eb34556du;
  word = (word ^ (word >> 29)) * 0xbea225f9eb34556du;
  return word ^ (word >> 32);
}

}  // namespace

void bench_payload_fill(void* memory, uint64_t size, uint64_t seed, uint64_t offset) {
  auto* bytes = static_cast<char*>(memory);
  uint64_t index = offset / 8;
  uint64_t at = 0;
  for (; at + 8 <= size; at += 8) {
    uint64_t word = Word(seed, index++);
    std::memcpy(bytes + at, &word, 8);
  }
  uint64_t word = Word(seed, index);
  std::memcpy(bytes + at, &word, size - at);
}

uint64_t bench_payload_check(const void* memory, uint64_t size, uint64_t seed, uint64_t offset) {
  constexpr uint64_t kBlock = 4096;
  const auto* bytes = static_cast<const char*>(memory);
  char expected[kBlock];
  for (uint64_t at = 0; at < size; at += kBlock) {
    uint64_t length = std::min(kBlock, size - at);
    bench_payload_fill(expected, length, seed, offset + at);
    if (std::memcmp(expected, bytes + at, length) == 0) continue;
    uint64_t same = 0;
    while (expected[same] == bytes[at + same]) ++same;
    return at + same;
  }
  return size;
}
