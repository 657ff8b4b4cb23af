#include "staging/engine.h"

#include <algorithm>

namespace dcp {
namespace {

constexpr uint64_t kLargestBuffer = 2ull << 20;  // the disk's bandwidth is reached from here on
constexpr uint64_t kSmallestBuffer = 64ull << 10;
constexpr uint64_t kBuffersWanted = 8;  // writes in flight plus one being filled
constexpr uint64_t kSpared = 16;  // this part of the budget is left for queues, stacks and tables

}  // namespace

void Engine::EnsurePool() {
  if (pool == nullptr) pool = PoolOrNew();
}

std::shared_ptr<BufferPool> Engine::PoolOrNew() const {
  if (pool != nullptr) return pool;
  uint64_t size =
      std::clamp(memory_budget / kBuffersWanted / BufferPool::kAlignment * BufferPool::kAlignment,
                 kSmallestBuffer, kLargestBuffer);
  return BufferPool::Create(memory_budget - memory_budget / kSpared, size);
}

void Engine::Log(LogLevel level, std::string_view message) const {
  if (log != nullptr) log->Log(level, message);
}

}  // namespace dcp
