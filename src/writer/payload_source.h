// The bytes of a tensor in the order they are stored, wherever and however they lie in memory.
#ifndef DCP_WRITER_PAYLOAD_SOURCE_H_
#define DCP_WRITER_PAYLOAD_SOURCE_H_

#include "base/device.h"
#include "value/tensor.h"

namespace dcp {

class PayloadSource {
 public:
  // `stored` is StoredStrides(tensor). `tensor` and `copier` (may be null) must outlive this.
  // kUnsupported for tensors on a device that cannot be copied as they lie there.
  static Result<PayloadSource> Create(const Tensor& tensor, const Shape& stored,
                                      DeviceCopier* copier);

  // Null when the bytes must be fetched with Fill; else all of them.
  const std::byte* straight() const { return straight_; }
  // Fetches the bytes at `offset`; both it and out.size() are multiples of unit().
  Status Fill(uint64_t offset, MutableBytes out) const;
  size_t unit() const { return unit_; }

 private:
  PayloadSource(const Tensor& tensor, DeviceCopier* copier, const std::byte* straight, size_t unit)
      : tensor_(&tensor), copier_(copier), straight_(straight), unit_(unit) {}

  const Tensor* tensor_;
  DeviceCopier* copier_;
  const std::byte* straight_;
  size_t unit_;
};

}  // namespace dcp

#endif  // DCP_WRITER_PAYLOAD_SOURCE_H_
