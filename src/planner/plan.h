// Plans: which items a rank writes or reads. Plain data, no I/O, no threads, no comm.
#ifndef DCP_PLANNER_PLAN_H_
#define DCP_PLANNER_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "metadata/metadata.h"

namespace dcp {

enum class WriteKind : uint8_t { kTensor = 1, kShard = 2, kBytes = 3 };

// One item to write. Box of ndim offsets then ndim sizes in SavePlan::dims at `box`, the global
// size's ndim numbers at `global`. `source` is the rank's own number for where the bytes come
// from (leaf and shard); it travels through the global plan untouched.
struct WriteItem {
  uint32_t name = 0;  // SavePlan::names
  WriteKind kind = WriteKind::kBytes;
  uint8_t ndim = 0;
  uint32_t properties = 0;  // SavePlan::properties
  uint32_t global = 0;
  uint32_t box = 0;
  uint32_t source = 0;
};

struct SavePlan {
  std::string storage_data;  // what the storage writer has to say of this plan
  std::vector<std::string> names;
  std::vector<TensorProperties> properties;
  std::vector<int64_t> dims;
  std::vector<WriteItem> items;
  std::vector<std::pair<std::string, Path>> planner_data;
  bool flattened = true;  // false: planner_data is None

  static constexpr uint32_t kNoSource = 0xffffffff;

  Dims global_size(const WriteItem& item) const {
    return Dims(dims).subspan(item.global, item.ndim);
  }
  Box box(const WriteItem& item) const {
    return {Dims(dims).subspan(item.box, item.ndim),
            Dims(dims).subspan(item.box + item.ndim, item.ndim)};
  }
};

// One box to read: from chunk `chunk` of entry `entry`, at `storage_offsets` inside the chunk,
// into target `target` at `dest_offsets` inside it; both extents are `lengths`. In LoadPlan::dims
// at `dims`: ndim storage offsets, ndim dest offsets, ndim lengths. Bytes items have ndim 0.
struct ReadItem {
  uint32_t entry = 0;
  uint32_t chunk = 0;
  uint32_t target = 0;  // of the planning rank's own; kNoTarget: a planner resolves it
  uint32_t dims = 0;
  uint8_t ndim = 0;
  EntryKind kind = EntryKind::kBytes;

  static constexpr uint32_t kNoTarget = 0xffffffff;
};

struct LoadPlan {
  std::string storage_data;  // what the storage reader has to say of this plan
  std::vector<int64_t> dims;
  std::vector<ReadItem> items;

  Dims storage_offsets(const ReadItem& item) const {
    return Dims(dims).subspan(item.dims, item.ndim);
  }
  Dims dest_offsets(const ReadItem& item) const {
    return Dims(dims).subspan(item.dims + item.ndim, item.ndim);
  }
  Dims lengths(const ReadItem& item) const {
    return Dims(dims).subspan(item.dims + 2 * size_t{item.ndim}, item.ndim);
  }
};

}  // namespace dcp

#endif  // DCP_PLANNER_PLAN_H_
