#include "checkpoint/lease.h"

#include <algorithm>
#include <system_error>

namespace dcp {
namespace {

constexpr int kRenewals = 20;  // in the time of a lease
constexpr std::chrono::milliseconds kLongestPause{1000};

}  // namespace

void Lease::Renew() {
  if (renewed_.load() != 0 && over()) return;
  renewed_.store(Clock::now().time_since_epoch().count());
}

bool Lease::over() const {
  if (silence_ms_ < 0) return false;
  if (over_.load()) return true;
  const Clock::duration passed(Clock::now().time_since_epoch().count() - renewed_.load());
  if (passed < std::chrono::milliseconds(silence_ms_)) return false;
  over_.store(true);
  return true;
}

Status Lease::Check(std::string_view what) const {
  if (!over()) return Status::Ok();
  return Error(Code::kTimeout,
               "{} is left undone: this rank said nothing for {} s, and the others have gone on "
               "without it",
               what, static_cast<double>(silence_ms_) / 1000);
}

Lease::Awake::Awake(Lease* lease) {
  lease->Renew();
  if (lease->silence_ms_ < 0) return;
  const auto pause =
      std::min(kLongestPause, std::chrono::milliseconds(lease->silence_ms_ / kRenewals + 1));
  try {
    thread_ = std::thread([this, lease, pause] {
      std::unique_lock lock(mutex_);
      while (!ended_.wait_for(lock, pause, [this] { return end_; })) lease->Renew();
    });
  } catch (const std::system_error&) {
    // The lease then ends with the silence, as if nothing were heard of the others.
  }
}

Lease::Awake::~Awake() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

}  // namespace dcp
