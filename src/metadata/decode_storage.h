// `storage_data`: which item of which file holds each chunk.
#ifndef DCP_METADATA_DECODE_STORAGE_H_
#define DCP_METADATA_DECODE_STORAGE_H_

#include <optional>
#include <unordered_map>
#include <vector>

#include "metadata/chunk_lookup.h"
#include "metadata/decode_part.h"
#include "metadata/id_table.h"
#include "metadata/objects.h"

namespace dcp {

// Needs the entries, and their index.
class StorageDecoder : DecodePart {
 public:
  explicit StorageDecoder(DecodeState* state) : DecodePart(state), chunks_(state->out) {}

  Status Read(pickle::NodeId node);

 private:
  void Prefetch(pickle::NodeId key) const;
  Status ReadStored(pickle::NodeId key, pickle::NodeId node);
  template <typename ChunkOfKey>
  Status ReadStored(std::optional<uint32_t> id, std::string_view name, pickle::NodeId node,
                    const ChunkOfKey& chunk_of);
  std::string_view TextOf(TextRef text) const;
  std::optional<uint32_t> EntryOfOwn(uint32_t own);
  std::optional<uint32_t> EntryOf(pickle::NodeId fqn);
  Result<std::optional<Location>> ReadLocation(pickle::NodeId node, std::string_view name);
  Result<std::optional<Location>> LocationOf(const FoldedRows::Stored& stored);
  Result<uint32_t> FileOf(pickle::NodeId path);
  Result<uint32_t> FileNamed(std::string_view text);
  Result<std::optional<uint32_t>> TransformSetOf(pickle::NodeId node);
  Result<std::optional<uint32_t>> ChunkOf(uint32_t id, const FoldedRows::Index& index);
  Result<std::optional<uint32_t>> ChunkOf(uint32_t id, const ObjectView& index);
  Status MustAfford(uint64_t numbers);

  ChunkLookup chunks_;
  IdTable files_;       // out_.files
  IdTable transforms_;  // out_.transform_sets
  pickle::NodeId last_path_ = pickle::kNoNode;
  uint32_t last_file_ = 0;
  pickle::NodeId last_fqn_ = pickle::kNoNode;
  std::optional<uint32_t> last_entry_;
  std::unordered_map<pickle::NodeId, std::optional<uint32_t>> entry_nodes_;
  std::unordered_map<pickle::NodeId, uint32_t> file_nodes_;
  std::unordered_map<pickle::NodeId, uint32_t> transform_nodes_;
  std::vector<std::optional<std::optional<uint32_t>>> own_entries_;  // by FoldedRows' texts
  std::vector<uint32_t> own_files_;                                  // likewise
  Shape scratch_;
  FoldedRows::Index index_;
  FoldedRows::Stored stored_;
};

}  // namespace dcp

#endif  // DCP_METADATA_DECODE_STORAGE_H_
