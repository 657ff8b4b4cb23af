// The writing half of tensor_item.h.
#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/checksum.h"
#include "tensorio/records.h"
#include "tensorio/tensor_item.h"
#include "tensorio/tensor_pickle.h"

namespace dcp {
namespace {

constexpr std::string_view kPayload = "data/0";

// Leaves room for headers and the block table in 63 bits.
constexpr int64_t kMaxPayload = int64_t{1} << 62;

uint64_t BlockTableSize(uint64_t payload_size) {
  return (payload_size + kChecksumBlock - 1) / kChecksumBlock * sizeof(uint32_t);
}

// True when the elements fill one range without gaps or repeats, in whatever order of dimensions.
bool IsDense(Dims shape, Dims strides) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  std::array<int, kMaxDims> order;
  int count = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1) order[count++] = static_cast<int>(i);
  }
  std::sort(order.begin(), order.begin() + count,
            [&](int a, int b) { return strides[a] < strides[b]; });
  int64_t expected = 1;
  for (int i = 0; i < count; ++i) {
    if (strides[order[i]] != expected) return false;
    if (!CheckedMul(expected, shape[order[i]], &expected)) return false;
  }
  return true;
}

bool TorchSaves(const DTypeInfo& info) {
  return !info.quantized && info.dtype < DType::kInt1;  // the sub-byte integers come last
}

}  // namespace

Result<TensorItemLayout> TensorItemLayout::Create(DType dtype, Dims shape, Dims strides,
                                                  bool block_checksums) {
  const DTypeInfo& info = GetDTypeInfo(dtype);
  if (!TorchSaves(info)) {
    return Error(Code::kUnsupported,
                 "torch.{} tensors cannot be stored: torch.save has no form for them", info.name);
  }
  if (shape.size() > size_t{kMaxDims} || strides.size() != shape.size()) {
    return Error(Code::kInvalidArgument, "a tensor of {} dimensions with {} strides", shape.size(),
                 strides.size());
  }
  if (std::any_of(strides.begin(), strides.end(), [](int64_t stride) { return stride < 0; }) ||
      !IsDense(shape, strides)) {
    return Error(Code::kInvalidArgument, "strides {} of shape {} are not dense", ToString(strides),
                 ToString(shape));
  }
  DCP_ASSIGN_OR_RETURN(int64_t count, NumElements(shape));
  int64_t bytes;
  if (!CheckedMul<int64_t>(count, info.item_size, &bytes) || bytes > kMaxPayload) {
    return Error(Code::kLimit, "shape {} of torch.{} is too large for an item", ToString(shape),
                 info.name);
  }

  TensorItemLayout layout;
  layout.payload_size_ = static_cast<uint64_t>(bytes);
  layout.block_checksums_ = block_checksums && layout.payload_size_ > kChecksumBlock;
  std::string pickle;
  pickle.reserve(320);
  AppendTensorPickle(dtype, shape, strides, count, &pickle);
  const uint32_t pickle_crc = Crc32(0, AsBytes(pickle));

  zip::LayoutWriter writer(records::kPrefix);
  layout.prefix_.reserve(pickle.size() + 640);
  records::Append(records::kPickle, pickle, pickle_crc, &writer, &layout.prefix_);
  records::AppendHead(&writer, &layout.prefix_);
  writer.BeginRecord(kPayload, layout.payload_size_, &layout.prefix_);
  const uint64_t table = layout.block_checksums_ ? BlockTableSize(layout.payload_size_) : 0;
  layout.shifted_prefix_crc_ =
      Crc32Combine(Crc32(0, AsBytes(layout.prefix_)), 0, layout.payload_size_);
  layout.suffix_ = ItemSuffix(std::move(writer), table, pickle_crc);
  return layout;
}

void TensorItemLayout::AppendSuffix(uint32_t payload_crc, std::span<const uint32_t> block_crcs,
                                    std::string* out) const {
  if (!block_checksums_) block_crcs = {};
  suffix_.Append(payload_crc, AsText(std::as_bytes(block_crcs)), out);
}

uint32_t TensorItemLayout::ItemCrc(uint32_t payload_crc, Bytes suffix) const {
  return Crc32(shifted_prefix_crc_ ^ payload_crc, suffix);
}

Shape StoredStrides(const Tensor& tensor) {
  return IsDense(tensor.shape, tensor.strides) ? tensor.strides : ContiguousStrides(tensor.shape);
}

}  // namespace dcp
