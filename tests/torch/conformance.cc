// The communicator suite over c10d: conformance <store or "gloo"> and what ranks.py adds.
#include <cstdio>
#include <string>

#include "conformance/communicator_suite.h"
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
  Job job(argv[1], argc, argv);
  dcp_communicator* comm = nullptr;
  dcp_error* error = nullptr;
  if (Make(&job, argv[1], &comm, &error) != DCP_OK) {
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
