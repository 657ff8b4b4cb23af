// Compares local headers, and the descriptors behind the data, with the directory.
#ifndef DCP_ZIP_LOCAL_HEADER_H_
#define DCP_ZIP_LOCAL_HEADER_H_

#include "zip/directory.h"
#include "zip/read_cache.h"

namespace dcp::zip {

// Reads the local header of `entry` and fills in data_offset. `limit` is where the next record or
// the directory begins: header, data and descriptor must end there at the latest. A descriptor is
// compared only when its bytes are at hand. kCorrupt.
Status CheckLocalHeader(ReadCache* cache, uint64_t limit, DirectoryEntry* entry);

}  // namespace dcp::zip

#endif  // DCP_ZIP_LOCAL_HEADER_H_
