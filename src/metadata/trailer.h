// The checksum trailer of `.metadata`: 24 bytes after the pickle's STOP, which pickle readers never
// look at. Magic (8 bytes), u32 version (1), u32 CRC32 of all bytes before the trailer, u64 length
// of those bytes; little-endian. The pickled Metadata object announces it by one more attribute,
// kAnnouncement, a dict {"trailer": 1}.
#ifndef DCP_METADATA_TRAILER_H_
#define DCP_METADATA_TRAILER_H_

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp {

inline constexpr std::string_view kTrailerMagic{
    "\x93"
    "DCPsum\n",
    8};
inline constexpr uint32_t kTrailerVersion = 1;
inline constexpr size_t kTrailerSize = 24;
inline constexpr std::string_view kAnnouncement = "_libdcp";
// The extra attribute of each _StorageInfo: CRC32 of the item's bytes in its file.
inline constexpr std::string_view kItemCrc = "_crc32";

// Of `length` bytes with this CRC32.
void AppendTrailer(uint32_t crc, uint64_t length, std::string* out);
bool EndsInTrailer(Bytes file);  // by its magic
// kCorrupt when `trailer` does not match the `length` bytes before it, whose CRC32 is `crc`.
Status CheckTrailer(Bytes trailer, uint64_t length, uint32_t crc);

}  // namespace dcp

#endif  // DCP_METADATA_TRAILER_H_
