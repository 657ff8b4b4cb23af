#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_storage.h"
#include "support.h"

enum { COUNT = 5000 };
static const int64_t shape[1] = {COUNT};

static dcp_storage* storage_of(memory_storage* s) {
  dcp_storage_table table;
  dcp_storage* storage = NULL;
  memory_storage_table(&table);
  OK(dcp_storage_new(&table, s, "memory of the test", &storage, &error));
  return storage;
}

static dcp_state_dict* state_of(int32_t* data, int64_t step) {
  dcp_state_dict* state = NULL;
  dcp_tensor_view view = view_of(DCP_INT32, 1, shape, data);
  OK(dcp_state_dict_new(&state, &error));
  set_tensor(state, "numbers", &view);
  set_int(state, "step", step);
  return state;
}

static void fill(int32_t* data, int32_t first) {
  for (int i = 0; i < COUNT; ++i) data[i] = first + i;
}

/* The step a reader finds; -1 when there is no checkpoint. Fails the test on a mix. */
static int64_t step_in(dcp_storage* storage) {
  dcp_checkpoint* checkpoint = NULL;
  dcp_value* value = NULL;
  dcp_tensor* tensor = NULL;
  dcp_tensor_view view = {0};
  int64_t step = -1;
  size_t index = 0;
  dcp_error* problem = NULL;
  dcp_status status = dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &problem);
  dcp_error_free(problem);
  if (status == DCP_NOT_FOUND) return -1;
  assert_int_equal(status, DCP_OK);
  OK(dcp_checkpoint_find(checkpoint, "step", 4, &index, &error));
  OK(dcp_checkpoint_object(checkpoint, index, &value, &error));
  OK(dcp_value_get_int(value, &step, &error));
  OK(dcp_checkpoint_find(checkpoint, "numbers", 7, &index, &error));
  OK(dcp_checkpoint_tensor(checkpoint, index, &tensor, &error));
  view.struct_size = sizeof view;
  OK(dcp_tensor_get_view(tensor, &view, &error));
  for (int i = 0; i < COUNT; ++i) {
    assert_int_equal(((const int32_t*)view.data)[i], (int32_t)step * 1000 + i);
  }
  dcp_tensor_free(tensor);
  dcp_value_free(value);
  dcp_checkpoint_free(checkpoint);
  return step;
}

static dcp_status save(dcp_storage* storage, int64_t step, dcp_error** problem) {
  int32_t* data = malloc(sizeof(int32_t) * COUNT);
  dcp_state_dict* state;
  dcp_status status;
  fill(data, (int32_t)step * 1000);
  state = state_of(data, step);
  status = dcp_save(NULL, storage, state, NULL, NULL, problem);
  dcp_state_dict_free(state);
  free(data);
  return status;
}

static void saves_into_a_store_of_the_callers(void** unused) {
  memory_storage s = {0};
  dcp_storage* storage = storage_of(&s);
  (void)unused;
  assert_int_equal(step_in(storage), -1);
  OK(save(storage, 1, &error));
  assert_int_equal(step_in(storage), 1);
  OK(save(storage, 2, &error));
  assert_int_equal(step_in(storage), 2);
  assert_int_equal(memory_storage_count(&s), 2);
  assert_int_equal(s.live_files, 0);
  assert_string_equal(dcp_storage_location(storage), "memory of the test");
  dcp_storage_free(storage);
  assert_int_equal(memory_storage_destroyed(&s), 1);
  memory_storage_clear(&s);
}

/* Every call of an overwriting save fails once: the error is the store's own, with its payload; the
 * checkpoint is the old or the new one; nothing leaks; the next save cleans up. */
static void every_call_may_fail(void** unused) {
  static int payload;
  int tried = 0;
  (void)unused;
  for (int index = 1;; ++index) {
    memory_storage s = {0};
    dcp_storage* storage = storage_of(&s);
    dcp_error* problem = NULL;
    dcp_status status;
    int64_t found;
    int reached;
    OK(save(storage, 1, &error));
    s.calls = 0;
    s.fail_at = index;
    s.fail_with = DCP_IO;
    s.fail_payload = &payload;
    status = save(storage, 2, &problem);
    reached = s.calls >= index;
    s.fail_at = 0;
    found = step_in(storage);
    if (status == DCP_OK) {
      assert_int_equal(found, 2); /* only what follows the commit may fail without notice */
    } else {
      assert_true(status == DCP_IO || status == DCP_OUTCOME_UNKNOWN);
      assert_true(found == 1 || (found == 2 && status == DCP_OUTCOME_UNKNOWN));
      assert_ptr_equal(dcp_error_foreign(problem), &payload);
    }
    dcp_error_free(problem);
    assert_int_equal(s.live_files, 0);
    OK(save(storage, 3, &error));
    assert_int_equal(step_in(storage), 3);
    assert_int_equal(memory_storage_count(&s), 2);
    dcp_storage_free(storage);
    assert_int_equal(memory_storage_destroyed(&s), 1);
    memory_storage_clear(&s);
    if (!reached) break;
    ++tried;
  }
  print_message("%d calls failed in turn\n", tried);
  assert_true(tried > 8);
}

static void user_data_is_taken_even_by_a_call_that_fails(void** unused) {
  memory_storage s = {0};
  dcp_storage_table table;
  dcp_storage* storage = NULL;
  (void)unused;
  memory_storage_table(&table);
  table.rename = NULL;
  FAILS(DCP_INVALID_ARGUMENT, "must be given", dcp_storage_new(&table, &s, NULL, &storage, &error));
  assert_int_equal(memory_storage_destroyed(&s), 1);
  FAILS(DCP_INVALID_ARGUMENT, "NULL", dcp_storage_new(NULL, &s, NULL, &storage, &error));
}

static void a_background_save_outlives_its_arguments(void** unused) {
  memory_storage s = {0};
  dcp_storage *storage = storage_of(&s), *again;
  int32_t* data = malloc(sizeof(int32_t) * COUNT);
  dcp_state_dict* state;
  dcp_future* future = NULL;
  (void)unused;
  s.slow_us = 20000;
  fill(data, 4000);
  state = state_of(data, 4);
  OK(dcp_save_async(NULL, storage, state, NULL, &future, &error));
  memset(data, 0, sizeof(int32_t) * COUNT);
  free(data);
  dcp_state_dict_free(state);
  dcp_storage_free(storage);
  assert_int_equal(memory_storage_destroyed(&s), 0);
  OK(dcp_future_wait(future, 20000, NULL, &error));
  OK(dcp_future_wait(future, 0, NULL, &error)); /* again and again */
  assert_int_equal(dcp_future_done(future), 1);
  dcp_future_free(future);
  for (int i = 0; i < 200 && memory_storage_destroyed(&s) == 0; ++i) usleep(10000);
  assert_int_equal(memory_storage_destroyed(&s), 1);
  again = storage_of(&s);
  assert_int_equal(step_in(again), 4);
  dcp_storage_free(again);
  memory_storage_clear(&s);
}

static void a_background_save_can_be_cancelled(void** unused) {
  memory_storage s = {0};
  dcp_storage* storage = storage_of(&s);
  int32_t* data = malloc(sizeof(int32_t) * COUNT);
  dcp_state_dict* state;
  dcp_future* future = NULL;
  dcp_error* problem = NULL;
  dcp_status status;
  (void)unused;
  OK(save(storage, 1, &error));
  s.slow_us = 300000;
  fill(data, 2000);
  state = state_of(data, 2);
  OK(dcp_save_async(NULL, storage, state, NULL, &future, &error));
  dcp_future_cancel(future);
  status = dcp_future_wait(future, 20000, NULL, &problem);
  assert_true(status == DCP_CANCELLED || status == DCP_OK);
  dcp_error_free(problem);
  s.slow_us = 0;
  assert_int_equal(step_in(storage), status == DCP_OK ? 2 : 1);
  dcp_future_free(future);
  dcp_state_dict_free(state);
  free(data);
  dcp_storage_free(storage);
  for (int i = 0; i < 200 && memory_storage_destroyed(&s) == 0; ++i) usleep(10000);
  assert_int_equal(memory_storage_destroyed(&s), 1);
  memory_storage_clear(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(saves_into_a_store_of_the_callers),
      cmocka_unit_test(every_call_may_fail),
      cmocka_unit_test(user_data_is_taken_even_by_a_call_that_fails),
      cmocka_unit_test(a_background_save_outlives_its_arguments),
      cmocka_unit_test(a_background_save_can_be_cancelled),
  };
  return cmocka_run_group_tests_name("capi/storage_table", tests, NULL, NULL);
}
