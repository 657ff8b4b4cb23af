#include "base/status.h"

#include <cerrno>
#include <cstring>
#include <system_error>

namespace dcp {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kIo:
      return "IO";
    case Code::kCorrupt:
      return "CORRUPT";
    case Code::kTimeout:
      return "TIMEOUT";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kCallback:
      return "CALLBACK";
    case Code::kRankFailed:
      return "RANK_FAILED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnsupported:
      return "UNSUPPORTED";
    case Code::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case Code::kForked:
      return "FORKED";
    case Code::kReplaced:
      return "REPLACED";
    case Code::kOutcomeUnknown:
      return "OUTCOME_UNKNOWN";
    case Code::kMismatch:
      return "MISMATCH";
    case Code::kLimit:
      return "LIMIT";
  }
  return "UNKNOWN";
}

Foreign::Foreign(void* payload, void (*retain)(void*), void (*release)(void*)) {
  if (payload == nullptr) return;
  if (retain != nullptr) retain(payload);
  holder_.reset(new Holder{payload, release});  // no temporary: its destructor releases
}

Foreign::Holder::~Holder() {
  if (release != nullptr) release(payload);
}

struct Status::Rep {
  Code code;
  std::string message;
  std::vector<std::pair<std::string, std::string>> details;
  std::vector<RankFailure> rank_failures;
  Foreign foreign;
};

Status::Status(Code code, std::string message) {
  if (code == Code::kOk) return;
  auto rep = std::make_shared<Rep>();
  rep->code = code;
  rep->message = std::move(message);
  rep_ = std::move(rep);
}

Code Status::code() const { return rep_ ? rep_->code : Code::kOk; }

const std::string& Status::message() const {
  static const std::string empty;
  return rep_ ? rep_->message : empty;
}

const std::vector<std::pair<std::string, std::string>>& Status::details() const {
  static const std::vector<std::pair<std::string, std::string>> none;
  return rep_ ? rep_->details : none;
}

const std::vector<RankFailure>& Status::rank_failures() const {
  static const std::vector<RankFailure> none;
  return rep_ ? rep_->rank_failures : none;
}

const Foreign& Status::foreign() const {
  static const Foreign none;
  return rep_ ? rep_->foreign : none;
}

Status Status::WithDetail(std::string key, std::string value) const {
  if (ok()) return *this;
  auto rep = std::make_shared<Rep>(*rep_);
  rep->details.emplace_back(std::move(key), std::move(value));
  Status changed;
  changed.rep_ = std::move(rep);
  return changed;
}

Status Status::WithContext(std::string_view prefix) const {
  if (ok()) return *this;
  auto rep = std::make_shared<Rep>(*rep_);
  rep->message = fmt::format("{}: {}", prefix, rep->message);
  Status changed;
  changed.rep_ = std::move(rep);
  return changed;
}

Status Status::WithForeign(Foreign foreign) const {
  if (ok()) return *this;
  auto rep = std::make_shared<Rep>(*rep_);
  rep->foreign = std::move(foreign);
  Status changed;
  changed.rep_ = std::move(rep);
  return changed;
}

Status Status::WithRankFailures(std::vector<RankFailure> failures) const {
  if (ok()) return *this;
  auto rep = std::make_shared<Rep>(*rep_);
  rep->rank_failures = std::move(failures);
  Status changed;
  changed.rep_ = std::move(rep);
  return changed;
}

std::string Status::ToString() const {
  return ok() ? "OK" : fmt::format("{}: {}", CodeName(code()), message());
}

Status ErrnoError(int error_number, std::string_view action, std::string_view path) {
  Code code = Code::kIo;
  if (error_number == ENOENT) code = Code::kNotFound;
  if (error_number == EEXIST) code = Code::kAlreadyExists;
  if (error_number == ENOMEM) code = Code::kOutOfMemory;
  return Error(code, "cannot {} '{}': {}", action, path,
               std::generic_category().message(error_number))
      .WithDetail("file", std::string(path))
      .WithDetail("errno", fmt::format("{}", error_number));
}

}  // namespace dcp
