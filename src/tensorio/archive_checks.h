// What every torch.save zip must say before its bytes can be taken as they are.
#ifndef DCP_TENSORIO_ARCHIVE_CHECKS_H_
#define DCP_TENSORIO_ARCHIVE_CHECKS_H_

#include "zip/archive.h"

namespace dcp {

// kUnsupported for items written on a big-endian machine. Items without the record, as before
// torch 2.1, are little-endian.
Status CheckByteOrder(const zip::Archive& archive);

}  // namespace dcp

#endif  // DCP_TENSORIO_ARCHIVE_CHECKS_H_
