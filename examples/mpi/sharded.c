/* Each rank saves its rows of one large tensor into a checkpoint they share, and loads them back as
 * columns.
 *
 *   mpirun -n 4 ./sharded <folder>
 */
#include <dcp/mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 256, COLUMNS = 1024 };

static void check(dcp_status status, dcp_error* error, const char* what) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", what, dcp_error_message(error));
  for (size_t i = 0; i < dcp_error_rank_failure_count(error); i++) {
    int32_t rank = -1;
    const char* step = "";
    const dcp_error* failure = dcp_error_rank_failure(error, i, &rank, &step);
    fprintf(stderr, "  rank %d, step %s: %s\n", rank, step, dcp_error_message(failure));
  }
  dcp_error_free(error);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/* A state dict with this rank's part of the tensor "weight". */
static dcp_state_dict* state_of(float* data, int64_t rows, int64_t columns, int64_t first_row,
                                int64_t first_column) {
  const int64_t global[2] = {ROWS, COLUMNS};
  const int64_t shape[2] = {rows, columns};
  const int64_t offsets[2] = {first_row, first_column};
  dcp_tensor_view view = {0};
  dcp_tensor* tensor = NULL;
  dcp_value* value = NULL;
  dcp_state_dict* state = NULL;
  dcp_error* error = NULL;
  view.struct_size = sizeof view;
  view.dtype = DCP_FLOAT32;
  view.ndim = 2;
  view.shape = shape;
  view.data = data;
  check(dcp_tensor_new(&view, NULL, NULL, &tensor, &error), error, "tensor");
  const dcp_tensor* shards[1] = {tensor};
  check(dcp_value_sharded_tensor(DCP_FLOAT32, 2, global, shards, offsets, 1, &value, &error), error,
        "sharded tensor");
  check(dcp_state_dict_new(&state, &error), error, "state dict");
  check(dcp_state_dict_set(state, "weight", 6, value, &error), error, "weight");
  dcp_value_free(value);
  dcp_tensor_free(tensor);
  return state;
}

static float element(int64_t row, int64_t column) { return (float)(row * COLUMNS + column); }

int main(int argc, char** argv) {
  int level = 0, rank = 0, size = 1;
  dcp_error* error = NULL;
  dcp_communicator* communicator = NULL;
  dcp_storage* storage = NULL;
  if (argc != 2) {
    fprintf(stderr, "usage: mpirun -n N %s FOLDER\n", argv[0]);
    return 2;
  }
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  check(dcp_mpi_communicator(MPI_COMM_WORLD, 60000, &communicator, &error), error, "communicator");
  check(dcp_storage_open(argv[1], NULL, &storage, &error), error, argv[1]);

  /* Rows to save. */
  int64_t begin = (int64_t)ROWS * rank / size, end = (int64_t)ROWS * (rank + 1) / size;
  float* rows = malloc((size_t)((end - begin) * COLUMNS) * sizeof *rows);
  for (int64_t r = begin; r < end; r++) {
    for (int64_t c = 0; c < COLUMNS; c++) rows[(r - begin) * COLUMNS + c] = element(r, c);
  }
  dcp_state_dict* state = state_of(rows, end - begin, COLUMNS, begin, 0);
  dcp_save_options save;
  dcp_save_report* report = NULL;
  dcp_save_options_init(&save, sizeof save);
  save.communicator = communicator;
  check(dcp_save(NULL, storage, state, &save, &report, &error), error, "save");
  printf("rank %d of %d wrote %llu bytes\n", rank, size,
         (unsigned long long)dcp_save_report_bytes(report));
  dcp_save_report_free(report);
  dcp_state_dict_free(state);
  free(rows);

  /* Columns to load. */
  begin = (int64_t)COLUMNS * rank / size;
  end = (int64_t)COLUMNS * (rank + 1) / size;
  float* columns = calloc((size_t)((end - begin) * ROWS), sizeof *columns);
  state = state_of(columns, ROWS, end - begin, 0, begin);
  dcp_load_options load;
  dcp_load_options_init(&load, sizeof load);
  load.communicator = communicator;
  check(dcp_load(NULL, storage, state, &load, NULL, &error), error, "load");
  for (int64_t r = 0; r < ROWS; r++) {
    for (int64_t c = begin; c < end; c++) {
      if (columns[r * (end - begin) + c - begin] != element(r, c)) MPI_Abort(MPI_COMM_WORLD, 1);
    }
  }
  if (rank == 0) printf("saved by rows, loaded by columns, all equal\n");

  dcp_state_dict_free(state);
  free(columns);
  dcp_storage_free(storage);
  dcp_communicator_free(communicator);
  MPI_Finalize();
  return 0;
}
