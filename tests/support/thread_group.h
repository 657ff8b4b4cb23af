// N ranks as N threads of one process: a communicator for tests of what ranks agree on.
#ifndef DCP_TESTS_SUPPORT_THREAD_GROUP_H_
#define DCP_TESTS_SUPPORT_THREAD_GROUP_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"

namespace dcp {

class ThreadGroup {
 public:
  explicit ThreadGroup(int32_t size) : given_(static_cast<size_t>(size)) {
    for (int32_t rank = 0; rank < size; ++rank) {
      ranks_.push_back(std::make_unique<Rank>(this, rank));
    }
  }

  int32_t size() const { return static_cast<int32_t>(ranks_.size()); }

  // Runs body(communicator) on a thread for each rank and waits for all.
  void Run(const std::function<void(Communicator&)>& body) {
    std::vector<std::thread> threads;
    for (auto& rank : ranks_) threads.emplace_back([&body, &rank] { body(*rank); });
    for (std::thread& thread : threads) thread.join();
  }

 private:
  using Buffers = std::vector<std::string>;

  class Rank final : public Communicator {
   public:
    Rank(ThreadGroup* group, int32_t rank) : group_(group), rank_(rank) {}
    int32_t rank() const override { return rank_; }
    int32_t world_size() const override { return group_->size(); }

    Result<Buffers> Gather(std::string bytes, int32_t root, Deadline deadline) override {
      DCP_ASSIGN_OR_RETURN(auto all, group_->Exchange(rank_, {std::move(bytes)}, deadline));
      Buffers gathered;
      if (rank_ == root) {
        for (Buffers& buffers : all) gathered.push_back(std::move(buffers[0]));
      }
      return gathered;
    }
    Result<std::string> Scatter(Buffers parts, int32_t root, Deadline deadline) override {
      DCP_ASSIGN_OR_RETURN(auto all, group_->Exchange(rank_, std::move(parts), deadline));
      return all[static_cast<size_t>(root)][static_cast<size_t>(rank_)];
    }
    Result<std::string> Broadcast(std::string bytes, int32_t root, Deadline deadline) override {
      DCP_ASSIGN_OR_RETURN(auto all, group_->Exchange(rank_, {std::move(bytes)}, deadline));
      return all[static_cast<size_t>(root)][0];
    }
    Status Barrier(Deadline deadline) override {
      return group_->Exchange(rank_, {}, deadline).status();
    }

   private:
    ThreadGroup* group_;
    int32_t rank_;
  };

  // Every rank gives its buffers and gets those of all.
  Result<std::vector<Buffers>> Exchange(int32_t rank, Buffers mine, Deadline deadline) {
    std::unique_lock lock(mutex_);
    given_[static_cast<size_t>(rank)] = std::move(mine);
    uint64_t round = round_;
    present_.push_back(rank);
    if (present_.size() == given_.size()) {
      taken_ = given_;
      present_.clear();
      ++round_;
      all_there_.notify_all();
    } else if (deadline.never()) {
      all_there_.wait(lock, [&] { return round_ != round; });
    } else if (!all_there_.wait_until(lock, deadline.at(), [&] { return round_ != round; })) {
      std::string missing;
      for (int32_t other = 0; other < size(); ++other) {
        bool there = false;
        for (int32_t one : present_) there = there || one == other;
        if (!there) missing += (missing.empty() ? "" : ", ") + std::to_string(other);
      }
      return Error(Code::kTimeout, "waited in vain for rank {}", missing);
    }
    return taken_;
  }

  std::mutex mutex_;
  std::condition_variable all_there_;
  uint64_t round_ = 0;
  std::vector<int32_t> present_;
  std::vector<Buffers> given_;
  std::vector<Buffers> taken_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_THREAD_GROUP_H_
