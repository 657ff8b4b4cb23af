// lost_rank.py's program over a TCPStore that rank 0 hosts: doomed_save.h's arguments, and what
// ranks.py adds. Ends at the end of its input, for the store ends with rank 0.
#include <unistd.h>

#include <cstdio>

#include "job.h"
#include "lost_rank/doomed_save.h"

int main(int argc, char** argv) {
  Job job("tcp", argc, argv);
  dcp_communicator* comm = nullptr;
  dcp_error* error = nullptr;
  if (dcp_torch::StoreCommunicator(job.store, job.rank, job.size, {"libdcp/1", 0}, &comm, &error) !=
      DCP_OK) {
    std::fprintf(stderr, "%s\n", dcp_error_message(error));
    _exit(2);
  }
  if (doomed_save(comm, argv + 1) != 0) _exit(2);
  while (std::getchar() != EOF) {
  }
  _exit(0);
}
