// Tensor items of our own making.
#ifndef DCP_TESTS_SUPPORT_WRITTEN_ITEM_H_
#define DCP_TESTS_SUPPORT_WRITTEN_ITEM_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/checksum.h"
#include "tensorio/tensor_item.h"

namespace dcp {

// An item around `payload`, which lies in memory as `strides` say.
inline std::string WriteItem(DType dtype, Dims shape, Dims strides, std::string_view payload,
                             bool block_checksums, std::string* error) {
  Result<TensorItemLayout> layout =
      TensorItemLayout::Create(dtype, shape, strides, block_checksums);
  if (!layout.ok()) {
    *error = layout.status().ToString();
    return "";
  }
  std::vector<uint32_t> blocks;
  for (size_t at = 0; at < payload.size(); at += kChecksumBlock) {
    blocks.push_back(Crc32(0, AsBytes(payload.substr(at, kChecksumBlock))));
  }
  std::string item = layout->prefix();
  item += payload;
  const uint32_t payload_crc = Crc32(0, AsBytes(payload));
  const size_t suffix = item.size();
  layout->AppendSuffix(payload_crc, blocks, &item);
  if (item.size() != layout->size()) *error = "size";
  if (layout->ItemCrc(payload_crc, AsBytes(item).subspan(suffix)) != Crc32(0, AsBytes(item))) {
    *error = "crc";
  }
  return item;
}

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_WRITTEN_ITEM_H_
