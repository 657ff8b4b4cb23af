/* Reads a whole checkpoint, whatever is in it, and saves it again elsewhere.
 *   load_all FROM TO */
#include <dcp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

/* The top level of a nested dict as a state dict, whose inner levels a save flattens again. */
static dcp_state_dict* state_of(const dcp_value* tree) {
  dcp_error* error = NULL;
  dcp_state_dict* state = NULL;
  size_t i;
  check(dcp_state_dict_new(&state, &error), error);
  for (i = 0; i < dcp_value_count(tree); ++i) {
    dcp_value *key = NULL, *value = NULL;
    const char* name = NULL;
    size_t size = 0;
    check(dcp_value_key_at(tree, i, &key, &error), error);
    check(dcp_value_get_text(key, &name, &size, &error), error);
    check(dcp_value_at(tree, i, &value, &error), error);
    check(dcp_state_dict_set(state, name, size, value, &error), error);
    dcp_value_free(key);
    dcp_value_free(value);
  }
  return state;
}

int main(int argc, char** argv) {
  dcp_error* error = NULL;
  dcp_storage *from = NULL, *to = NULL;
  dcp_checkpoint* checkpoint = NULL;
  dcp_value* tree = NULL;
  dcp_state_dict* state;
  dcp_save_report* report = NULL;
  if (argc != 3) {
    fprintf(stderr, "usage: load_all FROM TO\n");
    return 2;
  }
  check(dcp_storage_open(argv[1], NULL, &from, &error), error);
  check(dcp_checkpoint_open(NULL, from, NULL, &checkpoint, &error), error);
  check(dcp_checkpoint_read_all(checkpoint, 1, &tree, &error), error);
  printf("read %zu names from %s\n", dcp_checkpoint_count(checkpoint), argv[1]);
  dcp_checkpoint_free(checkpoint);
  dcp_storage_free(from);

  state = state_of(tree);
  dcp_value_free(tree);
  check(dcp_storage_open(argv[2], NULL, &to, &error), error);
  check(dcp_save(NULL, to, state, NULL, &report, &error), error);
  printf("saved %" PRIu64 " items, %" PRIu64 " bytes, to %s\n", dcp_save_report_items(report),
         dcp_save_report_bytes(report), argv[2]);
  dcp_save_report_free(report);
  dcp_state_dict_free(state);
  dcp_storage_free(to);
  return 0;
}
