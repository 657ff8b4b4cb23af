#include "writer/encode_item.h"

#include <algorithm>

#include "tensorio/object_item.h"
#include "writer/payload_crc.h"
#include "writer/payload_source.h"

namespace dcp {
namespace {

constexpr size_t kPiece = 1 << 20;

Status EncodeTensor(const Tensor& tensor, DeviceCopier* copier, const ByteSink& sink) {
  const Shape strides = StoredStrides(tensor);
  DCP_ASSIGN_OR_RETURN(const TensorItemLayout layout,
                       TensorItemLayout::Create(tensor.dtype, tensor.shape, strides, true));
  DCP_ASSIGN_OR_RETURN(const PayloadSource source, PayloadSource::Create(tensor, strides, copier));
  DCP_RETURN_IF_ERROR(sink(AsBytes(layout.prefix())));
  PayloadCrc crc;
  crc.Begin(layout.block_checksums());
  const uint64_t size = layout.payload_size();
  std::vector<std::byte> room(source.straight() == nullptr ? std::min<uint64_t>(size, kPiece) : 0);
  const size_t step = kPiece - kPiece % source.unit();
  for (uint64_t done = 0; done < size;) {
    const auto part = static_cast<size_t>(std::min<uint64_t>(step, size - done));
    Bytes bytes;
    if (source.straight() != nullptr) {
      bytes = Bytes(source.straight() + done, part);
    } else {
      DCP_RETURN_IF_ERROR(source.Fill(done, MutableBytes(room).first(part)));
      bytes = Bytes(room).first(part);
    }
    crc.Add(bytes);
    DCP_RETURN_IF_ERROR(sink(bytes));
    done += part;
  }
  std::string suffix;
  const uint32_t whole = crc.End();
  layout.AppendSuffix(whole, crc.blocks(), &suffix);
  return sink(AsBytes(suffix));
}

}  // namespace

Status EncodeItem(const Value& value, DeviceCopier* copier, const ByteSink& sink) {
  if (value.kind == ValueKind::kTensor) return EncodeTensor(value.tensor, copier, sink);
  return EncodeObjectItem(value, sink);
}

}  // namespace dcp
