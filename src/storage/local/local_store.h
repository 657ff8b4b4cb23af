// Checkpoints in a folder of this machine's file systems.
#ifndef DCP_STORAGE_LOCAL_LOCAL_STORE_H_
#define DCP_STORAGE_LOCAL_LOCAL_STORE_H_

#include <memory>
#include <string>

#include "storage/open.h"

namespace dcp {

// `path` is taken against the working directory of now. The folder is opened when first needed and
// held by descriptor from then on: renaming it changes nothing for this store.
std::unique_ptr<Store> NewLocalStore(std::string path, const LocalStoreOptions& options);

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_LOCAL_STORE_H_
