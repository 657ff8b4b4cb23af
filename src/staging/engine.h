// What every save, load and open shares: threads, memory, observers, transforms.
#ifndef DCP_STAGING_ENGINE_H_
#define DCP_STAGING_ENGINE_H_

#include <memory>

#include "base/buffer_pool.h"
#include "base/device.h"
#include "base/observer.h"
#include "transform/transform.h"

namespace dcp {

struct Engine {
  int32_t threads = 0;                     // 0: as many as serve
  uint64_t memory_budget = 64ull << 20;    // bytes of I/O buffers
  std::shared_ptr<BufferPool> pool;        // made by EnsurePool
  std::shared_ptr<LogSink> log;            // may be null
  std::shared_ptr<ProgressSink> progress;  // may be null
  std::shared_ptr<DeviceCopier> copier;    // may be null
  std::shared_ptr<TransformRegistry> transforms = std::make_shared<TransformRegistry>();

  void EnsurePool();
  // The pool, or a new one of the same size when EnsurePool was not called.
  std::shared_ptr<BufferPool> PoolOrNew() const;
  void Log(LogLevel level, std::string_view message) const;
};

}  // namespace dcp

#endif  // DCP_STAGING_ENGINE_H_
