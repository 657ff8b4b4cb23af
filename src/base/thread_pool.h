// Runs a fixed number of worker bodies at once and collects the first failure.
#ifndef DCP_BASE_THREAD_POOL_H_
#define DCP_BASE_THREAD_POOL_H_

#include <cstddef>
#include <functional>

#include "base/status.h"

namespace dcp {

// Calls body(0) .. body(workers - 1) concurrently (the caller's thread runs body(0)) and returns
// when all have returned: the first error by index, else OK. An exception of a body becomes
// kInternal (kOutOfMemory for bad_alloc). If threads cannot be started, the caller runs the rest
// in turn, so bodies must not wait for each other.
Status RunParallel(size_t workers, const std::function<Status(size_t)>& body);

// A sensible number of workers: `requested` when positive, else min(hardware threads, 8), but not
// less than `fewest`: for work that mostly waits.
size_t WorkerCount(int32_t requested, size_t fewest = 1);

}  // namespace dcp

#endif  // DCP_BASE_THREAD_POOL_H_
