// Owners for the handles of dcp.h, and Failure: a status with its error.
#ifndef DCP_CLI_HANDLES_H_
#define DCP_CLI_HANDLES_H_

#include <dcp.h>

#include <memory>
#include <string>
#include <utility>

namespace dcp::cli {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* handle) const {
    Free(handle);
  }
};

using CancelHandle = std::unique_ptr<dcp_cancel, Freer<dcp_cancel_free>>;
using CheckpointHandle = std::unique_ptr<dcp_checkpoint, Freer<dcp_checkpoint_free>>;
using ContextHandle = std::unique_ptr<dcp_context, Freer<dcp_context_free>>;
using ErrorHandle = std::unique_ptr<dcp_error, Freer<dcp_error_free>>;
using SaveReportHandle = std::unique_ptr<dcp_save_report, Freer<dcp_save_report_free>>;
using StorageHandle = std::unique_ptr<dcp_storage, Freer<dcp_storage_free>>;
using StringHandle = std::unique_ptr<char, Freer<dcp_string_free>>;
using TensorHandle = std::unique_ptr<dcp_tensor, Freer<dcp_tensor_free>>;
using ValueHandle = std::unique_ptr<dcp_value, Freer<dcp_value_free>>;
using VerifyReportHandle = std::unique_ptr<dcp_verify_report, Freer<dcp_verify_report_free>>;

// Out(handle) where a call fills in an [owned] pointer.
template <typename Handle>
class OutParameter {
 public:
  explicit OutParameter(Handle& handle) : handle_(handle) {}
  ~OutParameter() { handle_.reset(raw_); }
  OutParameter(const OutParameter&) = delete;
  OutParameter& operator=(const OutParameter&) = delete;
  operator typename Handle::pointer *() { return &raw_; }  // NOLINT: meant to convert

 private:
  Handle& handle_;
  typename Handle::pointer raw_ = nullptr;
};
template <typename Handle>
OutParameter<Handle> Out(Handle& handle) {
  return OutParameter<Handle>(handle);
}

// What a call came back with; false when all went well.
class [[nodiscard]] Failure {
 public:
  Failure() = default;
  Failure(dcp_status status, dcp_error* error) : status_(status), error_(error) {}
  Failure(dcp_status status, std::string text) : status_(status), text_(std::move(text)) {}

  explicit operator bool() const { return status_ != DCP_OK; }
  dcp_status status() const { return status_; }
  // Null for failures that the command itself found.
  const dcp_error* error() const { return error_.get(); }
  std::string message() const { return error_ ? dcp_error_message(error_.get()) : text_; }

 private:
  dcp_status status_ = DCP_OK;
  ErrorHandle error_;
  std::string text_;
};

// Try([&](dcp_error** error) { return dcp_...(..., error); })
template <typename Call>
Failure Try(Call&& call) {
  dcp_error* error = nullptr;
  dcp_status status = call(&error);
  return Failure(status, error);
}

}  // namespace dcp::cli

#endif  // DCP_CLI_HANDLES_H_
