/* lost_rank.py's program over MPI; see doomed_save.h for its arguments. */
#include <dcp/mpi.h>
#include <stdio.h>
#include <unistd.h>

#include "lost_rank/doomed_save.h"

int main(int argc, char** argv) {
  int level = 0;
  dcp_communicator* comm = NULL;
  dcp_error* error = NULL;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  if (argc != 1 + DOOMED_SAVE_ARGUMENTS) _exit(2);
  if (dcp_mpi_communicator(MPI_COMM_WORLD, 60000, &comm, &error) != DCP_OK) {
    fprintf(stderr, "%s\n", error == NULL ? "?" : dcp_error_message(error));
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  if (doomed_save(comm, argv + 1) != 0) MPI_Abort(MPI_COMM_WORLD, 2);
  /* MPI_Finalize would wait for the dead. */
  _exit(0);
}
