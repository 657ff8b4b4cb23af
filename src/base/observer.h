// What the host may watch: log messages and progress. Implemented over dcp.h's tables in c_api.
#ifndef DCP_BASE_OBSERVER_H_
#define DCP_BASE_OBSERVER_H_

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace dcp {

enum class LogLevel : int32_t { kDebug = 10, kInfo = 20, kWarning = 30, kError = 40 };

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Log(LogLevel level, std::string_view message) = 0;  // any thread
};

enum class ProgressPhase : int32_t {
  kPlan = 1,
  kStage = 2,
  kWrite = 3,
  kCommit = 4,
  kRead = 5,
  kVerify = 6
};

struct ProgressEvent {
  ProgressPhase phase;
  uint64_t bytes_done;
  uint64_t bytes_total;
  uint64_t items_done;
  uint64_t items_total;
};

class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  // At most about ten times a second plus once at each phase's end; any thread, one call at a
  // time. An error stops the work, which then fails with that error.
  virtual Status Update(const ProgressEvent& event) = 0;
};

}  // namespace dcp

#endif  // DCP_BASE_OBSERVER_H_
