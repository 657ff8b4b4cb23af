// A body on the ranks of a local group, each on a thread.
#ifndef DCP_TESTS_SUPPORT_THREAD_GROUP_H_
#define DCP_TESTS_SUPPORT_THREAD_GROUP_H_

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "comm/local.h"

namespace dcp {

class ThreadGroup {
 public:
  explicit ThreadGroup(int32_t size) : ranks_(NewLocalCommunicators(size)) {}

  // Runs body(communicator) on a thread for each rank and waits for all.
  void Run(const std::function<void(Communicator&)>& body) {
    std::vector<std::thread> threads;
    for (auto& rank : ranks_) threads.emplace_back([&body, &rank] { body(*rank); });
    for (std::thread& thread : threads) thread.join();
  }

 private:
  std::vector<std::unique_ptr<Communicator>> ranks_;
};

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_THREAD_GROUP_H_
