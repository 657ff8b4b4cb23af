#include "c_api/completion.h"

#include <chrono>

#include "base/deadline.h"
#include "c_api/error.h"

namespace dcp::c_api {
namespace {

constexpr std::chrono::milliseconds kTick(50);  // how soon a request to stop is seen

}  // namespace

void HostCompletion::End(Result<std::string> outcome) {
  {
    std::lock_guard lock(mutex_);
    if (!outcome_) outcome_ = std::move(outcome);
  }
  changed_.notify_all();
}

void HostCompletion::StillHere() {
  {
    std::lock_guard lock(mutex_);
    ++signs_;
  }
  changed_.notify_all();
}

Result<std::string> HostCompletion::Await(int64_t silence_ms, const CancelToken& cancel,
                                          Progress* progress, const char* what) {
  std::unique_lock lock(mutex_);
  uint64_t seen = signs_;
  Deadline deadline = Deadline::FromMilliseconds(silence_ms);
  while (!outcome_) {
    changed_.wait_for(lock, kTick, [&] { return outcome_.has_value() || signs_ != seen; });
    if (outcome_) break;
    DCP_RETURN_IF_ERROR(cancel.Check());
    if (signs_ != seen) {
      seen = signs_;
      deadline = Deadline::FromMilliseconds(silence_ms);
      lock.unlock();
      Status told = progress == nullptr ? Status::Ok() : progress->Advance(0, 0);
      lock.lock();
      DCP_RETURN_IF_ERROR(told);
    } else if (deadline.passed()) {
      return Error(Code::kTimeout, "{} was begun, and gave no sign for {} ms", what, silence_ms);
    }
  }
  return *outcome_;
}

}  // namespace dcp::c_api

dcp_completion::~dcp_completion() {
  completion->End(
      dcp::Error(dcp::Code::kCallback, "{} let go of its completion without ending it", what));
}

extern "C" {

void dcp_completion_succeed(dcp_completion* completion, const void* data, size_t size) {
  if (completion == nullptr || completion->forked()) return;
  try {
    completion->completion->End(
        std::string(data == nullptr ? "" : static_cast<const char*>(data), data ? size : 0));
  } catch (...) {
    completion->completion->End(
        dcp::Status(dcp::Code::kOutOfMemory, "no memory for what a completion brings"));
  }
}

void dcp_completion_fail(dcp_completion* completion, dcp_error* failure) {
  if (completion == nullptr || completion->forked()) {
    dcp_error_free(failure);
    return;
  }
  const dcp_status code = failure == nullptr ? DCP_CALLBACK : dcp_error_status(failure);
  completion->completion->End(
      dcp::c_api::FromCallback(code == DCP_OK ? DCP_CALLBACK : code, failure, completion->what));
}

void dcp_completion_still_here(dcp_completion* completion) {
  if (completion != nullptr && !completion->forked()) completion->completion->StillHere();
}

void dcp_completion_free(dcp_completion* completion) { dcp::c_api::Free(completion); }

}  // extern "C"
