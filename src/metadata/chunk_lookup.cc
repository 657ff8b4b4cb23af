#include "metadata/chunk_lookup.h"

#include <algorithm>
#include <numeric>

namespace dcp {
namespace {

constexpr size_t kFewChunks = 8;  // searched in turn

}  // namespace

std::optional<uint32_t> ChunkLookup::Find(uint32_t id, Dims wanted,
                                          std::optional<uint32_t> hinted) {
  const Entry& entry = metadata_.entries[id];
  auto matches = [&](size_t chunk) {
    const Dims offsets = entry.chunk(chunk).offsets;
    for (size_t d = 0; d < wanted.size(); ++d) {  // few: memcmp would take longer
      if (wanted[d] != offsets[d]) return false;
    }
    return true;
  };
  if (hinted && matches(*hinted)) return hinted;
  size_t count = entry.chunk_count();
  if (count <= kFewChunks) {
    for (uint32_t chunk = 0; chunk < count; ++chunk) {
      if (matches(chunk)) return chunk;
    }
    return std::nullopt;
  }
  return FindSorted(id, wanted);
}

// Looks for `wanted` among the chunks of a large entry, which are sorted once.
std::optional<uint32_t> ChunkLookup::FindSorted(uint32_t id, Dims wanted) {
  const Entry& entry = metadata_.entries[id];
  std::vector<uint32_t>& order = sorted_[id];
  auto less = [](Dims a, Dims b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  };
  if (order.empty()) {
    order.resize(entry.chunk_count());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return less(entry.chunk(a).offsets, entry.chunk(b).offsets);
    });
  }
  auto at = std::lower_bound(order.begin(), order.end(), wanted, [&](uint32_t chunk, Dims value) {
    return less(entry.chunk(chunk).offsets, value);
  });
  if (at == order.end() || less(wanted, entry.chunk(*at).offsets)) return std::nullopt;
  return *at;
}

}  // namespace dcp
