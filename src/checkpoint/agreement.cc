#include "checkpoint/agreement.h"

#include <algorithm>

#include "comm/pack.h"

namespace dcp {
namespace {

constexpr char kFine = 0;
constexpr char kFailed = 1;
constexpr size_t kFailuresTold = 4;  // in a message; all are in rank_failures()

std::string Fine(std::string_view message) { return std::string(1, kFine).append(message); }

std::string Failed(const std::vector<RankFailure>& failures) {
  return std::string(1, kFailed) + PackFailures(failures);
}

std::vector<RankFailure> InStep(std::vector<RankFailure> failures, std::string_view step) {
  for (RankFailure& failure : failures) failure.step = step;
  return failures;
}

}  // namespace

void Agreement::StillHere() {
  lease_.Renew();
  comm_.StillHere(coordinator_, silence_);
}

Result<std::vector<std::string>> Agreement::Gather(std::string_view step,
                                                   Result<std::string> mine) {
  failures_.clear();
  own_failure_ = mine.status();
  std::string message =
      mine.ok() ? Fine(*mine) : Failed({{comm_.rank(), std::string(step), mine.status()}});
  const Lease::Awake awake(&lease_);
  Result<Communicator::Gathered> gathered =
      comm_.Gather(std::move(message), coordinator_, silence_);
  if (!gathered.ok()) {
    // What this rank itself failed with says more than that nobody listens any longer.
    if (!own_failure_.ok()) return own_failure_;
    return Unheard(step, gathered.status(), "gathering");
  }
  if (!is_coordinator()) return std::vector<std::string>();
  std::vector<std::string> all = std::move(gathered->buffers);
  if (all.size() != static_cast<size_t>(comm_.world_size())) {
    return Error(Code::kCallback, "the communicator gathered {} buffers from {} ranks", all.size(),
                 comm_.world_size());
  }
  std::vector<bool> failed(all.size(), false);
  for (const RankFailure& failure : gathered->failed) {
    AddFailure(failure.rank, step, failure.status);
    failed[static_cast<size_t>(failure.rank)] = true;
    all[static_cast<size_t>(failure.rank)].clear();
  }
  for (size_t i = 0; i < all.size(); ++i) {
    std::string& received = all[i];
    // Beside those that are missing some communicators give nothing of the others.
    if (failed[i] || (received.empty() && !gathered->failed.empty())) continue;
    const auto rank = static_cast<int32_t>(i);
    if (!received.empty() && received[0] == kFine) {
      received.erase(0, 1);
      continue;
    }
    Result<std::vector<RankFailure>> told =
        UnpackFailures(received.empty() ? received : received.substr(1));
    AddFailure(rank, step, told.ok() ? told->front().status : told.status());
    received.clear();
  }
  return all;
}

void Agreement::AddFailure(int32_t rank, std::string_view step, const Status& status) {
  if (rank == comm_.rank() && own_failure_.ok()) own_failure_ = status;
  failures_.push_back({rank, std::string(step), status});
}

Result<std::string> Agreement::Scatter(std::string_view step, std::vector<std::string> parts) {
  if (is_coordinator()) {
    if (failures_.empty()) {
      for (std::string& part : parts) part.insert(0, 1, kFine);
    } else {
      parts.assign(static_cast<size_t>(comm_.world_size()), Failed(failures_));
    }
  }
  const Lease::Awake awake(&lease_);
  return Open(step, comm_.Scatter(std::move(parts), coordinator_, silence_));
}

Result<std::string> Agreement::Broadcast(std::string_view step, std::string message) {
  std::string sent;
  if (is_coordinator()) sent = failures_.empty() ? Fine(message) : Failed(failures_);
  const Lease::Awake awake(&lease_);
  return Open(step, comm_.Broadcast(std::move(sent), coordinator_, silence_));
}

Result<std::string> Agreement::Open(std::string_view step, Result<std::string> received) {
  decision_unknown_ = !received.ok();
  if (!received.ok()) {
    if (!failures_.empty()) return Shared(failures_);  // the coordinator knows what it said
    if (!own_failure_.ok()) return own_failure_;
    return Unheard(step, received.status(), "waiting for the end of");
  }
  if (!received->empty() && (*received)[0] == kFine) {
    received->erase(0, 1);
    return received;
  }
  Result<std::vector<RankFailure>> failures =
      UnpackFailures(received->empty() ? *received : received->substr(1));
  if (!failures.ok()) {
    decision_unknown_ = true;
    return failures.status();
  }
  return Shared(*std::move(failures));
}

// The communicator failed; ranks that it names failed in this step.
Status Agreement::Unheard(std::string_view step, const Status& status,
                          std::string_view doing) const {
  Status told = status.WithContext(fmt::format("{}, {} step '{}'", action_, doing, step));
  if (status.rank_failures().empty()) return told;
  return told.WithRankFailures(InStep(status.rank_failures(), step));
}

Status Agreement::Shared(std::vector<RankFailure> failures) const {
  for (RankFailure& failure : failures) {
    if (failure.rank == comm_.rank() && !own_failure_.ok()) failure.status = own_failure_;
  }
  if (comm_.world_size() == 1) {
    const Status only = failures.front().status;
    return only.WithRankFailures(std::move(failures));
  }
  std::sort(failures.begin(), failures.end(),
            [](const RankFailure& a, const RankFailure& b) { return a.rank < b.rank; });
  bool unknown = false;
  std::string message = fmt::format("the {} failed in step '{}'", action_, failures.front().step);
  for (size_t i = 0; i < failures.size(); ++i) {
    const RankFailure& failure = failures[i];
    unknown = unknown || failure.status.code() == Code::kOutcomeUnknown;
    if (i < kFailuresTold) {
      message += fmt::format("{} rank {}: {}", i == 0 ? " on" : ";", failure.rank,
                             failure.status.ToString());
    } else if (i == kFailuresTold) {
      message += fmt::format("; and on {} more", failures.size() - i);
    }
  }
  return Status(unknown ? Code::kOutcomeUnknown : Code::kRankFailed, std::move(message))
      .WithRankFailures(std::move(failures));
}

}  // namespace dcp
