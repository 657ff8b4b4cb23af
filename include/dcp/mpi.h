/* dcp/mpi.h - ranks that talk over MPI: libdcp_mpi.so, built on dcp.h and nothing else of libdcp.
 */
#ifndef DCP_MPI_H
#define DCP_MPI_H

#include <dcp.h>
#include <mpi.h>

#if defined(DCP_STATIC)
#define DCP_MPI_API
#else
#define DCP_MPI_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** A communicator of the ranks of `comm`, an intracommunicator, on a duplicate of it: the library's
 *  messages and the program's never meet. Collective; waits up to `timeout_ms` for all to come
 *  (negative: for ever; DCP_TIMEOUT else). *out is [owned]; free it before MPI_Finalize.
 *
 *  DCP_UNSUPPORTED unless MPI was initialised with MPI_THREAD_MULTIPLE: messages are brought on
 *  their way by a thread, and background saves talk on threads of their own.
 *
 *  A rank that dies or hangs is named by the others. Open MPI's mpirun kills them all when one
 * dies, unless it is told --enable-recovery; MPI_Finalize may then wait in vain for the dead rank,
 * so end with _exit. */
DCP_MPI_API dcp_status dcp_mpi_communicator(MPI_Comm comm, int64_t timeout_ms,
                                            dcp_communicator **out, dcp_error **error);

#ifdef __cplusplus
}
#endif

#endif /* DCP_MPI_H */
