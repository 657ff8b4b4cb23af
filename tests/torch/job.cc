#include "job.h"

#include <cstdlib>
#include <thread>

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace {

c10::intrusive_ptr<c10d::Store> Open(const Job& job, const std::string& kind) {
  if (kind == "file") {
    return c10::make_intrusive<c10d::FileStore>(job.folder + "/store", job.size);
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(job.port);
  options.isServer = job.rank == 0;
  options.numWorkers = static_cast<size_t>(job.size);
  auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  if (kind == "tcp") return store;
  return c10::make_intrusive<c10d::PrefixStore>(
      "trainer", c10::make_intrusive<c10d::PrefixStore>("inner", store));
}

}  // namespace

Job::Job(const std::string& kind, int argc, char** argv) {
  if (argc < 5) std::abort();
  rank = std::atoi(argv[argc - 4]);
  size = std::atoi(argv[argc - 3]);
  port = std::atoi(argv[argc - 2]);
  folder = argv[argc - 1];
  store = Open(*this, kind);
}

Job::~Job() = default;

void Job::End() {
  store->add("through", 1);
  while (store->add("through", 0) < size) std::this_thread::yield();
  store->add("seen", 1);
  while (rank == 0 && store->add("seen", 0) < size) std::this_thread::yield();
}
