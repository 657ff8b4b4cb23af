#include "patient_thread.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace dcp_torch {
namespace {

constexpr size_t kMostWaiting = 64;
constexpr std::chrono::milliseconds kFarewell{1000};

}  // namespace

PatientThread::PatientThread() {
  std::thread([state = state_] { Work(state.get()); }).detach();
}

PatientThread::~PatientThread() {
  std::unique_lock lock(state_->mutex);
  if (state_->ended >= state_->given_up) {
    state_->changed.wait_for(lock, kFarewell, [this] { return state_->ended == state_->begun; });
  }
  state_->stop = true;
  state_->changed.notify_all();
}

void PatientThread::Work(State* state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    state->changed.wait(lock, [&] { return state->stop || !state->waiting.empty(); });
    if (state->stop) break;
    std::function<void()> call = std::move(state->waiting.front());
    state->waiting.pop_front();
    lock.unlock();
    call();
    call = nullptr;
    lock.lock();
    ++state->ended;
    state->changed.notify_all();
  }
  // What the rest holds is let go here, for that may take its time too.
  const std::deque<std::function<void()>> rest = std::move(state->waiting);
  lock.unlock();
}

PatientThread::Outcome PatientThread::Run(std::function<void()> call,
                                          std::chrono::milliseconds patience, Late late) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const bool stuck = state.ended < state.given_up;
  if (stuck && late == Late::kDrop && patience.count() >= 0) return Outcome::kGivenUp;
  if (state.waiting.size() >= kMostWaiting) return Outcome::kRefused;
  state.waiting.push_back(std::move(call));
  const uint64_t end = ++state.begun;
  state.changed.notify_all();
  const auto ended = [&] { return state.ended >= end; };
  if (patience.count() < 0) {
    state.changed.wait(lock, ended);
    return Outcome::kEnded;
  }
  if (!stuck && state.changed.wait_for(lock, patience, ended)) return Outcome::kEnded;
  state.given_up = std::max(state.given_up, end);
  return Outcome::kGivenUp;
}

PatientThread::Outcome PatientThread::Post(std::function<void()> call) {
  const std::lock_guard lock(state_->mutex);
  if (state_->waiting.size() >= kMostWaiting) return Outcome::kRefused;
  state_->waiting.push_back(std::move(call));
  ++state_->begun;
  state_->changed.notify_all();
  return Outcome::kGivenUp;
}

}  // namespace dcp_torch
