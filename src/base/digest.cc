#include "base/digest.h"

#if DCP_WITH_CRYPTO
#include <openssl/evp.h>
#endif

namespace dcp {

bool HasSha256() { return DCP_WITH_CRYPTO != 0; }

Result<Digest> Sha256([[maybe_unused]] Bytes bytes) {
#if DCP_WITH_CRYPTO
  Digest digest;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                 nullptr, EVP_sha256(), nullptr) == 1) {
    return digest;
  }
  return Status(Code::kInternal, "libcrypto gave no SHA-256");
#else
  return Status(Code::kUnsupported,
                "this libdcp has no SHA-256: build it with libcrypto (-DDCP_CRYPTO=ON)");
#endif
}

}  // namespace dcp
