/* The communicators that the library has of its own. */
#include <pthread.h>

#include "conformance/rank_threads.h"
#include "support/cmocka.h"

static void single(void** state) {
  (void)state;
  char wrong[1024];
  dcp_communicator* comm = NULL;
  assert_int_equal(dcp_communicator_single(&comm, NULL), DCP_OK);
  if (communicator_suite(comm, 0, SILENCE_MS, wrong, sizeof wrong) != 0) fail_msg("%s", wrong);
  dcp_communicator_free(comm);
}

static void local(void** state) {
  (void)state;
  for (int32_t size = 2; size <= MOST_RANKS; size += 3) {
    dcp_communicator* comms[MOST_RANKS];
    assert_int_equal(dcp_communicator_local(size, comms, NULL), DCP_OK);
    run_suite_on_threads(
        comms, size,
        COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE | COMMUNICATOR_CHECKS_CALLS);
  }
}

static void local_sizes(void** state) {
  (void)state;
  dcp_communicator* comms[1] = {NULL};
  for (int32_t size = -1; size <= 4097; size += size == 0 ? 4097 : 1) {
    assert_int_equal(dcp_communicator_local(size, comms, NULL), DCP_INVALID_ARGUMENT);
    assert_null(comms[0]);
  }
}

/* A rank that has gone is missed at once, whatever the timeout. */
static void a_rank_that_left(void** state) {
  (void)state;
  dcp_communicator* comms[3];
  dcp_error* error = NULL;
  dcp_buffers* all = NULL;
  int32_t rank = -1;
  assert_int_equal(dcp_communicator_local(3, comms, NULL), DCP_OK);
  dcp_communicator_free(comms[1]);
  assert_int_equal(dcp_communicator_gather(comms[2], "two", 3, 0, -1, &all, NULL), DCP_OK);
  dcp_buffers_free(all);
  assert_int_equal(dcp_communicator_gather(comms[0], "none", 4, 0, -1, &all, &error),
                   DCP_RANK_FAILED);
  assert_int_equal(dcp_error_rank_failure_count(error), 1);
  assert_non_null(dcp_error_rank_failure(error, 0, &rank, NULL));
  assert_int_equal(rank, 1);
  assert_int_equal(dcp_buffers_count(all), 3);
  size_t size = 0;
  assert_memory_equal(dcp_buffers_at(all, 2, &size), "two", 3);
  assert_int_equal(size, 3);
  dcp_buffers_free(all);
  dcp_error_free(error);
  dcp_communicator_free(comms[0]);
  dcp_communicator_free(comms[2]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(single),
      cmocka_unit_test(local),
      cmocka_unit_test(local_sizes),
      cmocka_unit_test(a_rank_that_left),
  };
  return cmocka_run_group_tests_name("conformance/communicator/local", tests, NULL, NULL);
}
