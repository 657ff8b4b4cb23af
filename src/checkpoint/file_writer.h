// The library's own storage writer: data files and `.metadata` in a store, as upstream's
// FileSystemWriter lays them out, with the commit of docs/architecture.md.
#ifndef DCP_CHECKPOINT_FILE_WRITER_H_
#define DCP_CHECKPOINT_FILE_WRITER_H_

#include <memory>

#include "checkpoint/save.h"
#include "checkpoint/save_roles.h"

namespace dcp {

// One save. Borrows all three.
std::unique_ptr<StorageWriter> NewFileWriter(Store& store, const SaveOptions& options,
                                             const Engine& engine);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_FILE_WRITER_H_
