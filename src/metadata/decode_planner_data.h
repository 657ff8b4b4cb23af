// `planner_data`: the path in the nested state dict of each flat name.
#ifndef DCP_METADATA_DECODE_PLANNER_DATA_H_
#define DCP_METADATA_DECODE_PLANNER_DATA_H_

#include "metadata/decode_part.h"
#include "metadata/id_table.h"

namespace dcp {

class PlannerDataDecoder : DecodePart {
 public:
  explicit PlannerDataDecoder(DecodeState* state) : DecodePart(state) {}

  Status Read(pickle::NodeId node);

 private:
  uint32_t PlaceOf(pickle::NodeId key, std::string_view name, uint32_t fresh);
  Result<bool> ReadPath(pickle::NodeId node, Path* path);

  bool as_entries_ = true;  // the names so far are those of the entries
  IdTable seen_;            // the pairs, when not
};

}  // namespace dcp

#endif  // DCP_METADATA_DECODE_PLANNER_DATA_H_
