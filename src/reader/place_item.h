// Part of a tensor's item, which lies in memory, put where it goes.
#ifndef DCP_READER_PLACE_ITEM_H_
#define DCP_READER_PLACE_ITEM_H_

#include "reader/reader.h"

namespace dcp {

// `item` is that of read.chunk. The record's CRC is checked. kMismatch unless the stored tensor has
// the chunk's sizes. `copier` may be null: for tensors that are not on the CPU.
Status PlaceTensorItem(const ByteSource& item, const TensorRead& read, DeviceCopier* copier);

}  // namespace dcp

#endif  // DCP_READER_PLACE_ITEM_H_
