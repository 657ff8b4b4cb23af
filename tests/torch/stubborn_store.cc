#include "stubborn_store.h"

#include <algorithm>
#include <stdexcept>

// With the state locked.
std::unique_lock<std::mutex> StubbornStore::Enter() {
  std::unique_lock lock(state_->mutex);
  if (original_) ++state_->calls_of_original;
  state_->changed.wait(lock, [this] { return !state_->frozen; });
  if (!state_->failure.empty()) throw std::runtime_error(state_->failure);
  return lock;
}

c10::intrusive_ptr<c10d::Store> StubbornStore::clone() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return !state_->frozen; });
  return c10::make_intrusive<StubbornStore>(state_, false);
}

void StubbornStore::set(const std::string& key, const std::vector<uint8_t>& value) {
  const auto lock = Enter();
  state_->values[key] = value;
  state_->largest = std::max(state_->largest, value.size());
  state_->changed.notify_all();
}

std::vector<uint8_t> StubbornStore::get(const std::string& key) {
  const auto lock = Enter();
  return state_->values.at(key);
}

int64_t StubbornStore::add(const std::string&, int64_t) {
  throw std::runtime_error("add is not needed");
}

bool StubbornStore::deleteKey(const std::string& key) {
  const auto lock = Enter();
  if (state_->keeps_keys) throw std::runtime_error("keys are kept\nfor ever");
  return state_->values.erase(key) > 0;
}

bool StubbornStore::check(const std::vector<std::string>& keys) {
  const auto lock = Enter();
  return std::all_of(keys.begin(), keys.end(),
                     [this](const std::string& key) { return state_->values.count(key) > 0; });
}

int64_t StubbornStore::getNumKeys() {
  const auto lock = Enter();
  return static_cast<int64_t>(state_->values.size());
}

void StubbornStore::wait(const std::vector<std::string>& keys) { wait(keys, timeout_); }

void StubbornStore::wait(const std::vector<std::string>& keys,
                         const std::chrono::milliseconds& timeout) {
  auto lock = Enter();
  const auto there = [&] {
    return std::all_of(keys.begin(), keys.end(),
                       [this](const std::string& key) { return state_->values.count(key) > 0; });
  };
  if (!state_->changed.wait_for(lock, timeout, there)) throw std::runtime_error("wait timeout");
}
