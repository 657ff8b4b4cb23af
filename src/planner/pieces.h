// Parts of a load target that saved chunks hold, made disjoint.
#ifndef DCP_PLANNER_PIECES_H_
#define DCP_PLANNER_PIECES_H_

#include <cstdint>
#include <vector>

#include "base/shape.h"

namespace dcp {

// A box in the global tensor that is to come from chunk `chunk`.
struct ChunkPiece {
  uint32_t chunk = 0;
  Shape offsets;
  Shape sizes;
};

// Takes away from each piece what earlier pieces hold already, so that every element is read
// once: equal boxes vanish, and a piece that partly overlaps is cut into boxes. Pieces that touch
// nothing stay as they are and in order. kLimit when chunks overlap in ways that need more than
// about a million cuts. Sizes are positive.
Status MakeDisjoint(size_t ndim, std::vector<ChunkPiece>* pieces);

}  // namespace dcp

#endif  // DCP_PLANNER_PIECES_H_
