// Chooses a store by path or URL.
#ifndef DCP_STORAGE_OPEN_H_
#define DCP_STORAGE_OPEN_H_

#include <memory>
#include <string_view>

#include "storage/store.h"

namespace dcp {

struct LocalStoreOptions {
  bool allow_symlinks = false;  // inside the folder; to regular files only
  bool io_uring = true;         // where the system lets us
  bool direct = true;           // O_DIRECT where the file system takes it
};

// "folder/path", "file:///folder/path" (percent-decoded), or "memory://" for an empty memory store
// of its own. Another "scheme://" is kUnsupported and named. The folder need not exist (Open and
// List then say kNotFound).
Result<std::unique_ptr<Store>> OpenStore(std::string_view where, const LocalStoreOptions& options);

// Its own files in memory; two handles on one store share a std::shared_ptr. MakeRoot is a no-op.
std::unique_ptr<Store> NewMemoryStore();

bool IoUringWorks();  // built in, and the kernel allows it now

}  // namespace dcp

#endif  // DCP_STORAGE_OPEN_H_
