// Copies of tensors, so that the trainer may go on while a save runs.
#ifndef DCP_STAGING_STAGE_H_
#define DCP_STAGING_STAGE_H_

#include "base/progress.h"
#include "staging/arena.h"
#include "staging/engine.h"
#include "value/value.h"

namespace dcp {

// The same tree with every tensor copied to host memory of ours. Tensors that share bytes share
// the copy, as long as that takes no more memory than a copy for each; strides stay then, and
// wherever a tensor has no gaps. Values without tensors are shared, not copied. `progress` may be
// null; so may `keeper`, which the memory comes from and goes back to. kUnsupported for a tensor on
// a device that engine.copier does not handle.
Result<ValuePtr> Stage(const Value& state, const Engine& engine, Progress* progress,
                       ArenaKeeper* keeper = nullptr);

// Whether a tensor of `state` lies elsewhere than in host memory.
bool HoldsDeviceTensors(const Value& state);

}  // namespace dcp

#endif  // DCP_STAGING_STAGE_H_
