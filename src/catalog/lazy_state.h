// A checkpoint's contents as leaves to be saved elsewhere: tensors are read when they are written.
#ifndef DCP_CATALOG_LAZY_STATE_H_
#define DCP_CATALOG_LAZY_STATE_H_

#include <memory>
#include <vector>

#include "catalog/checkpoint.h"
#include "metadata/flatten.h"

namespace dcp {

// One leaf an entry, in the metadata's order, with the saved path where there is one. A tensor
// keeps its chunks; each is read in blocks of at most 8 MiB. Blocks are checked by block checksums;
// an item without them is read once more to check it whole. Objects are read now.
Result<std::vector<FlatLeaf>> LazyLeaves(std::shared_ptr<Checkpoint> checkpoint);

}  // namespace dcp

#endif  // DCP_CATALOG_LAZY_STATE_H_
