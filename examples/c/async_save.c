/* Saves in the background while the memory is already changed again.
 *   async_save FOLDER */
#include <dcp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 1000000

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

static void on_done(void* user_data) { puts((const char*)user_data); }

int main(int argc, char** argv) {
  static const int64_t shape[] = {COUNT};
  static const char said[] = "the save has ended";
  dcp_error* error = NULL;
  dcp_storage* storage = NULL;
  dcp_state_dict* state = NULL;
  dcp_future* future = NULL;
  dcp_save_report* report = NULL;
  dcp_checkpoint* checkpoint = NULL;
  dcp_tensor* tensor = NULL;
  dcp_tensor_view view;
  size_t index = 0;
  int i, wrong = 0;
  float* weights;
  if (argc != 2) {
    fprintf(stderr, "usage: async_save FOLDER\n");
    return 2;
  }
  weights = malloc(COUNT * sizeof *weights);
  if (weights == NULL) return 1;
  for (i = 0; i < COUNT; ++i) weights[i] = (float)i;

  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  view.dtype = DCP_FLOAT32;
  view.ndim = 1;
  view.shape = shape;
  view.data = weights;
  check(dcp_storage_open(argv[1], NULL, &storage, &error), error);
  check(dcp_state_dict_new(&state, &error), error);
  check(dcp_state_dict_set_tensor(state, "weights", 7, &view, &error), error);
  check(dcp_save_async(NULL, storage, state, NULL, &future, &error), error);
  dcp_state_dict_free(state);

  /* The next training step: the save has its own copy. */
  for (i = 0; i < COUNT; ++i) weights[i] = -1;
  check(dcp_future_on_done(future, on_done, (void*)said, NULL, &error), error);
  check(dcp_future_wait(future, -1, &report, &error), error);
  printf("saved as %s\n", dcp_save_report_save_id(report));
  dcp_save_report_free(report);
  dcp_future_free(future);

  check(dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &error), error);
  check(dcp_checkpoint_find(checkpoint, "weights", 7, &index, &error), error);
  check(dcp_checkpoint_tensor(checkpoint, index, &tensor, &error), error);
  check(dcp_tensor_get_view(tensor, &view, &error), error);
  for (i = 0; i < COUNT; ++i) wrong += ((const float*)view.data)[i] != (float)i;
  dcp_tensor_free(tensor);
  dcp_checkpoint_free(checkpoint);
  dcp_storage_free(storage);
  free(weights);
  printf("%d of %d elements differ from what they were at the call\n", wrong, COUNT);
  return wrong != 0;
}
