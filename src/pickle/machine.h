// The opcode machine: runs one pickle and leaves its graph in an arena.
#ifndef DCP_PICKLE_MACHINE_H_
#define DCP_PICKLE_MACHINE_H_

#include "base/status.h"
#include "pickle/graph.h"

namespace dcp::pickle {

// Runs the pickle at the start of `input`, whose bytes are arena->input, and sets root and
// consumed. Uses constant stack. `folder` may be null; `graph` is what it sees of the arena. Throws
// std::bad_alloc.
Status RunMachine(Input& input, const Limits& limits, Folder* folder, const Graph& graph,
                  Arena* arena);

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_MACHINE_H_
