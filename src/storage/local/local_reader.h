#ifndef DCP_STORAGE_LOCAL_LOCAL_READER_H_
#define DCP_STORAGE_LOCAL_LOCAL_READER_H_

#include <memory>
#include <string>

#include "storage/local/ring.h"
#include "storage/local/unique_fd.h"
#include "storage/store.h"

namespace dcp {

// Reads the open regular file `fd` of `size` bytes; what is appended later is not seen. `where` is
// its path for messages, `name` the one it was opened by. `direct`: cold queues use O_DIRECT, and
// io_uring when `rings` has one to give (may be null).
std::unique_ptr<ReadableFile> NewLocalReader(UniqueFd fd, uint64_t size, std::string name,
                                             std::string where, bool direct,
                                             std::shared_ptr<RingPool> rings);

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_LOCAL_READER_H_
