#include "writer/payload_source.h"

namespace dcp {
namespace {

// Strides of dimensions that are never stepped along do not count.
bool SameOrder(const Tensor& tensor, const Shape& stored) {
  if (tensor.num_elements() == 0) return true;
  for (size_t i = 0; i < stored.size(); ++i) {
    if (tensor.shape[i] > 1 && tensor.strides[i] != stored[i]) return false;
  }
  return true;
}

}  // namespace

Result<PayloadSource> PayloadSource::Create(const Tensor& tensor, const Shape& stored,
                                            DeviceCopier* copier) {
  if (tensor.source != nullptr) {
    return PayloadSource(tensor, nullptr, nullptr, static_cast<size_t>(DTypeSize(tensor.dtype)));
  }
  const bool as_it_lies = SameOrder(tensor, stored);
  if (tensor.device.is_cpu()) {
    if (as_it_lies) return PayloadSource(tensor, nullptr, tensor.data, 1);
    return PayloadSource(tensor, nullptr, nullptr, static_cast<size_t>(DTypeSize(tensor.dtype)));
  }
  if (copier == nullptr || !copier->Handles(tensor.device)) {
    return Error(Code::kUnsupported,
                 "the tensor is on device {}:{} and no device copier handles it; copy it to the "
                 "CPU first or plug in a copier",
                 tensor.device.type, tensor.device.index);
  }
  if (!as_it_lies) {
    return Error(Code::kUnsupported,
                 "the tensor on device {}:{} of shape {} has strides {} with gaps or repeats; make "
                 "it contiguous first",
                 tensor.device.type, tensor.device.index, ToString(tensor.shape),
                 ToString(tensor.strides));
  }
  return PayloadSource(tensor, copier, nullptr, 1);
}

Status PayloadSource::Fill(uint64_t offset, MutableBytes out) const {
  if (tensor_->source != nullptr) return tensor_->source->Read(offset, out);
  if (copier_ != nullptr) return copier_->ToHost(tensor_->device, tensor_->data + offset, out);
  if (straight_ != nullptr) {
    std::memcpy(out.data(), straight_ + offset, out.size());
  } else {
    GatherElements(*tensor_, static_cast<int64_t>(offset / unit_),
                   static_cast<int64_t>(out.size() / unit_), out.data());
  }
  return Status::Ok();
}

}  // namespace dcp
