// SHA-256 by libcrypto: for what ranks take for equal without comparing it. Which names a plan has
// is for others to say, so that a checksum that can be made to collide would not do.
#ifndef DCP_BASE_DIGEST_H_
#define DCP_BASE_DIGEST_H_

#include <array>
#include <cstddef>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp {

using Digest = std::array<std::byte, 32>;

bool HasSha256();  // built in; else Sha256 is kUnsupported
Result<Digest> Sha256(Bytes bytes);

}  // namespace dcp

#endif  // DCP_BASE_DIGEST_H_
