/* The suite on ranks that are threads of this process. */
#ifndef DCP_TESTS_CONFORMANCE_RANK_THREADS_H_
#define DCP_TESTS_CONFORMANCE_RANK_THREADS_H_

#include "conformance/communicator_suite.h"

enum { MOST_RANKS = 8, SILENCE_MS = 1000 };

/* Runs the suite on comms[0] to comms[size - 1] and frees them; fails the cmocka test when it fails
 * on any. */
void run_suite_on_threads(dcp_communicator** comms, int32_t size, int traits);

#endif /* DCP_TESTS_CONFORMANCE_RANK_THREADS_H_ */
