// The communicator suite over a c10d store: conformance <store> and what processes.py adds.
#include <cstdio>

#include "conformance/communicator_suite.h"
#include "job.h"

int main(int argc, char** argv) {
  Job job(argv[1], argc, argv);
  dcp_communicator* comm = nullptr;
  dcp_error* error = nullptr;
  const dcp_torch::StoreOptions options = {"libdcp/1", 0};
  if (dcp_torch::StoreCommunicator(job.store, job.rank, job.size, options, &comm, &error) !=
      DCP_OK) {
    std::fprintf(stderr, "rank %d: %s\n", job.rank, dcp_error_message(error));
    return 1;
  }
  char wrong[1024] = "";
  const int failed = communicator_suite(
      comm, COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE | COMMUNICATOR_CHECKS_CALLS, 1500,
      wrong, sizeof wrong);
  if (failed != 0) std::fprintf(stderr, "%s\n", wrong);
  dcp_communicator_free(comm);
  job.End();
  return failed;
}
