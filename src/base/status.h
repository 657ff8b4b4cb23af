// Status and Result: how every room reports failure. No exceptions cross a room.
#ifndef DCP_BASE_STATUS_H_
#define DCP_BASE_STATUS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace dcp {

// Values equal dcp_status_code in dcp.h (asserted in c_api). Append only.
enum class Code : int32_t {
  kOk = 0,
  kInvalidArgument = 1,
  kNotFound = 2,
  kAlreadyExists = 3,
  kIo = 4,
  kCorrupt = 5,
  kTimeout = 6,
  kCancelled = 7,
  kCallback = 8,
  kRankFailed = 9,
  kInternal = 10,
  kUnsupported = 11,
  kOutOfMemory = 12,
  kForked = 13,
  kReplaced = 14,
  kOutcomeUnknown = 15,
  kMismatch = 16,
  kLimit = 17,
};

std::string_view CodeName(Code code);  // "CORRUPT", "INVALID_ARGUMENT", ...

// The host language's own exception, counted by the binding that made it.
class Foreign {
 public:
  Foreign() = default;
  // Takes one reference to `payload`. retain/release are called on any thread.
  Foreign(void* payload, void (*retain)(void*), void (*release)(void*));
  void* get() const { return holder_ ? holder_->payload : nullptr; }
  explicit operator bool() const { return holder_ != nullptr; }

 private:
  struct Holder {
    void* payload;
    void (*release)(void*);
    ~Holder();
  };
  std::shared_ptr<Holder> holder_;
};

class Status;
struct RankFailure;

// Cheap to copy (one counted pointer; null means OK). Immutable once shared.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message);

  static Status Ok() { return Status(); }
  bool ok() const { return rep_ == nullptr; }
  Code code() const;
  const std::string& message() const;  // empty when ok
  const std::vector<std::pair<std::string, std::string>>& details() const;
  const std::vector<RankFailure>& rank_failures() const;
  const Foreign& foreign() const;

  // Each returns a changed copy; on an OK status they return OK.
  Status WithDetail(std::string key, std::string value) const;  // e.g. "file", "tensor", "offset"
  Status WithContext(std::string_view prefix) const;            // message becomes "prefix: message"
  Status WithForeign(Foreign foreign) const;
  Status WithRankFailures(std::vector<RankFailure> failures) const;

  std::string ToString() const;  // "CORRUPT: message"

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;
};

struct RankFailure {
  int32_t rank;
  std::string step;  // "plan", "write", "read", ... as upstream's CheckpointException
  Status status;
};

template <typename... Args>
Status Error(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}
// An IO error with errno's text and the detail "errno". ENOENT becomes kNotFound, EEXIST
// kAlreadyExists, ENOMEM kOutOfMemory; everything else kIo.
Status ErrnoError(int error_number, std::string_view action, std::string_view path);

// A value or the Status that explains its absence.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit by design; not OK
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace dcp

#define DCP_CONCAT_INNER_(a, b) a##b
#define DCP_CONCAT_(a, b) DCP_CONCAT_INNER_(a, b)

#define DCP_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                   \
    if (::dcp::Status dcp_status_ = (expression); !dcp_status_.ok()) return dcp_status_; \
  } while (false)

#define DCP_ASSIGN_OR_RETURN(declaration, expression) \
  DCP_ASSIGN_OR_RETURN_IMPL_(DCP_CONCAT_(dcp_result_, __LINE__), declaration, expression)
#define DCP_ASSIGN_OR_RETURN_IMPL_(result, declaration, expression) \
  auto result = (expression);                                       \
  if (!result.ok()) return result.status();                         \
  declaration = *std::move(result)

#endif  // DCP_BASE_STATUS_H_
