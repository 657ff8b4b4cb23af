// What stands behind a tensor's payload. For one layout these are the same bytes for every payload
// but for the checksums and the serialization id.
#ifndef DCP_TENSORIO_ITEM_SUFFIX_H_
#define DCP_TENSORIO_ITEM_SUFFIX_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "zip/layout.h"

namespace dcp {

class ItemSuffix {
 public:
  ItemSuffix() = default;
  // `writer` has begun the payload's record, the last so far. `table_size`: bytes of the block
  // table; 0 when there is none.
  ItemSuffix(zip::LayoutWriter writer, uint64_t table_size, uint32_t pickle_crc);

  uint64_t size() const { return bytes_.size() + table_size_; }
  // Appends size() bytes. `table` is the block table, of the size that was announced.
  void Append(uint32_t payload_crc, std::string_view table, std::string* out) const;

 private:
  // Where a record's CRC32 is put.
  struct CrcPlaces {
    static constexpr size_t kNone = ~size_t{0};
    size_t descriptor = kNone;  // empty records have no descriptor
    size_t directory = 0;
  };
  static void Put(const CrcPlaces& places, uint32_t crc, char* suffix);

  std::string bytes_;       // without the block table; what depends on the payload is 0
  size_t table_begin_ = 0;  // all places are those with the table in between
  uint64_t table_size_ = 0;
  size_t id_begin_ = 0;
  CrcPlaces payload_, table_, id_;
  uint64_t crcs_hash_ = 0;     // of the pickle's CRC
  uint32_t id_names_crc_ = 0;  // of the id's first half
};

}  // namespace dcp

#endif  // DCP_TENSORIO_ITEM_SUFFIX_H_
