// The communicator suite over c10d: conformance <store or "gloo"> and what ranks.py adds; with
// "faults" before the store the fault matrix, for 4 ranks.
#include <cstdio>
#include <string>

#include "conformance/communicator_suite.h"
#include "conformance/fault_matrix.h"
#include "job.h"

namespace {

dcp_status Make(Job* job, const std::string& kind, dcp_communicator** out, dcp_error** error) {
#ifdef DCP_TEST_GLOO
  if (kind == "gloo") {
    RegisterGlooGroup(job, "trainer");
    return dcp_torch_communicator_from_group_name("trainer", "libdcp/1", 0, 60000, out, error);
  }
#endif
  (void)kind;
  return dcp_torch::StoreCommunicator(job->store, job->rank, job->size, {"libdcp/1", 0}, out,
                                      error);
}

}  // namespace

int main(int argc, char** argv) {
  const bool faults = std::string(argv[1]) == "faults";
  const char* const kind = argv[faults ? 2 : 1];
  Job job(kind, argc, argv);
  dcp_communicator* comm = nullptr;
  dcp_error* error = nullptr;
  if (Make(&job, kind, &comm, &error) != DCP_OK) {
    std::fprintf(stderr, "rank %d: %s\n", job.rank, dcp_error_message(error));
    return 1;
  }
  char wrong[1024] = "";
  int runs = 0;
  const int failed = faults
                         ? fault_matrix(comm, &runs, wrong, sizeof wrong)
                         : communicator_suite(comm,
                                              COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE |
                                                  COMMUNICATOR_CHECKS_CALLS,
                                              1500, wrong, sizeof wrong);
  if (faults && job.rank == 0) std::printf("%d saves and loads\n", runs);
  if (failed != 0) std::fprintf(stderr, "%s\n", wrong);
  dcp_communicator_free(comm);
  job.End();
  return failed;
}
