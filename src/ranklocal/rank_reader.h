// Reads the file of a rank-local checkpoint, whole or into what the caller has: upstream's
// CheckpointReader. Every CRC of what is read is checked.
#ifndef DCP_RANKLOCAL_RANK_READER_H_
#define DCP_RANKLOCAL_RANK_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "storage/store.h"
#include "value/value.h"

namespace dcp {

// The state of `rank`. kNotFound "Checkpoint file not found at ..." as upstream says.
Result<ValuePtr> ReadRankFile(const Store& store, int32_t rank);

struct PartialRead {
  ValuePtr state;                    // `target` with the values that were read in their places
  std::vector<std::string> missing;  // keys of the target that the file lacks: "model.weight"
};
// Only what `target` has: dicts by the target's keys, a None takes whatever is there. Tensors are
// filled in place, whatever their strides; a storage that no tensor of the target needs is not
// read. kMismatch, in upstream's words, where a value or a tensor's size or dtype is another;
// kUnsupported for a tensor that is not in host memory.
Result<PartialRead> ReadRankFileInto(const Store& store, int32_t rank, const ValuePtr& target);

}  // namespace dcp

#endif  // DCP_RANKLOCAL_RANK_READER_H_
