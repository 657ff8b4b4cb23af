/* The fault matrix on the ranks of one process, and on one rank. */
#include <pthread.h>
#include <stdio.h>

#include "conformance/fault_matrix.h"
#include "support/cmocka.h"

enum { RANKS = 4 };

typedef struct rank_thread {
  dcp_communicator* comm;
  int runs;
  int failed;
  char wrong[1024];
} rank_thread;

static void* run_rank(void* data) {
  rank_thread* self = data;
  self->failed = fault_matrix(self->comm, &self->runs, self->wrong, sizeof self->wrong);
  dcp_communicator_free(self->comm);
  return NULL;
}

static void four_ranks(void** state) {
  (void)state;
  pthread_t threads[RANKS];
  rank_thread ranks[RANKS];
  dcp_communicator* comms[RANKS];
  assert_int_equal(dcp_communicator_local(RANKS, comms, NULL), DCP_OK);
  for (int i = 0; i < RANKS; i++) {
    ranks[i].comm = comms[i];
    assert_int_equal(pthread_create(&threads[i], NULL, run_rank, &ranks[i]), 0);
  }
  int failed = 0;
  for (int i = 0; i < RANKS; i++) {
    pthread_join(threads[i], NULL);
    if (ranks[i].failed) print_error("%s\n", ranks[i].wrong);
    failed |= ranks[i].failed;
  }
  assert_int_equal(failed, 0);
  print_message("%d saves and loads on 4 ranks\n", ranks[0].runs);
}

static void one_rank(void** state) {
  (void)state;
  rank_thread rank;
  assert_int_equal(dcp_communicator_single(&rank.comm, NULL), DCP_OK);
  run_rank(&rank);
  if (rank.failed) fail_msg("%s", rank.wrong);
  print_message("%d saves and loads on 1 rank\n", rank.runs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_rank),
      cmocka_unit_test(four_ranks),
  };
  return cmocka_run_group_tests_name("conformance/communicator/faults", tests, NULL, NULL);
}
