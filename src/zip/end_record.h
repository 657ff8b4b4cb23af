// Finds the central directory from the end of an archive.
#ifndef DCP_ZIP_END_RECORD_H_
#define DCP_ZIP_END_RECORD_H_

#include <cstdint>

#include "zip/read_cache.h"

namespace dcp::zip {

struct DirectoryLocation {
  uint64_t offset;  // of the first entry; offset + size is where the end records begin
  uint64_t size;    // bytes
  uint64_t records;
};

// Reads the end record and, where there is one, the ZIP64 end record, which must agree. kCorrupt
// for anything else than one disk, a directory just in front of the end records and nothing in
// front of the archive or behind its comment.
Result<DirectoryLocation> FindDirectory(ReadCache* cache);

}  // namespace dcp::zip

#endif  // DCP_ZIP_END_RECORD_H_
