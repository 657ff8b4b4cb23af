/* Saves two tensors and a number, and loads them into memory of one's own.
 *   save_load FOLDER */
#include <dcp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

static dcp_tensor_view view_of(int32_t dtype, void* data, int32_t ndim, const int64_t* shape) {
  dcp_tensor_view view;
  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  view.dtype = dtype;
  view.ndim = ndim;
  view.data = data;
  view.shape = shape;
  return view;
}

/* The same names, over `weight` and `bias`. Nothing is copied: the memory must outlive the calls.
 */
static dcp_state_dict* state_over(float* weight, double* bias, int64_t epoch) {
  static const int64_t weight_shape[] = {4, 3};
  static const int64_t bias_shape[] = {4};
  dcp_state_dict* state = NULL;
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, weight, 2, weight_shape);
  check(dcp_state_dict_new(&state, &error), error);
  check(dcp_state_dict_set_tensor(state, "model.weight", 12, &view, &error), error);
  view = view_of(DCP_FLOAT64, bias, 1, bias_shape);
  check(dcp_state_dict_set_tensor(state, "model.bias", 10, &view, &error), error);
  check(dcp_value_int(epoch, &value, &error), error);
  check(dcp_state_dict_set(state, "epoch", 5, value, &error), error);
  dcp_value_free(value);
  return state;
}

int main(int argc, char** argv) {
  float weight[12], loaded_weight[12] = {0};
  double bias[4] = {0.5, 1.5, 2.5, 3.5}, loaded_bias[4] = {0};
  dcp_error* error = NULL;
  dcp_storage* storage = NULL;
  dcp_save_report* saved = NULL;
  dcp_load_report* loaded = NULL;
  dcp_state_dict* state;
  dcp_value* epoch = NULL;
  int64_t number = 0;
  int i;
  if (argc != 2) {
    fprintf(stderr, "usage: save_load FOLDER\n");
    return 2;
  }
  for (i = 0; i < 12; ++i) weight[i] = (float)i / 8;

  check(dcp_storage_open(argv[1], NULL, &storage, &error), error);
  state = state_over(weight, bias, 7);
  check(dcp_save(NULL, storage, state, NULL, &saved, &error), error);
  printf("saved %" PRIu64 " items, %" PRIu64 " bytes, to %s\n", dcp_save_report_items(saved),
         dcp_save_report_bytes(saved), dcp_storage_location(storage));
  dcp_save_report_free(saved);
  dcp_state_dict_free(state);

  state = state_over(loaded_weight, loaded_bias, 0);
  check(dcp_load(NULL, storage, state, NULL, &loaded, &error), error);
  check(dcp_load_report_object(loaded, 0, NULL, NULL, NULL, &epoch, &error), error);
  check(dcp_value_get_int(epoch, &number, &error), error);
  printf("loaded %zu names, missing %zu, epoch %" PRId64 "\n",
         dcp_load_report_count(loaded, DCP_LOADED), dcp_load_report_count(loaded, DCP_MISSING),
         number);
  dcp_value_free(epoch);
  dcp_load_report_free(loaded);
  dcp_state_dict_free(state);
  dcp_storage_free(storage);

  if (memcmp(weight, loaded_weight, sizeof weight) != 0 ||
      memcmp(bias, loaded_bias, sizeof bias) != 0 || number != 7) {
    fprintf(stderr, "what was loaded differs\n");
    return 1;
  }
  puts("equal, bit for bit");
  return 0;
}
