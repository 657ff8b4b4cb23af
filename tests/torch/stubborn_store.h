// A c10d store in memory that can stop answering, or fail.
#ifndef DCP_TESTS_TORCH_STUBBORN_STORE_H_
#define DCP_TESTS_TORCH_STUBBORN_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <torch/csrc/distributed/c10d/Store.hpp>

// What all clones share.
struct StubbornState {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::vector<uint8_t>> values;
  bool frozen = false;      // no call returns
  std::string failure;      // of every call, unless empty
  bool keeps_keys = false;  // deleteKey fails
  size_t largest = 0;       // value that was ever set
  int calls_of_original = 0;

  void Freeze(bool on) {
    const std::lock_guard lock(mutex);
    frozen = on;
    changed.notify_all();
  }
};

class StubbornStore final : public c10d::Store {
 public:
  explicit StubbornStore(std::shared_ptr<StubbornState> state, bool original = true)
      : state_(std::move(state)), original_(original) {}

  using c10d::Store::set;
  c10::intrusive_ptr<c10d::Store> clone() override;
  void set(const std::string& key, const std::vector<uint8_t>& value) override;
  std::vector<uint8_t> get(const std::string& key) override;
  int64_t add(const std::string& key, int64_t value) override;
  bool deleteKey(const std::string& key) override;
  bool check(const std::vector<std::string>& keys) override;
  int64_t getNumKeys() override;
  void wait(const std::vector<std::string>& keys) override;
  void wait(const std::vector<std::string>& keys,
            const std::chrono::milliseconds& timeout) override;

 private:
  std::unique_lock<std::mutex> Enter();

  const std::shared_ptr<StubbornState> state_;
  const bool original_;
};

#endif  // DCP_TESTS_TORCH_STUBBORN_STORE_H_
