// Raw deflate streams out of a ByteSource.
#ifndef DCP_ZIP_INFLATE_H_
#define DCP_ZIP_INFLATE_H_

#include <cstdint>
#include <memory>

#include "base/byte_source.h"

namespace dcp::zip {

class InflateStream {
 public:
  // Reads at most `length` bytes at `offset` of `source`, which must outlive this.
  static Result<InflateStream> Create(const ByteSource* source, uint64_t offset, uint64_t length);
  InflateStream(InflateStream&&) noexcept;
  InflateStream& operator=(InflateStream&&) noexcept;
  ~InflateStream();

  // Fills `out` unless the stream ends before; returns the bytes produced.
  Result<size_t> Next(MutableBytes out);
  // After the last byte that is wanted: kCorrupt unless the stream ends there, producing no more.
  Status ExpectEnd();
  uint64_t consumed() const;  // bytes of input used

 private:
  struct Rep;
  explicit InflateStream(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

// Inflates exactly out.size() bytes from the stream at `offset`, which may use up to `length`
// bytes. kCorrupt when it holds fewer or more. *consumed may be null.
Status InflateInto(const ByteSource& source, uint64_t offset, uint64_t length, MutableBytes out,
                   uint64_t* consumed = nullptr);

}  // namespace dcp::zip

#endif  // DCP_ZIP_INFLATE_H_
