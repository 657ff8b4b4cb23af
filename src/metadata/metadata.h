// The model of a checkpoint: what `.metadata` says, in compact tables.
#ifndef DCP_METADATA_METADATA_H_
#define DCP_METADATA_METADATA_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"
#include "metadata/id_table.h"

namespace dcp {

// One step from the root of the nested state dict: a mapping's key (as text) or a list's index.
using PathElement = std::variant<std::string, int64_t>;
using Path = std::vector<PathElement>;

enum class EntryKind : uint8_t { kTensor = 1, kBytes = 2 };
enum class MemoryFormat : uint8_t { kContiguous = 0, kChannelsLast = 1, kPreserve = 2 };

// torch's TensorProperties; only dtype has a meaning at load.
struct TensorProperties {
  DType dtype = DType::kFloat32;
  std::string layout = "torch.strided";
  bool requires_grad = false;
  MemoryFormat memory_format = MemoryFormat::kContiguous;
  bool pin_memory = false;
  bool operator==(const TensorProperties&) const = default;
};

// Where one item lies. `file` and `transforms` index Metadata's tables.
struct Location {
  static constexpr uint32_t kMissing = 0xffffffff;
  uint32_t file = kMissing;
  uint32_t transforms = 0;  // set 0 is "none"
  uint64_t offset = 0;
  uint64_t length = 0;  // bytes in the file, after transforms
  // CRC32 of those bytes, in files of ours (stock ignores it). It covers what the zip's own CRCs
  // leave out, and tells an item that was replaced by another from the right one.
  uint32_t crc32 = 0;
  bool has_crc32 = false;
  bool missing() const { return file == kMissing; }
};

// One name. Tensors: chunks as flat arrays, chunk i at boxes[2 * ndim * i]: ndim offsets, then
// ndim sizes; locations run parallel. Bytes: one location.
struct Entry {
  std::string name;
  EntryKind kind = EntryKind::kBytes;
  // A dtype the library does not know keeps its name here; the entry lists, but does not load.
  std::string unknown_dtype;
  TensorProperties properties;
  Shape size;
  std::vector<int64_t> boxes;
  std::vector<Location> locations;

  size_t ndim() const { return size.size(); }
  size_t chunk_count() const { return locations.size(); }
  Box chunk(size_t i) const {
    size_t n = ndim();
    Dims all(boxes);
    return {all.subspan(2 * n * i, n), all.subspan(2 * n * i + n, n)};
  }
};

struct StorageMeta {
  std::optional<std::string> checkpoint_id;  // paths come as text
  std::optional<std::string> save_id;
  std::optional<std::string> load_id;
  std::vector<std::string> modules;
};

struct Metadata {
  std::vector<Entry> entries;  // in the order of state_dict_metadata
  std::vector<std::string> files;
  std::vector<std::vector<std::string>> transform_sets{{}};  // descriptor lists; [0] is empty
  // Flat name -> path; absent when the planner did not flatten. In file order.
  std::optional<std::vector<std::pair<std::string, Path>>> planner_data;
  std::optional<StorageMeta> storage_meta;
  std::optional<std::string> version;
  // What was in the file but is not used: stray storage entries, unreadable planner data, unknown
  // globals. One line each, for `verify` and the log.
  std::vector<std::string> notes;
  // True when a checksum trailer was there and matched (files of ours).
  bool checksummed = false;
  // True when it comes from `__N.metadata` files: data files may then hold items of names that
  // another rank has too, which no entry places.
  bool merged = false;

  // Index into entries, or nullopt. By the table that BuildIndex makes (decoding and planning call
  // it), or, while the number of entries is another, by looking at every entry. Of several entries
  // with one name, the first. Call BuildIndex again after renaming or reordering entries.
  std::optional<size_t> Find(std::string_view name) const;
  void BuildIndex();
  // Instead of BuildIndex, with a table that finds each entry's number by SeededHash of its name.
  void SetIndex(IdTable index);

 private:
  IdTable index_;
  size_t indexed_ = 0;  // entries that index_ covers
};

}  // namespace dcp

#endif  // DCP_METADATA_METADATA_H_
