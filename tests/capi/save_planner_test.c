#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { LENGTH = 4 };
static const char* const kNames[] = {"a", "b", "c", "d"};
static const int64_t kShape[1] = {LENGTH};

/* {"a": 0.., "b": 100.., "c": 200.., "d": 300..} */
static dcp_state_dict* make_state(int64_t (*data)[LENGTH]) {
  dcp_state_dict* state = NULL;
  OK(dcp_state_dict_new(&state, &error));
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < LENGTH; ++j) data[i][j] = 100 * i + j;
    dcp_tensor_view view = view_of(DCP_INT64, 1, kShape, data[i]);
    set_tensor(state, kNames[i], &view);
  }
  return state;
}

/* Leaves out the first item, and puts the second behind the others: "c", "d", "b". */
static dcp_status turn_round(void* unused, dcp_save_plan* plan, dcp_error** error) {
  dcp_write_item item = {0};
  dcp_status status = dcp_save_plan_standard(plan, error);
  (void)unused;
  item.struct_size = sizeof item;
  if (status == DCP_OK) status = dcp_save_plan_item(plan, 1, &item, error);
  if (status == DCP_OK) status = dcp_save_plan_add(plan, &item, error);
  if (status == DCP_OK) status = dcp_save_plan_remove(plan, 1, error);
  if (status == DCP_OK) status = dcp_save_plan_remove(plan, 0, error);
  return status;
}

static int resolved;

static dcp_status as_found(void* unused, const dcp_save_plan* plan, size_t item, dcp_value** out,
                           dcp_error** failure) {
  dcp_value* other = NULL;
  (void)unused;
  ++resolved;
  FAILS(DCP_INVALID_ARGUMENT, "nowhere else", dcp_save_plan_found(plan, item + 1, &other, &error));
  return dcp_save_plan_found(plan, item, out, failure);
}

static void check_saved(const char* where) {
  dcp_storage* storage = open_storage(where);
  dcp_checkpoint* checkpoint = NULL;
  OK(dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &error));
  assert_int_equal(dcp_checkpoint_count(checkpoint), 3);
  for (int i = 1; i < 4; ++i) {
    size_t index = 0;
    int64_t read[LENGTH] = {0}, first[1] = {0};
    dcp_tensor_view view = view_of(DCP_INT64, 1, kShape, read);
    OK(dcp_checkpoint_find(checkpoint, kNames[i], 1, &index, &error));
    OK(dcp_checkpoint_read(checkpoint, index, first, NULL, &view, NULL, &error));
    for (int j = 0; j < LENGTH; ++j) assert_int_equal(read[j], 100 * i + j);
  }
  dcp_checkpoint_free(checkpoint);
  dcp_storage_free(storage);
}

static void save_turned(int32_t use_collectives, int resolves) {
  int64_t data[4][LENGTH];
  char* folder = make_temp_dir();
  dcp_storage* storage = open_storage(folder);
  dcp_state_dict* state = make_state(data);
  dcp_save_planner_table table = {0};
  dcp_save_planner* planner = NULL;
  dcp_save_options options;
  table.struct_size = sizeof table;
  table.create_local_plan = turn_round;
  if (resolves) table.resolve_data = as_found;
  OK(dcp_save_planner_new(&table, NULL, &planner, &error));
  dcp_save_options_init(&options, sizeof options);
  options.planner = planner;
  options.use_collectives = use_collectives;
  resolved = 0;
  OK(dcp_save(NULL, storage, state, &options, NULL, &error));
  assert_int_equal(resolved, resolves ? 3 : 0);
  check_saved(folder);
  dcp_save_planner_free(planner);
  dcp_state_dict_free(state);
  dcp_storage_free(storage);
  remove_tree(folder);
  free(folder);
}

static void items_are_told_by_their_source(void** unused) {
  (void)unused;
  for (int32_t use_collectives = 0; use_collectives < 2; ++use_collectives) {
    save_turned(use_collectives, 0);
    save_turned(use_collectives, 1);
  }
}

/* What an item points to may be the plan that it is added to. */
static void items_are_added_from_the_plan_itself(void** unused) {
  static const int64_t sizes[3] = {2, 3, 4}, zeros[3] = {0, 0, 0};
  dcp_save_plan* plan = NULL;
  dcp_write_item item = {0};
  (void)unused;
  OK(dcp_save_plan_new(&plan, &error));
  item.struct_size = sizeof item;
  item.kind = DCP_WRITE_TENSOR;
  item.name = "a name that is too long to lie in a string itself";
  item.name_size = strlen(item.name);
  item.dtype = DCP_INT64;
  item.ndim = 3;
  item.global_sizes = sizes;
  item.offsets = zeros;
  item.sizes = sizes;
  OK(dcp_save_plan_add(plan, &item, &error));
  for (size_t i = 0; i < 50; ++i) {
    dcp_write_item read = {0};
    read.struct_size = sizeof read;
    OK(dcp_save_plan_item(plan, i, &read, &error));
    assert_int_equal(read.name_size, item.name_size);
    assert_memory_equal(read.name, item.name, item.name_size);
    assert_memory_equal(read.global_sizes, sizes, sizeof sizes);
    assert_memory_equal(read.offsets, zeros, sizeof zeros);
    assert_memory_equal(read.sizes, sizes, sizeof sizes);
    OK(dcp_save_plan_add(plan, &read, &error));
  }
  dcp_save_plan_free(plan);
}

static void nothing_is_found_outside_of_resolve_data(void** unused) {
  dcp_save_plan* plan = NULL;
  dcp_value* value = NULL;
  (void)unused;
  OK(dcp_save_plan_new(&plan, &error));
  FAILS(DCP_INVALID_ARGUMENT, "nowhere else", dcp_save_plan_found(plan, 0, &value, &error));
  assert_null(value);
  dcp_save_plan_free(plan);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(items_are_told_by_their_source),
      cmocka_unit_test(items_are_added_from_the_plan_itself),
      cmocka_unit_test(nothing_is_found_outside_of_resolve_data),
  };
  return cmocka_run_group_tests_name("capi/save_planner", tests, NULL, NULL);
}
