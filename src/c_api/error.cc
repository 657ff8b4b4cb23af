#include "c_api/error.h"

#include <algorithm>

static_assert(static_cast<int32_t>(dcp::Code::kOk) == DCP_OK);
static_assert(static_cast<int32_t>(dcp::Code::kInvalidArgument) == DCP_INVALID_ARGUMENT);
static_assert(static_cast<int32_t>(dcp::Code::kNotFound) == DCP_NOT_FOUND);
static_assert(static_cast<int32_t>(dcp::Code::kAlreadyExists) == DCP_ALREADY_EXISTS);
static_assert(static_cast<int32_t>(dcp::Code::kIo) == DCP_IO);
static_assert(static_cast<int32_t>(dcp::Code::kCorrupt) == DCP_CORRUPT);
static_assert(static_cast<int32_t>(dcp::Code::kTimeout) == DCP_TIMEOUT);
static_assert(static_cast<int32_t>(dcp::Code::kCancelled) == DCP_CANCELLED);
static_assert(static_cast<int32_t>(dcp::Code::kCallback) == DCP_CALLBACK);
static_assert(static_cast<int32_t>(dcp::Code::kRankFailed) == DCP_RANK_FAILED);
static_assert(static_cast<int32_t>(dcp::Code::kInternal) == DCP_INTERNAL);
static_assert(static_cast<int32_t>(dcp::Code::kUnsupported) == DCP_UNSUPPORTED);
static_assert(static_cast<int32_t>(dcp::Code::kOutOfMemory) == DCP_OUT_OF_MEMORY);
static_assert(static_cast<int32_t>(dcp::Code::kForked) == DCP_FORKED);
static_assert(static_cast<int32_t>(dcp::Code::kReplaced) == DCP_REPLACED);
static_assert(static_cast<int32_t>(dcp::Code::kOutcomeUnknown) == DCP_OUTCOME_UNKNOWN);
static_assert(static_cast<int32_t>(dcp::Code::kMismatch) == DCP_MISMATCH);
static_assert(static_cast<int32_t>(dcp::Code::kLimit) == DCP_LIMIT);

using dcp::Status;

namespace {

bool IsKnownFailure(dcp_status status) {
  return status >= DCP_INVALID_ARGUMENT && status <= DCP_LIMIT;
}

}  // namespace

dcp_error::dcp_error(Status of) : status(std::move(of)) {
  for (const dcp::RankFailure& failure : status.rank_failures()) {
    ranks.push_back(std::make_unique<dcp_error>(failure.status));
  }
}

namespace dcp::c_api {

dcp_status Deliver(const Status& status, dcp_error** error) noexcept {
  if (status.ok()) return DCP_OK;
  if (error != nullptr) {
    try {
      *error = new dcp_error(status);
    } catch (...) {
      *error = nullptr;
    }
  }
  return static_cast<dcp_status>(status.code());
}

Status CopyVersioned(const void* from, uint64_t from_size, size_t minimum, void* to, size_t to_size,
                     const char* what) {
  constexpr uint64_t kAbsurd = 1 << 16;
  if (from_size < minimum || from_size > kAbsurd) {
    return Error(Code::kInvalidArgument,
                 "{} has struct_size {}: fill it with its _init function or sizeof", what,
                 from_size);
  }
  const auto* bytes = static_cast<const unsigned char*>(from);
  for (uint64_t i = to_size; i < from_size; ++i) {
    if (bytes[i] != 0) {
      return Error(Code::kInvalidArgument,
                   "{} sets a field that this version of libdcp does not know (byte {})", what, i);
    }
  }
  std::memcpy(to, from, std::min<uint64_t>(from_size, to_size));
  return Status::Ok();
}

Status FromCallback(dcp_status code, dcp_error* error, const char* callback) {
  std::unique_ptr<dcp_error> taken(error);
  if (code == DCP_OK) return Status::Ok();
  Code as = IsKnownFailure(code) ? static_cast<Code>(code) : Code::kCallback;
  if (taken == nullptr) {
    return Error(as, "callback {} failed", callback).WithDetail("callback", callback);
  }
  Status status = taken->status;
  if (status.code() != as) {
    Status recoded(as, status.message());
    for (const auto& [key, value] : status.details()) recoded = recoded.WithDetail(key, value);
    status = recoded.WithForeign(status.foreign()).WithRankFailures(status.rank_failures());
  }
  return status.WithDetail("callback", callback);
}

}  // namespace dcp::c_api

extern "C" {

const char* dcp_status_name(dcp_status status) {
  if (status < DCP_OK || status > DCP_LIMIT) return "UNKNOWN";
  return dcp::CodeName(static_cast<dcp::Code>(status)).data();
}

dcp_error* dcp_error_new(dcp_status status, const char* message) {
  try {
    auto code = IsKnownFailure(status) ? static_cast<dcp::Code>(status) : dcp::Code::kCallback;
    return new dcp_error(Status(code, message == nullptr ? "" : message));
  } catch (...) {
    return nullptr;
  }
}

void dcp_error_add_detail(dcp_error* error, const char* key, const char* value) {
  if (error == nullptr || key == nullptr || value == nullptr) return;
  try {
    error->status = error->status.WithDetail(key, value);
  } catch (...) {  // without memory the detail is lost, the error is not
  }
}

void dcp_error_set_foreign(dcp_error* error, void* payload, void (*retain)(void*),
                           void (*release)(void*)) {
  if (error == nullptr) {
    if (retain == nullptr && release != nullptr && payload != nullptr) release(payload);
    return;
  }
  try {
    error->status = error->status.WithForeign(dcp::Foreign(payload, retain, release));
  } catch (...) {  // the payload is lost for want of memory, the error is not
  }
}

void* dcp_error_foreign(const dcp_error* error) {
  return error == nullptr ? nullptr : error->status.foreign().get();
}

void dcp_error_add_rank_failure(dcp_error* error, int32_t rank, const char* step,
                                dcp_error* failure) {
  const std::unique_ptr<dcp_error> taken(failure);
  if (error == nullptr) return;
  try {
    Status status(dcp::Code::kTimeout, "nothing was heard of it in time");
    if (taken != nullptr) status = taken->status;
    std::vector<dcp::RankFailure> failures = error->status.rank_failures();
    failures.push_back({rank, step == nullptr ? "" : step, std::move(status)});
    *error = dcp_error(error->status.WithRankFailures(std::move(failures)));
  } catch (...) {  // without memory the rank goes unnamed
  }
}

dcp_status dcp_error_status(const dcp_error* error) {
  return error == nullptr ? DCP_OK : static_cast<dcp_status>(error->status.code());
}

const char* dcp_error_message(const dcp_error* error) {
  return error == nullptr ? "" : error->status.message().c_str();
}

const char* dcp_error_detail(const dcp_error* error, const char* key) {
  if (error == nullptr || key == nullptr) return nullptr;
  for (const auto& [name, value] : error->status.details()) {
    if (name == key) return value.c_str();
  }
  return nullptr;
}

size_t dcp_error_detail_count(const dcp_error* error) {
  return error == nullptr ? 0 : error->status.details().size();
}

const char* dcp_error_detail_key(const dcp_error* error, size_t index) {
  return index < dcp_error_detail_count(error) ? error->status.details()[index].first.c_str()
                                               : nullptr;
}

const char* dcp_error_detail_value(const dcp_error* error, size_t index) {
  return index < dcp_error_detail_count(error) ? error->status.details()[index].second.c_str()
                                               : nullptr;
}

size_t dcp_error_rank_failure_count(const dcp_error* error) {
  return error == nullptr ? 0 : error->ranks.size();
}

const dcp_error* dcp_error_rank_failure(const dcp_error* error, size_t index, int32_t* rank,
                                        const char** step) {
  if (index >= dcp_error_rank_failure_count(error)) return nullptr;
  const dcp::RankFailure& failure = error->status.rank_failures()[index];
  if (rank != nullptr) *rank = failure.rank;
  if (step != nullptr) *step = failure.step.c_str();
  return error->ranks[index].get();
}

dcp_error* dcp_error_copy(const dcp_error* error) {
  if (error == nullptr) return nullptr;
  try {
    return new dcp_error(error->status);
  } catch (...) {
    return nullptr;
  }
}

void dcp_error_free(dcp_error* error) { dcp::c_api::Free(error); }

}  // extern "C"
