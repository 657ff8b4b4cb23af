// A box of a tensor, with steps, from the chunks that hold it.
#ifndef DCP_CATALOG_BOX_READ_H_
#define DCP_CATALOG_BOX_READ_H_

#include <deque>
#include <vector>

#include "planner/pieces.h"
#include "reader/reader.h"

namespace dcp {

// The elements offsets + index * steps of `entry`, for every index of `dest`.
struct BoxRequest {
  const Entry* entry = nullptr;
  Shape offsets;
  Shape steps;  // >= 1
  Tensor dest;
};

// kInvalidArgument when the request's ranks differ from the entry's or it leaves the tensor.
Status CheckRequest(const BoxRequest& request);

// Reads of many requests, to be run together.
class BoxReads {
 public:
  BoxReads(ItemReader* reader, const ReaderOptions& options) : reader_(reader), options_(options) {}

  // Plans `request`; reads with steps may run at once. kCorrupt when chunks leave elements
  // uncovered, or lie outside the tensor.
  Status Add(const BoxRequest& request);
  // Runs what is still to be read. After it the list is empty.
  Status Run();
  size_t size() const { return reads_.size(); }
  uint64_t unverified_bytes() const { return unverified_bytes_; }

 private:
  // A dense box of a chunk in memory of ours, of which every step-th element goes on to `to`.
  struct Detour {
    Tensor dense;
    Tensor picked;  // a view on `dense`
    Tensor to;
  };
  Status AddPiece(const BoxRequest& request, const ChunkPiece& piece);
  Status AddStepped(const Entry& entry, uint32_t chunk, const Shape& start, const Shape& steps,
                    const Tensor& to);
  void AddRead(const Entry& entry, uint32_t chunk, Shape start, const Tensor& to);

  ItemReader* reader_;
  ReaderOptions options_;
  std::vector<TensorRead> reads_;
  std::deque<Shape> shapes_;  // what reads_ points to
  std::vector<Detour> detours_;
  uint64_t detour_bytes_ = 0;
  uint64_t unverified_bytes_ = 0;
};

}  // namespace dcp

#endif  // DCP_CATALOG_BOX_READ_H_
