/* The fault matrix on the ranks of MPI_COMM_WORLD: 4. */
#include "conformance/fault_matrix.h"

#include <dcp/mpi.h>
#include <stdio.h>

int main(int argc, char** argv) {
  int level = 0, runs = 0;
  char wrong[1024] = "";
  dcp_communicator* comm = NULL;
  dcp_error* error = NULL;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  if (dcp_mpi_communicator(MPI_COMM_WORLD, 60000, &comm, &error) != DCP_OK) {
    fprintf(stderr, "%s\n", dcp_error_message(error));
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  if (fault_matrix(comm, &runs, wrong, sizeof wrong)) {
    fprintf(stderr, "%s\n", wrong);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  if (dcp_communicator_rank(comm) == 0) printf("%d saves and loads\n", runs);
  MPI_Barrier(MPI_COMM_WORLD);
  dcp_communicator_free(comm);
  MPI_Finalize();
  return 0;
}
