// A box of a stored tensor as runs of neighbouring bytes in its record, in file order.
#ifndef DCP_READER_BOX_RUNS_H_
#define DCP_READER_BOX_RUNS_H_

#include <optional>
#include <vector>

#include "reader/destination.h"
#include "tensorio/tensor_item.h"

namespace dcp {

struct ByteRange {
  uint64_t begin;
  uint64_t end;
  uint64_t size() const { return end - begin; }
};

class BoxRuns {
 public:
  // Nothing when the stored tensor is no dense permutation, or its bytes are not its values (conj,
  // neg): then the whole record is needed. The box is not empty and lies inside the tensor.
  static std::optional<BoxRuns> Create(const StoredTensor& stored, Dims offsets, Dims lengths);

  // `dest` (shaped as the box) with its dimensions in the order of the file.
  Tensor Reorder(const Tensor& dest) const;

  uint64_t count() const { return count_; }
  uint64_t bytes() const { return count_ * run_bytes_; }  // of the box
  // From the first to the last byte the box touches, in the record.
  ByteRange span() const { return {RunBegin(0), RunBegin(count_ - 1) + run_bytes_}; }

  // What must be read for the box: neighbouring runs are joined when at most `gap` bytes lie
  // between them; every range is widened to multiples of `granule` (the last one ends with the
  // record).
  std::vector<ByteRange> Ranges(uint64_t gap, uint64_t granule, uint64_t record_size) const;

  // Puts those elements of the box that lie in the record's bytes [begin, begin + bytes.size())
  // into `dest`, which was made from Reorder's tensor. `begin` splits no element.
  Status Extract(uint64_t begin, Bytes bytes, const Destination& dest) const;

 private:
  uint64_t RunBegin(uint64_t run) const;
  void PutRows(uint64_t run, int64_t rows, const std::byte* from, const Destination& dest) const;

  // Dimensions of more than one element, slowest first.
  std::vector<size_t> order_;  // their numbers in the stored tensor
  Shape sizes_;                // of the stored tensor
  Shape lengths_;              // of the box
  Shape steps_;                // bytes from one index to the next
  size_t outer_ = 0;           // dimensions that number the runs; the others make up one run
  uint64_t first_ = 0;         // byte at which the box begins
  DType dtype_ = DType::kFloat32;
  uint64_t item_ = 1;
  uint64_t run_bytes_ = 0;
  uint64_t count_ = 1;
};

}  // namespace dcp

#endif  // DCP_READER_BOX_RUNS_H_
