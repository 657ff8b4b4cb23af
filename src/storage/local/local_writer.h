#ifndef DCP_STORAGE_LOCAL_LOCAL_WRITER_H_
#define DCP_STORAGE_LOCAL_LOCAL_WRITER_H_

#include <memory>
#include <string>

#include "storage/local/ring.h"
#include "storage/local/unique_fd.h"
#include "storage/store.h"

namespace dcp {

// Writes the open, empty, regular file `fd`. `where` is its path for messages. O_DIRECT is used
// when options.direct and the file system takes it, then io_uring when `rings` has one to give (may
// be null). Without O_DIRECT writes block: io_uring would pass them to kernel threads at a higher
// cost.
std::unique_ptr<WritableFile> NewLocalWriter(UniqueFd fd, std::string where,
                                             const CreateOptions& options,
                                             std::shared_ptr<RingPool> rings);

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_LOCAL_WRITER_H_
