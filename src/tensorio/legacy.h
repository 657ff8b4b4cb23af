// What torch.save wrote before zips (torch 1.5 and older, or _use_new_zipfile_serialization=False).
#ifndef DCP_TENSORIO_LEGACY_H_
#define DCP_TENSORIO_LEGACY_H_

#include "base/byte_source.h"

namespace dcp {

// True when the item begins with that format's magic number.
bool IsLegacyTorchSave(const ByteSource& item);
// Why an item is not a readable zip: kUnsupported for the old format, else `zip_error`.
Status ExplainNotZip(const ByteSource& item, const Status& zip_error);

}  // namespace dcp

#endif  // DCP_TENSORIO_LEGACY_H_
