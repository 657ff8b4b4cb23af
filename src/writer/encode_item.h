// One item as a data file has it, for storage that is not a data file.
#ifndef DCP_WRITER_ENCODE_ITEM_H_
#define DCP_WRITER_ENCODE_ITEM_H_

#include "base/byte_sink.h"
#include "base/device.h"
#include "value/value.h"

namespace dcp {

// A torch.save zip of a tensor (with block checksums) or of an object, in pieces. `copier` may be
// null: for tensors that are not on the CPU.
Status EncodeItem(const Value& value, DeviceCopier* copier, const ByteSink& sink);

}  // namespace dcp

#endif  // DCP_WRITER_ENCODE_ITEM_H_
