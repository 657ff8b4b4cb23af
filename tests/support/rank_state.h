// What the ranks of a group hold: a shard of one tensor, a tensor that all hold, and objects.
#ifndef DCP_TESTS_SUPPORT_RANK_STATE_H_
#define DCP_TESTS_SUPPORT_RANK_STATE_H_

#include "support/sample_state.h"
#include "value/value.h"

namespace dcp {

// Rank r of n holds rows [2r, 2r + 2) of a sharded tensor, a replicated one, and an object.
inline ValuePtr RankState(int32_t rank, int32_t ranks, uint64_t seed) {
  Tensor whole = PatternTensor(DType::kFloat32, {2 * ranks, 3}, seed);
  ShardedTensor sharded;
  sharded.dtype = DType::kFloat32;
  sharded.global_shape = whole.shape;
  int64_t first = 2 * rank;
  sharded.shards.push_back(
      {{first, 0}, whole.Slice(std::vector<int64_t>{first, 0}, std::vector<int64_t>{2, 3})});
  return DictOf({{"sharded", Value::Of(sharded)},
                 {"replicated", Value::Of(PatternTensor(DType::kInt32, {5}, seed))},
                 {"own", DictOf({{fmt::format("rank{}", rank), Value::Int(rank)}})},
                 {"step", Value::Int(static_cast<int64_t>(seed))}});
}

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_RANK_STATE_H_
