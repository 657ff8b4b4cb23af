// Names and contents of the records in a torch.save zip, shared by writers and readers.
#ifndef DCP_TENSORIO_RECORDS_H_
#define DCP_TENSORIO_RECORDS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "zip/layout.h"

namespace dcp::records {

inline constexpr std::string_view kPrefix = "archive/";
inline constexpr std::string_view kPickle = "data.pkl";
inline constexpr std::string_view kByteOrder = "byteorder";
inline constexpr std::string_view kStorage = "data/";  // followed by the storage's key
// u32 CRCs of the 16 KiB blocks of data/0, in order; only libdcp writes and reads it.
inline constexpr std::string_view kBlockTable = ".libdcp/crc32_16k";

// A record whose bytes are small and at hand. A null `out` only counts.
void Append(std::string_view name, std::string_view bytes, uint32_t crc32,
            zip::LayoutWriter* writer, std::string* out);
void Append(std::string_view name, std::string_view bytes, zip::LayoutWriter* writer,
            std::string* out);

// .format_version, .storage_alignment and byteorder, which stand between data.pkl and the
// storages.
void AppendHead(zip::LayoutWriter* writer, std::string* out);
// version and .data/serialization_id, which stand behind them, then the directory. `names_hash`
// and `crcs_hash` make the id: twenty digits each, never checked by anyone. Returns where in *out
// the id's kIdSize digits begin.
size_t AppendTail(uint64_t names_hash, uint64_t crcs_hash, zip::LayoutWriter* writer,
                  std::string* out);
inline constexpr size_t kIdSize = 40;
// Half an id: twenty digits, with zeros in front.
void WriteDigits(uint64_t hash, char* to);

// FNV-1a, continued from `hash`.
inline constexpr uint64_t kHashStart = 0xcbf29ce484222325;
uint64_t Hash(uint64_t hash, std::string_view bytes);
inline uint64_t Hash(uint64_t hash, uint32_t number) {
  return Hash(hash, std::string_view(reinterpret_cast<const char*>(&number), sizeof number));
}

}  // namespace dcp::records

#endif  // DCP_TENSORIO_RECORDS_H_
