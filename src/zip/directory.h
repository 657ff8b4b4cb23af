// Reads the central directory into records, checking each entry on its own.
#ifndef DCP_ZIP_DIRECTORY_H_
#define DCP_ZIP_DIRECTORY_H_

#include <vector>

#include "zip/archive.h"
#include "zip/end_record.h"

namespace dcp::zip {

struct DirectoryEntry {
  Record record;  // data_offset is not known yet
  uint16_t flags;
};

// `bytes` is the whole directory. kUnsupported for encryption and unknown methods, kLimit for
// more records than allowed or a claim of more expansion, kCorrupt else.
Result<std::vector<DirectoryEntry>> ParseDirectory(Bytes bytes, const DirectoryLocation& location,
                                                   const Limits& limits);

}  // namespace dcp::zip

#endif  // DCP_ZIP_DIRECTORY_H_
