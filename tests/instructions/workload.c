/* A small piece of work that always takes the same instructions, for counting them:
 *   workload nothing | decode FOLDER | save | open | load
 * `open` and `load` do what `save` does before. */
#include <dcp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kDecodes = 20, kTensors = 1000, kElements = 1024 };

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

/* One thread: waiting for others takes instructions too, now more and now fewer. */
static dcp_context* new_context(void) {
  dcp_context_options options;
  dcp_context* context = NULL;
  dcp_error* error = NULL;
  dcp_context_options_init(&options, sizeof options);
  options.threads = 1;
  check(dcp_context_new(&options, &context, &error), error);
  return context;
}

static size_t open_once(dcp_context* context, dcp_storage* storage) {
  dcp_checkpoint* checkpoint = NULL;
  dcp_error* error = NULL;
  size_t count;
  check(dcp_checkpoint_open(context, storage, NULL, &checkpoint, &error), error);
  count = dcp_checkpoint_count(checkpoint);
  dcp_checkpoint_free(checkpoint);
  return count;
}

static dcp_state_dict* state_over(float* elements) {
  const int64_t shape[] = {kElements};
  dcp_state_dict* state = NULL;
  dcp_error* error = NULL;
  int i;
  check(dcp_state_dict_new(&state, &error), error);
  for (i = 0; i < kTensors; ++i) {
    char name[64];
    dcp_tensor_view view;
    int length = snprintf(name, sizeof name, "model.layers.%d.weight", i);
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    view.dtype = DCP_FLOAT32;
    view.ndim = 1;
    view.data = elements + (size_t)i * kElements;
    view.shape = shape;
    check(dcp_state_dict_set_tensor(state, name, (size_t)length, &view, &error), error);
  }
  return state;
}

static int save_and(const char* then) {
  const size_t count = (size_t)kTensors * kElements;
  float* saved = malloc(count * sizeof *saved);
  float* loaded = malloc(count * sizeof *loaded);
  dcp_context* context = new_context();
  dcp_storage* storage = NULL;
  dcp_state_dict* state;
  dcp_save_report* report = NULL;
  dcp_error* error = NULL;
  size_t i;
  int wrong = 0;
  if (saved == NULL || loaded == NULL) exit(1);
  for (i = 0; i < count; ++i) {
    saved[i] = (float)i;
    loaded[i] = -1;
  }
  check(dcp_storage_memory(&storage, &error), error);
  state = state_over(saved);
  check(dcp_save(context, storage, state, NULL, &report, &error), error);
  dcp_save_report_free(report);
  dcp_state_dict_free(state);
  if (strcmp(then, "open") == 0) wrong = open_once(context, storage) != kTensors;
  if (strcmp(then, "load") == 0) {
    dcp_load_report* loads = NULL;
    state = state_over(loaded);
    check(dcp_load(context, storage, state, NULL, &loads, &error), error);
    dcp_load_report_free(loads);
    dcp_state_dict_free(state);
    wrong = memcmp(saved, loaded, count * sizeof *saved) != 0;
  }
  dcp_storage_free(storage);
  dcp_context_free(context);
  free(saved);
  free(loaded);
  return wrong;
}

static int decode(const char* folder) {
  dcp_context* context = new_context();
  dcp_storage* storage = NULL;
  dcp_error* error = NULL;
  int i, wrong = 0;
  check(dcp_storage_open(folder, NULL, &storage, &error), error);
  for (i = 0; i < kDecodes; ++i) wrong |= open_once(context, storage) == 0;
  dcp_storage_free(storage);
  dcp_context_free(context);
  return wrong;
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "nothing") == 0) return 0;
  if (argc == 3 && strcmp(argv[1], "decode") == 0) return decode(argv[2]);
  if (argc == 2) return save_and(argv[1]);
  fprintf(stderr, "usage: workload nothing | decode FOLDER | save | open | load\n");
  return 2;
}
