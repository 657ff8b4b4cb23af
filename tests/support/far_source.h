// Bytes that have to be read before they can be looked at, as those of a file.
#ifndef DCP_TESTS_SUPPORT_FAR_SOURCE_H_
#define DCP_TESTS_SUPPORT_FAR_SOURCE_H_

#include <string_view>

#include "base/byte_source.h"

namespace dcp {

// Borrows `bytes`. One thread at a time.
class FarSource final : public ByteSource {
 public:
  explicit FarSource(std::string_view bytes) : bytes_(AsBytes(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  Status ReadAt(uint64_t offset, MutableBytes out) const override {
    bytes_read += out.size();
    if (bytes_read > fail_past) return Error(Code::kIo, "the source is gone");
    return MemorySource(bytes_).ReadAt(offset, out);
  }

  mutable uint64_t bytes_read = 0;
  uint64_t fail_past = UINT64_MAX;  // reads fail once so many bytes were asked for

 private:
  const Bytes bytes_;
};

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_FAR_SOURCE_H_
