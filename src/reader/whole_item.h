// Items as a whole in memory: raw, and decoded by their stream transforms.
#ifndef DCP_READER_WHOLE_ITEM_H_
#define DCP_READER_WHOLE_ITEM_H_

#include <memory>
#include <string>

#include "reader/item_place.h"
#include "reader/reader.h"

namespace dcp {

// Not initialised. kOutOfMemory when there is none.
Result<std::unique_ptr<std::byte[]>> AllocateBytes(uint64_t size);

// The item's bytes as they are in the file. Checks that they lie inside it and, when `verify` and
// the metadata has it, their CRC.
Result<std::string> ReadRawItem(const ReadableFile& file, const ItemPlace& place, bool verify);

// kCorrupt unless `crc`, of the item's bytes in the file, is what the metadata says.
Status CheckItemCrc(const ItemPlace& place, uint32_t crc);

// Undoes the item's transforms; `raw` itself when there are none. kLimit above `max_size`.
Result<std::string> DecodeItem(std::string raw, const ItemPlace& place, uint64_t max_size,
                               const ReaderOptions& options);

// Bytes that the item of this tensor chunk can have once decoded: more is no such item.
Result<uint64_t> DecodedTensorLimit(const ItemPlace& place);

}  // namespace dcp

#endif  // DCP_READER_WHOLE_ITEM_H_
