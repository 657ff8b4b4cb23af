// The library's own storage reader: upstream's FileSystemReader over a store, every checksum
// checked.
#ifndef DCP_CHECKPOINT_FILE_READER_H_
#define DCP_CHECKPOINT_FILE_READER_H_

#include <memory>

#include "checkpoint/load.h"
#include "checkpoint/load_roles.h"

namespace dcp {

// One load. Borrows all three.
std::unique_ptr<StorageReader> NewFileReader(const Store& store, const LoadOptions& options,
                                             const Engine& engine);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_FILE_READER_H_
