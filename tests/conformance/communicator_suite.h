/* What every communicator must do, run on each of its ranks: over dcp.h alone, so that it serves
 * the built-in ones, adapters, and tables that a test plugs in. */
#ifndef DCP_TESTS_CONFORMANCE_COMMUNICATOR_SUITE_H_
#define DCP_TESTS_CONFORMANCE_COMMUNICATOR_SUITE_H_

#include <stddef.h>
#include <stdint.h>

#include "dcp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum communicator_traits {
  COMMUNICATOR_RECOVERS = 1,        /* a late rank hears what was done without it, and all go on */
  COMMUNICATOR_SAYS_STILL_HERE = 2, /* a rank that says that it is at work is waited for */
  COMMUNICATOR_CHECKS_CALLS = 4     /* ranks that make different calls are told so */
};

/* Every rank calls it with the same arguments but for `comm`. `silence_ms`: the timeout in the
 * scenarios where ranks are late. 0 when all is well; else `wrong` says what is not. */
int communicator_suite(dcp_communicator* comm, int traits, int64_t silence_ms, char* wrong,
                       size_t wrong_size);

#ifdef __cplusplus
}
#endif

#endif /* DCP_TESTS_CONFORMANCE_COMMUNICATOR_SUITE_H_ */
