/* Four ranks, threads here, write a file each that torch.load opens, meet, and read a part of it
 * back into memory of theirs.
 *   rank_local FOLDER */
#include <dcp.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 4, ROWS = 3, COLUMNS = 5, COUNT = ROWS * COLUMNS };

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

typedef struct rank_data {
  pthread_t thread;
  dcp_communicator* communicator;
  const char* folder;
  int committed;
  int wrong;
} rank_data;

static dcp_status after_all_have_written(void* user_data, const char* path, const dcp_value* extra,
                                         dcp_error** error) {
  rank_data* rank = user_data;
  (void)extra;
  (void)error;
  rank->committed = 1;
  if (dcp_communicator_rank(rank->communicator) == 0) printf("every file of %s is there\n", path);
  return DCP_OK;
}

/* {"weight": ROWS x COLUMNS floats in `data`} */
static dcp_value* state_of(float* data, const int64_t* strides) {
  static const int64_t shape[] = {ROWS, COLUMNS};
  dcp_error* error = NULL;
  dcp_state_dict* state = NULL;
  dcp_value* value = NULL;
  dcp_tensor_view view;
  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  view.dtype = DCP_FLOAT32;
  view.ndim = 2;
  view.shape = shape;
  view.strides = strides;
  view.data = data;
  check(dcp_state_dict_new(&state, &error), error);
  check(dcp_state_dict_set_tensor(state, "weight", 6, &view, &error), error);
  check(dcp_state_dict_to_value(state, &value, &error), error);
  dcp_state_dict_free(state);
  return value;
}

static void* run_rank(void* opaque) {
  static const int64_t by_columns[] = {1, ROWS};
  rank_data* rank = opaque;
  dcp_error* error = NULL;
  dcp_storage* storage = NULL;
  dcp_commit_hook* hook = NULL;
  dcp_commit_hook_table table;
  dcp_rank_writer_options options;
  dcp_rank_writer* writer = NULL;
  dcp_rank_reader* reader = NULL;
  dcp_value *state, *target, *read = NULL, *missing = NULL;
  float weight[COUNT], transposed[COUNT];
  int row, column, i;

  memset(&table, 0, sizeof table);
  table.struct_size = sizeof table;
  table.post_commit = after_all_have_written;
  check(dcp_commit_hook_new(&table, rank, &hook, &error), error);
  dcp_rank_writer_options_init(&options, sizeof options);
  options.rank = dcp_communicator_rank(rank->communicator);
  options.world_size = RANKS;
  options.commit_hook = hook;
  check(dcp_barrier_from_communicator(rank->communicator, &options.barrier, &error), error);
  check(dcp_rank_writer_new(NULL, &options, &writer, &error), error);

  for (i = 0; i < COUNT; ++i) weight[i] = (float)(100 * options.rank + i);
  state = state_of(weight, NULL);
  check(dcp_storage_open(rank->folder, NULL, &storage, &error), error);
  check(dcp_rank_writer_write(writer, storage, state, NULL, NULL, NULL, &error), error);

  /* Into memory that is laid out by columns. */
  target = state_of(transposed, by_columns);
  check(dcp_rank_reader_new(options.rank, RANKS, &reader, &error), error);
  check(dcp_rank_reader_read(reader, storage, target, &read, &missing, &error), error);
  rank->wrong = (int)dcp_value_count(missing);
  for (row = 0; row < ROWS; ++row) {
    for (column = 0; column < COLUMNS; ++column) {
      rank->wrong += transposed[column * ROWS + row] != weight[row * COLUMNS + column];
    }
  }
  dcp_value_free(missing);
  dcp_value_free(read);
  dcp_value_free(target);
  dcp_value_free(state);
  dcp_rank_reader_free(reader);
  dcp_rank_writer_free(writer);
  dcp_barrier_free(options.barrier);
  dcp_commit_hook_free(hook);
  dcp_storage_free(storage);
  return NULL;
}

int main(int argc, char** argv) {
  dcp_communicator* communicators[RANKS];
  rank_data ranks[RANKS];
  dcp_error* error = NULL;
  int i, wrong = 0, committed = 0;
  if (argc != 2) {
    fprintf(stderr, "usage: rank_local FOLDER\n");
    return 2;
  }
  check(dcp_communicator_local(RANKS, communicators, &error), error);
  memset(ranks, 0, sizeof ranks);
  for (i = 0; i < RANKS; ++i) {
    ranks[i].communicator = communicators[i];
    ranks[i].folder = argv[1];
    if (pthread_create(&ranks[i].thread, NULL, run_rank, &ranks[i]) != 0) return 1;
  }
  for (i = 0; i < RANKS; ++i) {
    pthread_join(ranks[i].thread, NULL);
    wrong += ranks[i].wrong;
    committed += ranks[i].committed;
  }
  for (i = 0; i < RANKS; ++i) dcp_communicator_free(communicators[i]);
  printf("%d of %d ranks committed, %d elements differ\n", committed, RANKS, wrong);
  return committed != RANKS || wrong != 0;
}
