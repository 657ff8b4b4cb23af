/* Saves and loads in which a storage writer, a storage reader or a planner fails on some ranks: run
 * on each rank of a communicator, over dcp.h alone. Upstream's TestDistributedFailure. */
#ifndef DCP_TESTS_CONFORMANCE_FAULT_MATRIX_H_
#define DCP_TESTS_CONFORMANCE_FAULT_MATRIX_H_

#include <stddef.h>

#include "dcp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of 4 ranks, or of 1. Every rank calls it. Each case must fail on every rank with exactly the bad
 * ranks, the step and the kind of failure, and with the host's own exception where it was raised;
 * saves run in the foreground and in the background. 0 when all is well, and then *runs counts the
 * saves and loads; else `wrong` says what is not. */
int fault_matrix(dcp_communicator* comm, int* runs, char* wrong, size_t wrong_size);

#ifdef __cplusplus
}
#endif

#endif /* DCP_TESTS_CONFORMANCE_FAULT_MATRIX_H_ */
