#include "catalog/box_read.h"

#include <algorithm>

#include "base/bytes.h"
#include "value/cast.h"
#include "value/names.h"

namespace dcp {
namespace {

constexpr int64_t kDenseBytes = 16ll << 20;     // most that one stepped read takes in between
constexpr uint64_t kDetourBytes = 64ull << 20;  // most that all waiting ones hold
constexpr int64_t kWorthSkipping = 64ll << 10;  // bytes between elements that a read leaves out

// Number of indices i >= 0 with offset + i * step < end.
int64_t IndicesBelow(int64_t end, int64_t offset, int64_t step) {
  if (end <= offset) return 0;
  return (end - offset - 1) / step + 1;
}

Status Uncovered(const Entry& entry, int64_t wanted, int64_t found) {
  return Error(Code::kCorrupt,
               "{} of {} elements asked for of {} are in no chunk of the checkpoint",
               wanted - found, wanted, PrintableName(entry.name))
      .WithDetail("tensor", PrintableName(entry.name));
}

// Parts of the request in its own index space, disjoint, each from one chunk.
Result<std::vector<ChunkPiece>> CutRequest(const BoxRequest& request) {
  const Entry& entry = *request.entry;
  const Shape& counts = request.dest.shape;
  const size_t ndim = entry.ndim();
  std::vector<ChunkPiece> pieces;
  for (uint32_t i = 0; i < entry.chunk_count(); ++i) {
    if (entry.locations[i].missing()) continue;
    Box chunk = entry.chunk(i);
    ChunkPiece piece;
    piece.chunk = i;
    bool shares = true;
    for (size_t d = 0; d < ndim; ++d) {
      int64_t low = chunk.offsets[d], high;
      if (low < 0 || chunk.sizes[d] < 0 || !CheckedAdd(low, chunk.sizes[d], &high) ||
          high > entry.size[d]) {
        return Error(Code::kCorrupt, "chunk {} of {} at {} with sizes {} is outside its size {}", i,
                     PrintableName(entry.name), ToString(chunk.offsets), ToString(chunk.sizes),
                     ToString(entry.size))
            .WithDetail("tensor", PrintableName(entry.name));
      }
      int64_t first = IndicesBelow(low, request.offsets[d], request.steps[d]);
      int64_t end = std::min(counts[d], IndicesBelow(high, request.offsets[d], request.steps[d]));
      shares = shares && first < end;
      piece.offsets.push_back(first);
      piece.sizes.push_back(end - first);
    }
    if (shares) pieces.push_back(std::move(piece));
  }
  if (Status status = MakeDisjoint(ndim, &pieces); !status.ok()) {
    return status.WithContext(PrintableName(entry.name));
  }
  int64_t wanted = request.dest.num_elements(), found = 0;
  for (const ChunkPiece& piece : pieces) {
    DCP_ASSIGN_OR_RETURN(int64_t volume, NumElements(piece.sizes));
    found += volume;
  }
  if (found < wanted) return Uncovered(entry, wanted, found);
  return pieces;
}

int64_t DenseLength(int64_t count, int64_t step) { return (count - 1) * step + 1; }

}  // namespace

Status CheckRequest(const BoxRequest& request) {
  const Entry& entry = *request.entry;
  const Shape& counts = request.dest.shape;
  auto wrong = [&](std::string_view what) {
    return Error(Code::kInvalidArgument,
                 "{}: {} (offsets {}, steps {}, shape {}; the tensor has size {})",
                 PrintableName(entry.name), what, ToString(request.offsets),
                 ToString(request.steps), ToString(counts), ToString(entry.size));
  };
  if (request.offsets.size() != entry.ndim() || request.steps.size() != entry.ndim() ||
      counts.size() != entry.ndim()) {
    return wrong("the box must have the tensor's number of dimensions");
  }
  for (size_t d = 0; d < entry.ndim(); ++d) {
    if (request.steps[d] < 1) return wrong("steps must be at least 1");
    int64_t reach = request.offsets[d];
    bool inside = reach >= 0 && counts[d] >= 0 && reach <= entry.size[d];
    if (inside && counts[d] > 0) {
      inside = CheckedMul(counts[d] - 1, request.steps[d], &reach) &&
               CheckedAdd(reach, request.offsets[d], &reach) && reach < entry.size[d];
    }
    if (!inside) return wrong("the box leaves the tensor");
  }
  return Status::Ok();
}

Status BoxReads::Add(const BoxRequest& request) {
  if (request.dest.num_elements() == 0) return Status::Ok();
  DCP_ASSIGN_OR_RETURN(std::vector<ChunkPiece> pieces, CutRequest(request));
  for (const ChunkPiece& piece : pieces) DCP_RETURN_IF_ERROR(AddPiece(request, piece));
  return Status::Ok();
}

Status BoxReads::AddPiece(const BoxRequest& request, const ChunkPiece& piece) {
  const Entry& entry = *request.entry;
  Tensor to = request.dest.Slice(piece.offsets, piece.sizes);
  Box chunk = entry.chunk(piece.chunk);
  Shape start(entry.ndim());
  Shape steps = request.steps;
  bool stepped = false;
  for (size_t d = 0; d < entry.ndim(); ++d) {
    start[d] = request.offsets[d] + piece.offsets[d] * request.steps[d] - chunk.offsets[d];
    if (piece.sizes[d] == 1) steps[d] = 1;
    stepped = stepped || steps[d] != 1;
  }
  if (!stepped) {
    AddRead(entry, piece.chunk, std::move(start), to);
    return Status::Ok();
  }
  if (!to.device.is_cpu()) {
    return Error(Code::kUnsupported,
                 "{}: reading with steps goes to host memory only: read the whole box, or into the "
                 "host",
                 PrintableName(entry.name));
  }
  return AddStepped(entry, piece.chunk, start, steps, to);
}

// Reads the dense box around the wanted elements when it is small and little of it is wasted;
// else cuts the request in halves along its first long dimension.
Status BoxReads::AddStepped(const Entry& entry, uint32_t chunk, const Shape& start,
                            const Shape& wanted_steps, const Tensor& to) {
  Shape steps = wanted_steps;
  Shape lengths(steps.size());
  int64_t dense_bytes = DTypeSize(entry.properties.dtype);
  int64_t pitch = dense_bytes;  // bytes between elements of the first dimension that steps
  bool stepped = false, too_large = false;
  size_t first_long = steps.size();
  for (size_t d = steps.size(); d-- > 0;) {
    if (to.shape[d] == 1) steps[d] = 1;
    if (to.shape[d] > 1) first_long = d;
    lengths[d] = DenseLength(to.shape[d], steps[d]);
    if (steps[d] > 1) {
      stepped = true;
      if (too_large || !CheckedMul(dense_bytes, steps[d], &pitch)) pitch = kWorthSkipping;
    }
    too_large = too_large || !CheckedMul(dense_bytes, lengths[d], &dense_bytes);
  }
  if (!stepped) {
    AddRead(entry, chunk, start, to);
    return Status::Ok();
  }
  if (too_large || dense_bytes > kDenseBytes || pitch >= kWorthSkipping) {
    Shape offsets(steps.size(), 0), sizes = to.shape, start_of_rest = start;
    int64_t half = to.shape[first_long] / 2;
    sizes[first_long] = half;
    DCP_RETURN_IF_ERROR(AddStepped(entry, chunk, start, steps, to.Slice(offsets, sizes)));
    offsets[first_long] = half;
    sizes[first_long] = to.shape[first_long] - half;
    start_of_rest[first_long] += half * steps[first_long];
    return AddStepped(entry, chunk, start_of_rest, steps, to.Slice(offsets, sizes));
  }
  Detour detour;
  DCP_ASSIGN_OR_RETURN(detour.dense, Tensor::Allocate(entry.properties.dtype, lengths));
  detour.picked = detour.dense;
  detour.picked.shape = to.shape;
  for (size_t d = 0; d < steps.size(); ++d) detour.picked.strides[d] *= steps[d];
  detour.to = to;
  AddRead(entry, chunk, start, detour.dense);
  detours_.push_back(std::move(detour));
  detour_bytes_ += static_cast<uint64_t>(dense_bytes);
  return detour_bytes_ > kDetourBytes ? Run() : Status::Ok();
}

void BoxReads::AddRead(const Entry& entry, uint32_t chunk, Shape start, const Tensor& to) {
  TensorRead read;
  read.entry = &entry;
  read.chunk = chunk;
  read.storage_offsets = shapes_.emplace_back(std::move(start));
  read.lengths = shapes_.emplace_back(to.shape);
  read.dest = to;
  reads_.push_back(std::move(read));
}

Status BoxReads::Run() {
  if (reads_.empty()) return Status::Ok();
  DCP_ASSIGN_OR_RETURN(ReadOutcome outcome, reader_->ReadTensors(reads_, options_));
  unverified_bytes_ += outcome.bytes_unverified;
  for (const Detour& detour : detours_) {
    if (detour.to.dtype == detour.picked.dtype) {
      CopyElements(detour.picked, detour.to);
    } else {
      CastElements(detour.picked, detour.to);
    }
  }
  reads_.clear();
  shapes_.clear();
  detours_.clear();
  detour_bytes_ = 0;
  return Status::Ok();
}

}  // namespace dcp
