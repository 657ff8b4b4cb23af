// System calls on one file: whole transfers, the alignment of O_DIRECT, and errors as Statuses.
#ifndef DCP_STORAGE_LOCAL_FILE_CALLS_H_
#define DCP_STORAGE_LOCAL_FILE_CALLS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp {

// What errno means for a path inside the folder: `action` as in "open", `where` the whole path.
// kInvalidArgument when the path leads to something no checkpoint holds.
Status PathError(int error_number, std::string_view action, const std::string& where);

// Writes all of `data`, whatever short writes come. Where `fd` has O_DIRECT and the file system
// refuses the block, it goes on without O_DIRECT.
Status WriteFully(int fd, uint64_t offset, Bytes data, const std::string& where);
// Reads until `out` is full or the file ends; the bytes read.
Result<size_t> ReadFully(int fd, uint64_t offset, MutableBytes out, const std::string& where);

// What offsets, sizes and addresses are to be multiples of with O_DIRECT on this open file: the
// buffer pool's alignment, whole blocks of common file systems, even where less would do. 0 where
// there is no O_DIRECT, or where it wants more (statx, Linux 6.1).
size_t DirectAlignment(int fd);

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_FILE_CALLS_H_
