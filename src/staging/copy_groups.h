// Which tensors share bytes, and where each one's copy goes.
#ifndef DCP_STAGING_COPY_GROUPS_H_
#define DCP_STAGING_COPY_GROUPS_H_

#include <cstdint>
#include <vector>

#include "value/tensor.h"

namespace dcp {

// Bytes to copy into the arena at `to`: the range [from, from + size) as it stands, or (gather
// set) that tensor's elements in row-major order.
struct StageCopy {
  const std::byte* from = nullptr;
  uint64_t size = 0;
  uint64_t to = 0;
  Device device;
  const Tensor* gather = nullptr;
  size_t first = 0;  // a tensor of the group, for messages
};

struct StageLayout {
  std::vector<StageCopy> copies;
  // For each tensor given: offset of its element 0 in the arena, and whether it becomes row-major.
  struct Place {
    uint64_t offset = 0;
    bool row_major = false;
  };
  std::vector<Place> places;
  uint64_t arena_size = 0;
};

// kInvalidArgument when a tensor's extent does not fit 64 bits.
Result<StageLayout> LayOutStage(const std::vector<const Tensor*>& tensors);

}  // namespace dcp

#endif  // DCP_STAGING_COPY_GROUPS_H_
