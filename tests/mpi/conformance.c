/* The communicator suite on the ranks of MPI_COMM_WORLD. */
#include <dcp/mpi.h>
#include <stdio.h>

#include "conformance/communicator_suite.h"

int main(int argc, char** argv) {
  int level = 0;
  char wrong[1024] = "";
  dcp_communicator* comm = NULL;
  dcp_error* error = NULL;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  if (dcp_mpi_communicator(MPI_COMM_WORLD, 60000, &comm, &error) != DCP_OK) {
    fprintf(stderr, "%s\n", dcp_error_message(error));
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  int failed = communicator_suite(
      comm, COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE | COMMUNICATOR_CHECKS_CALLS, 1500,
      wrong, sizeof wrong);
  if (failed) {
    fprintf(stderr, "%s\n", wrong);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  dcp_communicator_free(comm);
  MPI_Finalize();
  return 0;
}
