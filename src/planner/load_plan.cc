#include <algorithm>
#include <tuple>

#include "base/bytes.h"
#include "planner/box_join.h"
#include "planner/load_planner.h"
#include "planner/pieces.h"
#include "value/names.h"

namespace dcp {
namespace {

// Below this many pairs of targets and chunks, comparing all is cheaper than a join.
constexpr size_t kFewPairs = 64;

std::string SizeText(Dims dims) { return fmt::format("torch.Size({})", ToString(dims)); }

bool HoldsElements(Dims sizes) {
  return std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return size > 0; });
}

Box WholeOf(const LoadTarget& target) { return {target.offsets, target.sizes}; }

// The common part of two boxes; false when there is none.
bool Intersect(Box a, Box b, ChunkPiece* out) {
  size_t ndim = a.offsets.size();
  out->offsets.resize(ndim);
  out->sizes.resize(ndim);
  for (size_t d = 0; d < ndim; ++d) {
    int64_t low = std::max(a.offsets[d], b.offsets[d]);
    int64_t high = std::min(a.offsets[d] + a.sizes[d], b.offsets[d] + b.sizes[d]);
    if (low >= high) return false;
    out->offsets[d] = low;
    out->sizes[d] = high - low;
  }
  return true;
}

Status CheckTarget(const Entry& entry, const LoadTarget& target) {
  const auto name = [&target] { return PrintableName(target.name); };
  if (target.kind == EntryKind::kBytes) {
    if (entry.kind == EntryKind::kBytes) return Status::Ok();
    return Error(Code::kMismatch,
                 "Invalid checkpoint metadata for {}, expected BytesStorageMetadata but found "
                 "TensorStorageMetadata: the checkpoint holds a tensor and an object was asked for",
                 name());
  }
  if (entry.kind == EntryKind::kBytes) {
    return Error(Code::kMismatch,
                 "Invalid checkpoint metadata for {}, expected TensorStorageMetadata but found "
                 "BytesStorageMetadata: the checkpoint holds an object and a tensor was asked for",
                 name());
  }
  if (entry.size != target.global_size) {
    return Error(Code::kMismatch, "Size mismatch between saved {} and current: {} for {}",
                 SizeText(entry.size), SizeText(target.global_size), name());
  }
  if (!entry.unknown_dtype.empty()) {
    return Error(Code::kUnsupported, "{} has the dtype {}, which this library does not know",
                 name(), entry.unknown_dtype);
  }
  bool inside = target.offsets.size() == entry.ndim() && target.sizes.size() == entry.ndim();
  for (size_t d = 0; inside && d < entry.ndim(); ++d) {
    inside = target.offsets[d] >= 0 && target.sizes[d] >= 0 && target.sizes[d] <= entry.size[d] &&
             target.offsets[d] <= entry.size[d] - target.sizes[d];
  }
  if (!inside) {
    return Error(Code::kInvalidArgument,
                 "the part of {} at {} with sizes {} is outside its size {}", name(),
                 ToString(target.offsets), ToString(target.sizes), ToString(entry.size));
  }
  return Status::Ok();
}

// What is sorted already, as it mostly is, takes no memory.
template <typename T, typename Before>
void StableSort(std::vector<T>* all, Before before) {
  if (std::is_sorted(all->begin(), all->end(), before)) return;
  std::stable_sort(all->begin(), all->end(), before);
}

class Planner {
 public:
  Planner(const Metadata& metadata, const std::vector<LoadTarget>& targets,
          const LoadPlanOptions& options)
      : metadata_(metadata), targets_(targets), options_(options) {}

  Result<PlannedLoad> Run() {
    DCP_RETURN_IF_ERROR(MatchNames());
    // Targets of one entry next to each other, else in their own order.
    StableSort(&matches_, [](const Match& a, const Match& b) { return a.entry < b.entry; });
    for (size_t from = 0; from < matches_.size();) {
      size_t to = from;
      while (to < matches_.size() && matches_[to].entry == matches_[from].entry) ++to;
      DCP_RETURN_IF_ERROR(PlanEntry(std::span(matches_).subspan(from, to - from)));
      from = to;
    }
    StableSort(&out_.plan.items, [](const ReadItem& a, const ReadItem& b) {
      return std::tie(a.target, a.chunk) < std::tie(b.target, b.chunk);
    });
    ReportNames();
    return std::move(out_);
  }

 private:
  struct Match {
    uint32_t entry;
    uint32_t target;
  };

  Status MatchNames() {
    entry_seen_.assign(metadata_.entries.size(), false);
    matches_.reserve(targets_.size());
    order_.reserve(std::min(targets_.size(), metadata_.entries.size()));
    out_.plan.items.reserve(targets_.size());
    std::vector<std::string_view> missing;
    for (uint32_t i = 0; i < targets_.size(); ++i) {
      const LoadTarget& target = targets_[i];
      std::optional<size_t> id = metadata_.Find(target.name);
      if (!id) {
        if (!options_.allow_partial) {
          return Error(Code::kNotFound, "Missing key in checkpoint state_dict: {}.",
                       PrintableName(target.name));
        }
        missing.push_back(target.name);
        continue;
      }
      DCP_RETURN_IF_ERROR(CheckTarget(metadata_.entries[*id], target));
      matches_.push_back({static_cast<uint32_t>(*id), i});
      if (!entry_seen_[*id]) {
        entry_seen_[*id] = true;
        order_.push_back(static_cast<uint32_t>(*id));
      }
    }
    std::vector<std::string_view> sorted = missing;
    std::sort(sorted.begin(), sorted.end());
    std::vector<bool> said(sorted.size(), false);
    for (std::string_view name : missing) {
      size_t at = static_cast<size_t>(std::lower_bound(sorted.begin(), sorted.end(), name) -
                                      sorted.begin());
      if (!said[at]) out_.report.missing.emplace_back(name);
      said[at] = true;
    }
    return Status::Ok();
  }

  void ReportNames() {
    out_.report.loaded.reserve(order_.size());
    for (uint32_t id : order_) out_.report.loaded.push_back(metadata_.entries[id].name);
    for (size_t id = 0; id < metadata_.entries.size(); ++id) {
      if (!entry_seen_[id]) out_.report.unexpected.push_back(metadata_.entries[id].name);
    }
  }

  Status PlanEntry(std::span<const Match> matches) {
    const Entry& entry = metadata_.entries[matches[0].entry];
    if (entry.kind == EntryKind::kBytes) return PlanBytes(entry, matches);
    DCP_RETURN_IF_ERROR(CheckCast(entry, matches));

    if (matches.size() == 1 && entry.chunk_count() == 1) return PlanOnlyChunk(entry, matches[0]);
    std::vector<std::vector<uint32_t>> chunks = FindChunks(entry, matches);
    int64_t wanted = 0, found = 0;
    for (size_t m = 0; m < matches.size(); ++m) {
      const LoadTarget& target = targets_[matches[m].target];
      DCP_ASSIGN_OR_RETURN(int64_t volume, NumElements(target.sizes));
      DCP_ASSIGN_OR_RETURN(int64_t covered, PlanTarget(entry, matches[m], chunks[m]));
      // Many targets may ask for the same elements: the sum may pass 2^63.
      if (!CheckedAdd(wanted, volume, &wanted) || !CheckedAdd(found, covered, &found)) {
        return Error(Code::kLimit, "more than 2^63 elements of {} are asked for",
                     PrintableName(entry.name));
      }
    }
    ReportCover(entry, wanted, found);
    return Status::Ok();
  }

  // The same for one target of a tensor that was saved whole: by far the most there are.
  Status PlanOnlyChunk(const Entry& entry, const Match& match) {
    const LoadTarget& target = targets_[match.target];
    DCP_ASSIGN_OR_RETURN(int64_t wanted, NumElements(target.sizes));
    int64_t found = 0;
    if (Intersect(WholeOf(target), entry.chunk(0), &only_)) {
      DCP_ASSIGN_OR_RETURN(found, PlanPiece(entry, match, only_));
    }
    ReportCover(entry, wanted, found);
    return Status::Ok();
  }

  void ReportCover(const Entry& entry, int64_t wanted, int64_t found) {
    if (found >= wanted) return;
    out_.report.uncovered.push_back(
        fmt::format("{}: {} of {} elements", entry.name, wanted - found, wanted));
  }

  Status PlanBytes(const Entry& entry, std::span<const Match> matches) {
    if (entry.locations.empty() || entry.locations[0].missing()) {
      return Error(Code::kCorrupt, "the metadata lists {} but does not say which file holds it",
                   PrintableName(entry.name));
    }
    for (const Match& match : matches) {
      ReadItem item;
      item.entry = match.entry;
      item.target = match.target;
      item.dims = static_cast<uint32_t>(out_.plan.dims.size());
      item.kind = EntryKind::kBytes;
      out_.plan.items.push_back(item);
    }
    return Status::Ok();
  }

  Status CheckCast(const Entry& entry, std::span<const Match> matches) {
    for (const Match& match : matches) {
      DType from = entry.properties.dtype, to = targets_[match.target].dtype;
      if (from == to) continue;
      if (!options_.allow_cast) {
        return Error(Code::kMismatch, "{} was saved as {} and is to be loaded as {}",
                     PrintableName(entry.name), DTypeName(from), DTypeName(to));
      }
      std::string text = fmt::format("{}: {} -> {}", entry.name, DTypeName(from), DTypeName(to));
      if (out_.report.cast.empty() || out_.report.cast.back() != text) {
        out_.report.cast.push_back(std::move(text));
      }
    }
    return Status::Ok();
  }

  // For each match, the chunks that share elements with its target, ascending.
  std::vector<std::vector<uint32_t>> FindChunks(const Entry& entry,
                                                std::span<const Match> matches) {
    std::vector<std::vector<uint32_t>> out(matches.size());
    size_t count = entry.chunk_count();
    if (matches.size() * count <= kFewPairs) {
      ChunkPiece scratch;
      for (size_t m = 0; m < matches.size(); ++m) {
        for (uint32_t i = 0; i < count; ++i) {
          if (Intersect(WholeOf(targets_[matches[m].target]), entry.chunk(i), &scratch)) {
            out[m].push_back(i);
          }
        }
      }
      return out;
    }
    BoxList wanted(entry.ndim()), saved(entry.ndim());
    std::vector<uint32_t> wanted_ids, saved_ids;
    for (uint32_t m = 0; m < matches.size(); ++m) {
      const LoadTarget& target = targets_[matches[m].target];
      if (!HoldsElements(target.sizes)) continue;
      wanted.Add(WholeOf(target));
      wanted_ids.push_back(m);
    }
    saved.Reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
      Box chunk = entry.chunk(i);
      if (!HoldsElements(chunk.sizes)) continue;
      saved.Add(chunk);
      saved_ids.push_back(i);
    }
    JoinBoxes(wanted, saved, [&](uint32_t a, uint32_t b) {
      out[wanted_ids[a]].push_back(saved_ids[b]);
      return true;
    });
    for (std::vector<uint32_t>& chunks : out) std::sort(chunks.begin(), chunks.end());
    return out;
  }

  // Plans one target; the number of its elements that chunks hold.
  Result<int64_t> PlanTarget(const Entry& entry, const Match& match,
                             const std::vector<uint32_t>& chunks) {
    const LoadTarget& target = targets_[match.target];
    std::vector<ChunkPiece> pieces;
    pieces.reserve(chunks.size());
    // Chunks without a location last: they are needed only for what no other chunk holds.
    for (bool missing : {false, true}) {
      for (uint32_t chunk : chunks) {
        if (entry.locations[chunk].missing() != missing) continue;
        ChunkPiece piece;
        if (!Intersect(WholeOf(target), entry.chunk(chunk), &piece)) continue;
        piece.chunk = chunk;
        pieces.push_back(std::move(piece));
      }
    }
    if (Status status = MakeDisjoint(entry.ndim(), &pieces); !status.ok()) {
      return status.WithContext(PrintableName(entry.name));
    }
    int64_t covered = 0;  // at most the target's own volume, since the pieces are disjoint
    for (const ChunkPiece& piece : pieces) {
      DCP_ASSIGN_OR_RETURN(int64_t volume, PlanPiece(entry, match, piece));
      covered += volume;
    }
    return covered;
  }

  // Plans the read of one piece; the number of its elements.
  Result<int64_t> PlanPiece(const Entry& entry, const Match& match, const ChunkPiece& piece) {
    if (entry.locations[piece.chunk].missing()) {
      return Error(Code::kCorrupt,
                   "the metadata lists the chunk of {} at offsets {} but does not say which file "
                   "holds it",
                   PrintableName(entry.name), ToString(entry.chunk(piece.chunk).offsets));
    }
    DCP_ASSIGN_OR_RETURN(int64_t volume, NumElements(piece.sizes));
    DCP_RETURN_IF_ERROR(AddItem(entry, match, targets_[match.target], piece));
    return volume;
  }

  Status AddItem(const Entry& entry, const Match& match, const LoadTarget& target,
                 const ChunkPiece& piece) {
    std::vector<int64_t>& dims = out_.plan.dims;
    if (dims.size() > UINT32_MAX - 3 * size_t{kMaxDims}) {
      return Error(Code::kLimit, "the load plan has more than 2^32 numbers");
    }
    ReadItem item;
    item.entry = match.entry;
    item.chunk = piece.chunk;
    item.target = match.target;
    item.dims = static_cast<uint32_t>(dims.size());
    item.ndim = static_cast<uint8_t>(entry.ndim());
    item.kind = EntryKind::kTensor;
    Box chunk = entry.chunk(piece.chunk);
    for (size_t d = 0; d < entry.ndim(); ++d) dims.push_back(piece.offsets[d] - chunk.offsets[d]);
    for (size_t d = 0; d < entry.ndim(); ++d) dims.push_back(piece.offsets[d] - target.offsets[d]);
    dims.insert(dims.end(), piece.sizes.begin(), piece.sizes.end());
    out_.plan.items.push_back(item);
    return Status::Ok();
  }

  const Metadata& metadata_;
  const std::vector<LoadTarget>& targets_;
  const LoadPlanOptions& options_;
  std::vector<Match> matches_;
  std::vector<bool> entry_seen_;
  std::vector<uint32_t> order_;  // entries in the order of their first target
  ChunkPiece only_;              // PlanOnlyChunk's; chunk 0
  PlannedLoad out_;
};

}  // namespace

Result<PlannedLoad> CreateLoadPlan(const Metadata& metadata, const std::vector<LoadTarget>& targets,
                                   const LoadPlanOptions& options) {
  return Planner(metadata, targets, options).Run();
}

}  // namespace dcp
