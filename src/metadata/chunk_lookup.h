// Which chunk of an entry begins at given offsets.
#ifndef DCP_METADATA_CHUNK_LOOKUP_H_
#define DCP_METADATA_CHUNK_LOOKUP_H_

#include <optional>
#include <unordered_map>
#include <vector>

#include "metadata/metadata.h"

namespace dcp {

class ChunkLookup {
 public:
  explicit ChunkLookup(const Metadata& metadata) : metadata_(metadata) {}

  // Of entry `id`, whose number of dimensions `wanted` has. `hinted` is a chunk that exists, and is
  // looked at first.
  std::optional<uint32_t> Find(uint32_t id, Dims wanted, std::optional<uint32_t> hinted);

 private:
  std::optional<uint32_t> FindSorted(uint32_t id, Dims wanted);

  const Metadata& metadata_;
  std::unordered_map<uint32_t, std::vector<uint32_t>> sorted_;  // entry -> chunks by offsets
};

}  // namespace dcp

#endif  // DCP_METADATA_CHUNK_LOOKUP_H_
