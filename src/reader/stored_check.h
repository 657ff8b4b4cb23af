// What a stored tensor must be to be loaded as the metadata says.
#ifndef DCP_READER_STORED_CHECK_H_
#define DCP_READER_STORED_CHECK_H_

#include "reader/item_place.h"
#include "tensorio/tensor_item.h"

namespace dcp {

// kMismatch when the item has another dtype or shape than the metadata says.
Status CheckAgainstMetadata(const StoredTensor& stored, const ItemPlace& place);
// kUnsupported for forms that have no plain bytes.
Status CheckLoadable(const StoredTensor& stored, const ItemPlace& place);
// kCorrupt when a record reaches past `length`, the item's size.
Status CheckRecords(const StoredTensor& stored, uint64_t length);

}  // namespace dcp

#endif  // DCP_READER_STORED_CHECK_H_
