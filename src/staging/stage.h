// Copies of tensors, so that the trainer may go on while a save runs.
#ifndef DCP_STAGING_STAGE_H_
#define DCP_STAGING_STAGE_H_

#include "base/progress.h"
#include "staging/engine.h"
#include "value/value.h"

namespace dcp {

// The same tree with every tensor copied to host memory of ours. Tensors that share bytes share
// the copy; strides stay when they are dense. Values without tensors are shared, not copied.
Result<ValuePtr> Stage(const Value& state, const Engine& engine, Progress* progress);

}  // namespace dcp

#endif  // DCP_STAGING_STAGE_H_
