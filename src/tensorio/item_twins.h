// Items that are alike: thousands of small tensors of one dtype and shape differ in their payload,
// and in the checksums that follow from it, and need not be parsed one by one.
#ifndef DCP_TENSORIO_ITEM_TWINS_H_
#define DCP_TENSORIO_ITEM_TWINS_H_

#include <array>
#include <string>
#include <vector>

#include "tensorio/tensor_item.h"

namespace dcp {

struct ParsedItem;

// What one item has that another one may have too.
class ItemTwin {
 public:
  // Takes what it needs of `item`, parsed before; false when nothing can be its twin (the payload
  // is not stored plainly, or a descriptor is not where it should be).
  bool Learn(Bytes item, const ParsedItem& parsed);
  // True when a parse of `item` would give stored(), the payload's CRC aside, which stored() then
  // has: all bytes that a parse looks at are the same, and each CRC that differs stands the same
  // in descriptor and directory.
  bool Matches(Bytes item);
  const StoredTensor& stored() const { return stored_; }

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
  };
  // Where one record's CRC stands, from the item's start; without a descriptor both are the same.
  struct CrcPlaces {
    uint64_t descriptor;
    uint64_t directory;
  };

  StoredTensor stored_;
  uint64_t size_ = 0;        // of the item; 0: nothing learned
  uint64_t crc_place_ = 0;   // of the payload, in the directory
  std::string before_;       // bytes in front of the payload
  std::string behind_;       // and behind it
  std::vector<Range> same_;  // of the item behind the payload, ascending: must be the same
  std::vector<CrcPlaces> crcs_;
};

// ParseTensorItem for many items, some of which are alike. One thread.
class ItemTwins {
 public:
  // As ParseTensorItem. `kind` should be equal for items that may be alike and different for others
  // (dtype, shape). The result is good until the next call.
  Result<const StoredTensor*> Parse(Bytes item, uint64_t kind);

 private:
  static constexpr size_t kSlots = 16;
  std::array<ItemTwin, kSlots> twins_;
  StoredTensor single_;  // of an item that has no twin
};

}  // namespace dcp

#endif  // DCP_TENSORIO_ITEM_TWINS_H_
