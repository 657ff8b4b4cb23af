#include "conformance/rank_threads.h"

#include <pthread.h>

#include "support/cmocka.h"

typedef struct rank_thread {
  dcp_communicator* comm;
  int traits;
  int failed;
  char wrong[1024];
} rank_thread;

static void* run_rank(void* data) {
  rank_thread* self = data;
  self->failed =
      communicator_suite(self->comm, self->traits, SILENCE_MS, self->wrong, sizeof self->wrong);
  dcp_communicator_free(self->comm);
  return NULL;
}

void run_suite_on_threads(dcp_communicator** comms, int32_t size, int traits) {
  pthread_t threads[MOST_RANKS];
  rank_thread ranks[MOST_RANKS];
  int failed = 0;
  for (int32_t rank = 0; rank < size; rank++) {
    ranks[rank].comm = comms[rank];
    ranks[rank].traits = traits;
    pthread_create(&threads[rank], NULL, run_rank, &ranks[rank]);
  }
  for (int32_t rank = 0; rank < size; rank++) {
    pthread_join(threads[rank], NULL);
    if (ranks[rank].failed) print_error("%s\n", ranks[rank].wrong);
    failed |= ranks[rank].failed;
  }
  assert_int_equal(failed, 0);
}
