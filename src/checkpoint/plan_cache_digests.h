// What rank and coordinator take for equal (plan_cache.h), as digests.
#ifndef DCP_CHECKPOINT_PLAN_CACHE_DIGESTS_H_
#define DCP_CHECKPOINT_PLAN_CACHE_DIGESTS_H_

#include <cstdint>
#include <span>

#include "base/digest.h"
#include "checkpoint/plan_cache_wire.h"
#include "writer/writer.h"

namespace dcp {

Result<Digest> AssignmentDigest(std::span<const uint32_t> sources);
// Of files and where items lie in them: neither their generation nor any CRC.
Result<Digest> PlacementDigest(const WriteOutcome& outcome);
Result<PlanKey> MakePlanKey(const Digest& plan, const Digest& assignment, const Digest& placement);

}  // namespace dcp

#endif  // DCP_CHECKPOINT_PLAN_CACHE_DIGESTS_H_
