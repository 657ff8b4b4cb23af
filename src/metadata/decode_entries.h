// `state_dict_metadata`: names, what they are, and the chunks of tensors.
#ifndef DCP_METADATA_DECODE_ENTRIES_H_
#define DCP_METADATA_DECODE_ENTRIES_H_

#include "metadata/decode_part.h"
#include "metadata/id_table.h"
#include "metadata/objects.h"

namespace dcp {

class EntriesDecoder : DecodePart {
 public:
  explicit EntriesDecoder(DecodeState* state) : DecodePart(state) {}

  Status Read(pickle::NodeId node);

 private:
  Status ReadEntry(pickle::NodeId key, pickle::NodeId node);
  Status ReadTensor(const ObjectView& object, Entry* entry);
  Status ReadProperties(pickle::NodeId node, Entry* entry);
  Status ReadDType(pickle::NodeId node, Entry* entry);
  bool IsTrue(pickle::NodeId node) const;
  void ReadLayout(pickle::NodeId node, TensorProperties* properties);
  void ReadMemoryFormat(pickle::NodeId node, TensorProperties* properties);

  IdTable names_;
  FoldedRows::Chunk chunk_;
};

}  // namespace dcp

#endif  // DCP_METADATA_DECODE_ENTRIES_H_
