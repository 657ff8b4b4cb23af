// A tensor's item with the archive it was found in, for those who look at both.
#ifndef DCP_TENSORIO_PARSED_ITEM_H_
#define DCP_TENSORIO_PARSED_ITEM_H_

#include "tensorio/tensor_item.h"
#include "zip/archive.h"

namespace dcp {

struct ParsedItem {
  StoredTensor stored;
  zip::Archive archive;  // over the item, which must outlive it
};

// As ParseTensorItem.
Result<ParsedItem> ParseItem(const ByteSource& item);

}  // namespace dcp

#endif  // DCP_TENSORIO_PARSED_ITEM_H_
