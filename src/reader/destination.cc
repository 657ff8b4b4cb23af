#include "reader/destination.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "value/cast.h"

namespace dcp {

Result<Destination> Destination::Create(Tensor tensor, DType stored, DeviceCopier* copier) {
  Destination out;
  if (tensor.dtype != stored && !CanCast(stored, tensor.dtype)) {
    return Error(Code::kUnsupported, "{} cannot be converted to {}", DTypeName(stored),
                 DTypeName(tensor.dtype));
  }
  out.contiguous_ = tensor.contiguous();
  if (!tensor.device.is_cpu()) {
    if (copier == nullptr || !copier->Handles(tensor.device)) {
      return Error(Code::kUnsupported,
                   "the target is on device {}:{} and no device copier handles it; load to the CPU "
                   "or plug in a copier",
                   tensor.device.type, tensor.device.index);
    }
    if (!out.contiguous_) {
      return Error(Code::kUnsupported,
                   "the target on device {}:{} lies in another order than the file (strides {}); "
                   "load into a contiguous tensor first",
                   tensor.device.type, tensor.device.index, ToString(tensor.strides));
    }
  } else if (out.contiguous_ && tensor.dtype == stored) {
    out.straight_ = tensor.data;
  }
  out.tensor_ = std::move(tensor);
  out.stored_ = stored;
  out.copier_ = copier;
  return out;
}

// Hands converted elements to `put` in pieces that stay in cache.
template <typename F>
Status Destination::Convert(const std::byte* from, int64_t first, int64_t count, F put) const {
  alignas(16) std::array<std::byte, 16384> scratch;
  const int64_t most = static_cast<int64_t>(scratch.size()) / DTypeSize(tensor_.dtype);
  Tensor source;
  source.dtype = stored_;
  source.strides = {1};
  Tensor converted;
  converted.dtype = tensor_.dtype;
  converted.strides = {1};
  converted.data = scratch.data();
  while (count > 0) {
    const int64_t part = std::min(count, most);
    source.shape = converted.shape = {part};
    source.data = const_cast<std::byte*>(from);  // only read
    CastElements(source, converted);
    DCP_RETURN_IF_ERROR(put(scratch.data(), first, part));
    from += part * DTypeSize(stored_);
    first += part;
    count -= part;
  }
  return Status::Ok();
}

Status Destination::PutOnDevice(const std::byte* from, int64_t first, int64_t count) const {
  const int64_t item = DTypeSize(tensor_.dtype);
  return copier_->ToDevice(tensor_.device, Bytes(from, static_cast<size_t>(count * item)),
                           tensor_.data + first * item);
}

Status Destination::Put(const std::byte* from, int64_t first, int64_t count) const {
  if (count == 0) return Status::Ok();
  if (straight_ != nullptr) {
    const int64_t item = DTypeSize(stored_);
    std::memcpy(straight_ + first * item, from, static_cast<size_t>(count * item));
    return Status::Ok();
  }
  if (!on_cpu()) {
    const auto put = [this](const std::byte* data, int64_t at, int64_t n) {
      return PutOnDevice(data, at, n);
    };
    return tensor_.dtype == stored_ ? put(from, first, count) : Convert(from, first, count, put);
  }
  if (tensor_.dtype == stored_) {
    ScatterElements(from, first, count, tensor_);
    return Status::Ok();
  }
  return Convert(from, first, count, [this](const std::byte* data, int64_t at, int64_t n) {
    ScatterElements(data, at, n, tensor_);
    return Status::Ok();
  });
}

void Destination::PutView(const Tensor& from, const Tensor& to) const {
  if (tensor_.dtype == stored_) return CopyElements(from, to);
  CastElements(from, to);
}

}  // namespace dcp
