#include "job.h"

#include <cstdlib>
#include <thread>

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

Job::Job(const std::string& kind, int argc, char** argv) {
  if (argc < 6) std::abort();
  char** const last = argv + argc - 5;
  rank = std::atoi(last[0]);
  size = std::atoi(last[1]);
  folder = last[4];
  if (kind == "file") {
    store = c10::make_intrusive<c10d::FileStore>(folder + "/store", size);
    return;
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(std::atoi(last[2]));
  options.isServer = rank == 0;
  if (rank == 0) options.masterListenFd = std::atoi(last[3]);
  options.numWorkers = static_cast<size_t>(size);
  store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  if (kind == "prefix") {
    auto inner = c10::make_intrusive<c10d::PrefixStore>("inner", store);
    store = c10::make_intrusive<c10d::PrefixStore>("trainer", inner);
  }
}

Job::~Job() = default;

void Job::End() {
  store->add("through", 1);
  while (store->add("through", 0) < size) std::this_thread::yield();
  store->add("seen", 1);
  while (rank == 0 && store->add("seen", 0) < size) std::this_thread::yield();
}
