// The communicator suite over a c10d store: store_conformance tcp|file <rank> <size> <port>
// <folder>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "conformance/communicator_suite.h"
#include "dcp/torch.hpp"

namespace {

c10::intrusive_ptr<c10d::Store> Open(const std::string& kind, int rank, int size, int port,
                                     const std::string& folder) {
  if (kind == "file") return c10::make_intrusive<c10d::FileStore>(folder + "/store", size);
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(port);
  options.isServer = rank == 0;
  options.numWorkers = size;
  auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  return c10::make_intrusive<c10d::PrefixStore>("trainer", store);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const std::string kind = argv[1];
  const int rank = std::atoi(argv[2]);
  const int size = std::atoi(argv[3]);
  const auto store = Open(kind, rank, size, std::atoi(argv[4]), argv[5]);
  dcp_communicator* comm = nullptr;
  dcp_error* error = nullptr;
  if (dcp_torch::StoreCommunicator(store, "dcp", rank, size, 0, &comm, &error) != DCP_OK) {
    std::fprintf(stderr, "rank %d: %s\n", rank, dcp_error_message(error));
    return 1;
  }
  char wrong[1024] = "";
  const int failed = communicator_suite(
      comm, COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE | COMMUNICATOR_CHECKS_CALLS, 2000,
      wrong, sizeof wrong);
  if (failed != 0) std::fprintf(stderr, "%s\n", wrong);
  // The server goes with its rank: the others leave first.
  store->add("ended", 1);
  while (rank == 0 && store->add("ended", 0) < size) {
  }
  dcp_communicator_free(comm);
  return failed;
}
