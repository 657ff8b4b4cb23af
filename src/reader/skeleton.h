// The bytes of an item that no checksum covers: headers, padding, directory.
#ifndef DCP_READER_SKELETON_H_
#define DCP_READER_SKELETON_H_

#include "base/byte_source.h"
#include "zip/archive.h"

namespace dcp {

// kCorrupt, with the byte's offset in the item, when an archive laid out as torch lays it out has a
// byte between its records that torch does not write there. Archives laid out otherwise pass.
Status CheckSkeleton(const ByteSource& item, const zip::Archive& archive);

}  // namespace dcp

#endif  // DCP_READER_SKELETON_H_
