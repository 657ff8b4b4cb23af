// Where one item of a checkpoint lies, and how messages about it begin.
#ifndef DCP_READER_ITEM_PLACE_H_
#define DCP_READER_ITEM_PLACE_H_

#include <string_view>

#include "metadata/metadata.h"

namespace dcp {

struct ItemPlace {
  const Metadata* metadata = nullptr;
  const Entry* entry = nullptr;
  uint32_t chunk = 0;

  const Location& location() const { return entry->locations[chunk]; }
  uint64_t offset() const { return location().offset; }
  uint64_t length() const { return location().length; }
  std::string_view file_name() const { return metadata->files[location().file]; }
  std::span<const std::string> transforms() const {
    return metadata->transform_sets[location().transforms];
  }
};

// kInvalidArgument for a chunk the entry does not have, kCorrupt when the metadata does not say
// where it lies.
Result<ItemPlace> FindItem(const Metadata& metadata, const Entry& entry, uint32_t chunk);

// kCorrupt unless the item lies inside a file of `file_size` bytes.
Status CheckInsideFile(const ItemPlace& place, uint64_t file_size);

// The same error, saying which item of which file it is about.
Status AboutItem(const Status& status, const ItemPlace& place);

}  // namespace dcp

#endif  // DCP_READER_ITEM_PLACE_H_
