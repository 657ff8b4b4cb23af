// `planner_data`: the path in the nested state dict of each flat name.
#ifndef DCP_METADATA_DECODE_PLANNER_DATA_H_
#define DCP_METADATA_DECODE_PLANNER_DATA_H_

#include "metadata/decode_part.h"

namespace dcp {

class PlannerDataDecoder : DecodePart {
 public:
  explicit PlannerDataDecoder(DecodeState* state) : DecodePart(state) {}

  Status Read(pickle::NodeId node);

 private:
  Result<bool> ReadPath(pickle::NodeId node, Path* path);
};

}  // namespace dcp

#endif  // DCP_METADATA_DECODE_PLANNER_DATA_H_
