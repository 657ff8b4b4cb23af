// Where elements read from a file go: any strides, another dtype, a device.
#ifndef DCP_READER_DESTINATION_H_
#define DCP_READER_DESTINATION_H_

#include "base/device.h"
#include "value/tensor.h"

namespace dcp {

// Any thread, for elements that do not overlap.
class Destination {
 public:
  Destination() = default;
  // `copier` may be null. kUnsupported when nothing handles the device, when the device's tensor
  // has gaps, or when there is no conversion from `stored`.
  static Result<Destination> Create(Tensor tensor, DType stored, DeviceCopier* copier);

  const Tensor& tensor() const { return tensor_; }
  bool on_cpu() const { return tensor_.device.is_cpu(); }
  // Where the bytes of element 0 go when they only need to be copied, in row-major order; else
  // null.
  std::byte* straight() const { return straight_; }

  // Elements [first, first + count) in row-major order, dense and of dtype `stored` at `from`.
  Status Put(const std::byte* from, int64_t first, int64_t count) const;
  // `from`, strided and of dtype `stored`, to the view `to` of tensor(). CPU only.
  void PutView(const Tensor& from, const Tensor& to) const;

 private:
  Status PutOnDevice(const std::byte* from, int64_t first, int64_t count) const;
  template <typename F>
  Status Convert(const std::byte* from, int64_t first, int64_t count, F put) const;

  Tensor tensor_;
  DType stored_ = DType::kFloat32;
  DeviceCopier* copier_ = nullptr;
  bool contiguous_ = false;
  std::byte* straight_ = nullptr;
};

}  // namespace dcp

#endif  // DCP_READER_DESTINATION_H_
