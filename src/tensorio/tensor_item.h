// A tensor as an item of a .distcp file: a torch.save zip around its payload.
#ifndef DCP_TENSORIO_TENSOR_ITEM_H_
#define DCP_TENSORIO_TENSOR_ITEM_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/byte_source.h"
#include "tensorio/item_suffix.h"
#include "value/tensor.h"

namespace dcp {

inline constexpr uint64_t kChecksumBlock = 16384;  // bytes a block checksum covers

// ---- writing ----

// The bytes around a payload, all sizes known before any payload byte is read. The payload is the
// tensor's elements: in row-major order, or in the memory order of `strides` when those describe
// a dense permutation (a transposed tensor keeps its strides, as stock does).
class TensorItemLayout {
 public:
  // `strides` must be dense (row-major or a permutation of it). `block_checksums`: payloads longer
  // than one block get the extra record with a CRC32 for each kChecksumBlock bytes. kUnsupported
  // for dtypes torch.save refuses (int1..7, uint1..7) and for quantized ones.
  static Result<TensorItemLayout> Create(DType dtype, Dims shape, Dims strides,
                                         bool block_checksums);

  const std::string& prefix() const { return prefix_; }  // up to the first payload byte
  uint64_t payload_size() const { return payload_size_; }
  uint64_t suffix_size() const { return suffix_.size(); }
  uint64_t size() const { return prefix_.size() + payload_size_ + suffix_size(); }
  bool block_checksums() const { return block_checksums_; }  // false when one block is enough
  // Appends exactly suffix_size() bytes. `block_crcs`: one for each kChecksumBlock bytes of
  // payload, the last block possibly shorter; ignored without block checksums.
  void AppendSuffix(uint32_t payload_crc, std::span<const uint32_t> block_crcs,
                    std::string* out) const;
  // CRC32 of the whole item: of the prefix, a payload and what AppendSuffix made for it.
  uint32_t ItemCrc(uint32_t payload_crc, Bytes suffix) const;

 private:
  std::string prefix_;
  ItemSuffix suffix_;
  uint64_t payload_size_ = 0;
  uint32_t shifted_prefix_crc_ = 0;  // of the prefix and a payload, but for the payload's own CRC
  bool block_checksums_ = false;
};

// Strides under which `tensor` is written: its own when they are dense, else row-major (elements
// are then gathered: views with holes, expanded tensors).
Shape StoredStrides(const Tensor& tensor);

// ---- reading ----

enum class TensorForm : uint8_t {
  kDense = 1,  // strided, with bytes in one record: the only form that loads
  kQuantized,
  kSparse,
  kMeta,
  kSubclass,
  kOther,
};

// Where a stored tensor's bytes are, without reading them.
struct StoredTensor {
  TensorForm form = TensorForm::kDense;
  std::string description;  // of forms other than kDense: "quantized qint8 per_tensor_affine", ...
  DType dtype = DType::kFloat32;
  Shape shape;
  Shape strides;                   // in elements
  int64_t storage_offset = 0;      // in elements, from the record's first byte
  bool conj = false, neg = false;  // lazily conjugated or negated: the bytes are not the values
  // The payload record, offsets from the item's start.
  uint64_t data_offset = 0;
  uint64_t data_size = 0;
  bool deflated = false;          // then only ReadPayload can get at the bytes
  std::optional<uint32_t> crc32;  // of the whole record; absent when the writer left it 0
  std::optional<uint64_t> block_table_offset;  // first of the block CRCs (u32 each), from the
                                               // item's start; absent in stock's files

  bool operator==(const StoredTensor&) const = default;
};

// Reads what it needs of the item: the zip's tail, its directory, data.pkl. Any prefix, torch's
// and Python's zip layouts, all records a stock item can have. Any form of tensor gives a result;
// what is not a tensor at all is kCorrupt. Checks that strides and offset stay inside the record.
Result<StoredTensor> ParseTensorItem(const ByteSource& item);

// The whole payload record, inflated if need be, CRC checked unless absent (*checked says so).
Status ReadPayload(const ByteSource& item, const StoredTensor& stored, MutableBytes out,
                   bool* checked);

// The row-major tensor `out` (same dtype and shape as stored[box]) from the payload bytes in
// memory: honours strides, offset, conj and neg.
void ExtractBox(const StoredTensor& stored, Bytes payload, Dims offsets, const Tensor& out);

}  // namespace dcp

#endif  // DCP_TENSORIO_TENSOR_ITEM_H_
