// `state_dict_metadata`: names, what they are, and the chunks of tensors.
#ifndef DCP_METADATA_DECODE_ENTRIES_H_
#define DCP_METADATA_DECODE_ENTRIES_H_

#include <optional>
#include <span>
#include <vector>

#include "metadata/decode_part.h"
#include "metadata/id_table.h"
#include "metadata/objects.h"

namespace dcp {

class EntriesDecoder : DecodePart {
 public:
  explicit EntriesDecoder(DecodeState* state) : DecodePart(state) {}

  // Makes the entries' index too.
  Status Read(pickle::NodeId node);

 private:
  Status ReadEntry(pickle::NodeId key, pickle::NodeId node);
  Status ReadTensor(const ObjectView& object, Entry* entry);
  Status ReadTensor(const FoldedRows::Tensor& tensor, Entry* entry);
  Status ReadChunk(const FoldedRows::Chunk& chunk, size_t number, Entry* entry);
  Status CheckLast(bool offsets_fit, size_t number, const Entry& entry);
  Status MakeRoom(size_t chunks, Entry* entry);
  Status ReadProperties(pickle::NodeId node, Entry* entry);
  Status ReadFoldedProperties(uint32_t id, Entry* entry);
  Status ReadPropertyParts(std::span<const pickle::NodeId, 5> parts, Entry* entry);
  Status ReadDType(pickle::NodeId node, Entry* entry);
  bool IsTrue(pickle::NodeId node) const;
  void ReadLayout(pickle::NodeId node, TensorProperties* properties);
  void ReadMemoryFormat(pickle::NodeId node, TensorProperties* properties);

  IdTable names_;
  FoldedRows::Chunk chunk_;
  FoldedRows::Tensor tensor_;
  // By FoldedRows' properties: those that there is nothing to say about.
  std::vector<std::optional<TensorProperties>> properties_;
};

}  // namespace dcp

#endif  // DCP_METADATA_DECODE_ENTRIES_H_
