#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

enum { ROWS = 300, COLUMNS = 70 };
static const int64_t shape[2] = {ROWS, COLUMNS};

static float* make_weights(float first) {
  float* data = malloc(sizeof(float) * ROWS * COLUMNS);
  assert_non_null(data);
  for (int i = 0; i < ROWS * COLUMNS; ++i) data[i] = first + (float)i;
  return data;
}

/* {"model": {"weight": float32[300, 70]}, "step": n} */
static dcp_state_dict* make_state(float* weights, int64_t step) {
  dcp_state_dict* state = NULL;
  dcp_tensor* tensor = NULL;
  dcp_value *key = NULL, *weight = NULL, *model = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, 2, shape, weights);
  OK(dcp_state_dict_new(&state, &error));
  OK(dcp_tensor_new(&view, NULL, NULL, &tensor, &error));
  OK(dcp_value_tensor(DCP_VALUE_TENSOR, tensor, &weight, &error));
  OK(dcp_value_text(DCP_VALUE_STRING, "weight", 6, &key, &error));
  {
    const dcp_value *keys[1], *values[1];
    keys[0] = key;
    values[0] = weight;
    OK(dcp_value_dict(DCP_VALUE_DICT, keys, values, 1, &model, &error));
  }
  OK(dcp_state_dict_set(state, "model", 5, model, &error));
  set_int(state, "step", step);
  dcp_value_free(model);
  dcp_value_free(weight);
  dcp_value_free(key);
  dcp_tensor_free(tensor);
  return state;
}

static void save(const char* where, float first, int64_t step, const dcp_save_options* options) {
  float* weights = make_weights(first);
  dcp_state_dict* state = make_state(weights, step);
  dcp_storage* storage = open_storage(where);
  dcp_save_report* report = NULL;
  OK(dcp_save(NULL, storage, state, options, &report, &error));
  assert_int_equal(strlen(dcp_save_report_save_id(report)), 36);
  assert_int_equal(dcp_save_report_items(report), 2);
  assert_true(dcp_save_report_bytes(report) > sizeof(float) * ROWS * COLUMNS);
  assert_int_equal(dcp_save_report_warning_count(report), 0);
  dcp_save_report_free(report);
  dcp_storage_free(storage);
  dcp_state_dict_free(state);
  free(weights);
}

static dcp_checkpoint* open_checkpoint(const char* where) {
  dcp_storage* storage = open_storage(where);
  dcp_checkpoint* checkpoint = NULL;
  OK(dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &error));
  dcp_storage_free(storage);
  return checkpoint;
}

static size_t find(dcp_checkpoint* checkpoint, const char* name) {
  size_t index = 0;
  OK(dcp_checkpoint_find(checkpoint, name, strlen(name), &index, &error));
  return index;
}

static int64_t read_step(dcp_checkpoint* checkpoint) {
  dcp_value* value = NULL;
  int64_t step = -1;
  OK(dcp_checkpoint_object(checkpoint, find(checkpoint, "step"), &value, &error));
  OK(dcp_value_get_int(value, &step, &error));
  dcp_value_free(value);
  return step;
}

static void saves_loads_and_opens(void** unused) {
  char* where = make_temp_dir();
  float* loaded = calloc(ROWS * COLUMNS, sizeof(float));
  float* expected = make_weights(0.5f);
  float slice[6];
  (void)unused;
  save(where, 0.5f, 7, NULL);

  dcp_storage* storage = open_storage(where);
  dcp_state_dict* target = make_state(loaded, 0);
  dcp_load_report* report = NULL;
  OK(dcp_load(NULL, storage, target, NULL, &report, &error));
  assert_memory_equal(loaded, expected, sizeof(float) * ROWS * COLUMNS);
  assert_int_equal(dcp_load_report_count(report, DCP_LOADED), 2);
  assert_int_equal(dcp_load_report_count(report, DCP_MISSING), 0);
  assert_int_equal(dcp_load_report_count(report, DCP_CAST), 0);
  assert_int_equal(dcp_load_report_bytes_unverified(report), 0);
  assert_int_equal(dcp_load_report_object_count(report), 1);
  {
    const char* name = NULL;
    size_t name_size = 0;
    dcp_value *path = NULL, *value = NULL;
    int64_t step = 0;
    OK(dcp_load_report_object(report, 0, &name, &name_size, &path, &value, &error));
    assert_int_equal(name_size, 4);
    assert_memory_equal(name, "step", 4);
    assert_int_equal(dcp_value_count(path), 1);
    OK(dcp_value_get_int(value, &step, &error));
    assert_int_equal(step, 7);
    dcp_value_free(path);
    dcp_value_free(value);
  }
  dcp_load_report_free(report);
  dcp_state_dict_free(target);
  dcp_storage_free(storage);

  dcp_checkpoint* checkpoint = open_checkpoint(where);
  dcp_entry_info info = {0};
  dcp_chunk_info chunk = {0};
  info.struct_size = sizeof info;
  chunk.struct_size = sizeof chunk;
  assert_int_equal(dcp_checkpoint_count(checkpoint), 2);
  size_t index = find(checkpoint, "model.weight");
  OK(dcp_checkpoint_entry(checkpoint, index, &info, &error));
  assert_int_equal(info.kind, DCP_ENTRY_TENSOR);
  assert_int_equal(info.dtype, DCP_FLOAT32);
  assert_string_equal(info.dtype_name, "float32");
  assert_int_equal(info.ndim, 2);
  assert_int_equal(info.shape[0], ROWS);
  assert_int_equal(info.bytes, sizeof(float) * ROWS * COLUMNS);
  assert_int_equal(info.chunk_count, 1);
  OK(dcp_checkpoint_chunk(checkpoint, index, 0, &chunk, &error));
  assert_string_equal(chunk.file, "__0_0.distcp");
  assert_string_equal(chunk.transforms, "");
  assert_string_equal(dcp_checkpoint_property(checkpoint, DCP_PROPERTY_VERSION), "1.0.0");
  assert_string_equal(dcp_checkpoint_property(checkpoint, DCP_PROPERTY_CHECKSUMMED), "1");

  { /* rows 10 and 12, columns 5, 35, 65 */
    const int64_t offsets[2] = {10, 5}, steps[2] = {2, 30}, part[2] = {2, 3};
    dcp_tensor_view view = view_of(DCP_FLOAT32, 2, part, slice);
    uint64_t unverified = 1;
    OK(dcp_checkpoint_read(checkpoint, index, offsets, steps, &view, &unverified, &error));
    assert_int_equal(unverified, 0);
    for (int r = 0; r < 2; ++r) {
      for (int c = 0; c < 3; ++c) {
        assert_float_equal(slice[r * 3 + c], expected[(10 + 2 * r) * COLUMNS + 5 + 30 * c], 0);
      }
    }
  }
  {
    dcp_tensor* tensor = NULL;
    dcp_tensor_view view = {0};
    view.struct_size = sizeof view;
    OK(dcp_checkpoint_tensor(checkpoint, index, &tensor, &error));
    OK(dcp_tensor_get_view(tensor, &view, &error));
    assert_memory_equal(view.data, expected, sizeof(float) * ROWS * COLUMNS);
    dcp_tensor_free(tensor);
  }
  {
    dcp_value *path = NULL, *all = NULL, *model = NULL;
    OK(dcp_checkpoint_path(checkpoint, index, &path, &error));
    assert_int_equal(dcp_value_count(path), 2);
    OK(dcp_checkpoint_read_all(checkpoint, 1, &all, &error));
    OK(dcp_value_find(all, "model", 5, &model, &error));
    assert_int_equal(dcp_value_count(model), 1);
    dcp_value_free(model);
    dcp_value_free(all);
    dcp_value_free(path);
  }
  {
    dcp_verify_report* verified = NULL;
    OK(dcp_checkpoint_verify(checkpoint, NULL, NULL, NULL, &verified, &error));
    assert_int_equal(dcp_verify_report_items(verified), 2);
    assert_int_equal(dcp_verify_report_unchecked(verified), 0);
    assert_int_equal(dcp_verify_report_damage_count(verified), 0);
    assert_int_equal(dcp_verify_report_unreadable_count(verified), 0);
    dcp_verify_report_free(verified);
  }
  dcp_checkpoint_free(checkpoint);
  free(loaded);
  free(expected);
  remove_tree(where);
  free(where);
}

static void overwrites_with_new_names_and_removes_old_files(void** unused) {
  char* where = make_temp_dir();
  dcp_save_options options;
  (void)unused;
  dcp_save_options_init(&options, sizeof options);
  options.files = 3;
  save(where, 1.0f, 1, &options);
  assert_int_equal(count_files(where), 4);
  save(where, 2.0f, 2, NULL);
  assert_int_equal(count_files(where), 2);
  dcp_checkpoint* checkpoint = open_checkpoint(where);
  assert_int_equal(read_step(checkpoint), 2);
  dcp_checkpoint_free(checkpoint);

  options.overwrite = 0;
  float* weights = make_weights(3.0f);
  dcp_state_dict* state = make_state(weights, 3);
  dcp_storage* storage = open_storage(where);
  FAILS(DCP_ALREADY_EXISTS, "Checkpoint already exists",
        dcp_save(NULL, storage, state, &options, NULL, &error));
  dcp_storage_free(storage);
  dcp_state_dict_free(state);
  free(weights);
  assert_int_equal(count_files(where), 2);
  checkpoint = open_checkpoint(where);
  assert_int_equal(read_step(checkpoint), 2);
  dcp_checkpoint_free(checkpoint);
  remove_tree(where);
  free(where);
}

static void a_reader_of_a_replaced_checkpoint_is_told(void** unused) {
  char* where = make_temp_dir();
  float* data = calloc(ROWS * COLUMNS, sizeof(float));
  (void)unused;
  save(where, 1.0f, 1, NULL);
  dcp_checkpoint* old = open_checkpoint(where);
  save(where, 2.0f, 2, NULL);
  dcp_value* value = NULL;
  FAILS(DCP_REPLACED, "replaced while open",
        dcp_checkpoint_object(old, find(old, "step"), &value, &error));
  dcp_checkpoint_free(old);
  free(data);
  remove_tree(where);
  free(where);
}

static void missing_names_shapes_and_checkpoints_are_named(void** unused) {
  char* where = make_temp_dir();
  char* nowhere = join_path(where, "nothing/here");
  static const int64_t other[2] = {ROWS, COLUMNS + 1};
  float* data = calloc(ROWS * (COLUMNS + 1), sizeof(float));
  (void)unused;
  save(where, 1.0f, 1, NULL);
  dcp_storage* storage = open_storage(where);
  dcp_state_dict* state = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, 2, other, data);

  OK(dcp_state_dict_new(&state, &error));
  set_tensor(state, "model.weight", &view);
  FAILS(DCP_MISMATCH, "Size mismatch between saved torch.Size([300, 70])",
        dcp_load(NULL, storage, state, NULL, NULL, &error));
  dcp_state_dict_free(state);

  OK(dcp_state_dict_new(&state, &error));
  set_tensor(state, "model.weigth", &view);
  FAILS(DCP_NOT_FOUND, "Missing key in checkpoint state_dict: model.weigth",
        dcp_load(NULL, storage, state, NULL, NULL, &error));
  {
    dcp_load_options options;
    dcp_load_report* report = NULL;
    const char* text = NULL;
    size_t size = 0;
    dcp_load_options_init(&options, sizeof options);
    options.allow_partial = 1;
    OK(dcp_load(NULL, storage, state, &options, &report, &error));
    assert_int_equal(dcp_load_report_count(report, DCP_MISSING), 1);
    assert_int_equal(dcp_load_report_count(report, DCP_UNEXPECTED), 2);
    OK(dcp_load_report_at(report, DCP_MISSING, 0, &text, &size, &error));
    assert_string_equal(text, "model.weigth");
    dcp_load_report_free(report);
  }
  dcp_state_dict_free(state);
  dcp_storage_free(storage);

  dcp_checkpoint* checkpoint = open_checkpoint(where);
  size_t index = 0;
  FAILS(DCP_NOT_FOUND, "model.weight",
        dcp_checkpoint_find(checkpoint, "model.weigth", 12, &index, &error));
  dcp_checkpoint_free(checkpoint);

  storage = open_storage(nowhere);
  FAILS(DCP_NOT_FOUND, "nothing/here",
        dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &error));
  assert_null(checkpoint);
  dcp_storage_free(storage);
  free(data);
  free(nowhere);
  remove_tree(where);
  free(where);
}

static void a_load_casts_and_says_so(void** unused) {
  char* where = make_temp_dir();
  double* wide = calloc(ROWS * COLUMNS, sizeof(double));
  dcp_state_dict* state = NULL;
  dcp_load_report* report = NULL;
  dcp_load_options options;
  const char* text = NULL;
  size_t size = 0;
  (void)unused;
  save(where, 0.25f, 1, NULL);
  dcp_storage* storage = open_storage(where);
  dcp_tensor_view view = view_of(DCP_FLOAT64, 2, shape, wide);
  OK(dcp_state_dict_new(&state, &error));
  set_tensor(state, "model.weight", &view);
  OK(dcp_load(NULL, storage, state, NULL, &report, &error));
  assert_float_equal(wide[0], 0.25, 0);
  assert_float_equal(wide[ROWS * COLUMNS - 1], 0.25 + ROWS * COLUMNS - 1, 0);
  assert_int_equal(dcp_load_report_count(report, DCP_CAST), 1);
  OK(dcp_load_report_at(report, DCP_CAST, 0, &text, &size, &error));
  assert_string_equal(text, "model.weight: float32 -> float64");
  dcp_load_report_free(report);

  dcp_load_options_init(&options, sizeof options);
  options.allow_cast = 0;
  FAILS(DCP_MISMATCH, "float64", dcp_load(NULL, storage, state, &options, NULL, &error));
  dcp_state_dict_free(state);
  dcp_storage_free(storage);
  free(wide);
  remove_tree(where);
  free(where);
}

static void a_flipped_byte_is_named(void** unused) {
  char* where = make_temp_dir();
  char* file = join_path(where, "__0_0.distcp");
  FILE* stream;
  int byte;
  dcp_verify_report* report = NULL;
  dcp_damage damage = {0};
  dcp_tensor* tensor = NULL;
  (void)unused;
  save(where, 1.0f, 1, NULL);
  stream = fopen(file, "r+b");
  assert_non_null(stream);
  fseek(stream, 50000, SEEK_SET);
  byte = fgetc(stream);
  fseek(stream, 50000, SEEK_SET);
  fputc(byte ^ 0x10, stream);
  fclose(stream);

  dcp_checkpoint* checkpoint = open_checkpoint(where);
  FAILS(DCP_CORRUPT, "model.weight",
        dcp_checkpoint_verify(checkpoint, NULL, NULL, NULL, &report, &error));
  assert_int_equal(dcp_verify_report_damage_count(report), 1);
  damage.struct_size = sizeof damage;
  OK(dcp_verify_report_damage(report, 0, &damage, &error));
  assert_string_equal(damage.name, "model.weight");
  assert_string_equal(damage.file, "__0_0.distcp");
  assert_non_null(damage.error);
  dcp_verify_report_free(report);
  FAILS(DCP_CORRUPT, "model.weight",
        dcp_checkpoint_tensor(checkpoint, find(checkpoint, "model.weight"), &tensor, &error));
  assert_int_equal(read_step(checkpoint), 1); /* the rest stays readable */
  dcp_checkpoint_free(checkpoint);
  free(file);
  remove_tree(where);
  free(where);
}

static void a_mapped_view_is_the_file(void** unused) {
  char* where = make_temp_dir();
  static const int64_t large[1] = {1 << 20};
  float* data = malloc(sizeof(float) * (1 << 20));
  dcp_state_dict* state = NULL;
  dcp_tensor* tensor = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, 1, large, data), mapped = {0};
  (void)unused;
  assert_non_null(data);
  for (int i = 0; i < 1 << 20; ++i) data[i] = (float)i;
  OK(dcp_state_dict_new(&state, &error));
  set_tensor(state, "large", &view);
  dcp_storage* storage = open_storage(where);
  OK(dcp_save(NULL, storage, state, NULL, NULL, &error));
  dcp_storage_free(storage);
  dcp_state_dict_free(state);
  dcp_checkpoint* checkpoint = open_checkpoint(where);
  OK(dcp_checkpoint_map(checkpoint, 0, 0, &tensor, &error));
  dcp_checkpoint_free(checkpoint); /* the view keeps what it needs */
  mapped.struct_size = sizeof mapped;
  OK(dcp_tensor_get_view(tensor, &mapped, &error));
  assert_true((mapped.flags & DCP_TENSOR_READ_ONLY) != 0);
  assert_int_equal((uintptr_t)mapped.data % 64, 0);
  assert_memory_equal(mapped.data, data, sizeof(float) * (1 << 20));
  dcp_tensor_free(tensor);
  free(data);
  remove_tree(where);
  free(where);
}

static void a_read_only_folder_is_named(void** unused) {
  char* where = make_temp_dir();
  float* weights = make_weights(0);
  dcp_state_dict* state = make_state(weights, 1);
  dcp_storage* storage = open_storage("/proc/self/no/such/place");
  (void)unused;
  {
    dcp_error* error = NULL;
    dcp_status status = dcp_save(NULL, storage, state, NULL, NULL, &error);
    assert_int_not_equal(status, DCP_OK);
    assert_non_null(strstr(dcp_error_message(error), "/proc/self"));
    dcp_error_free(error);
  }
  dcp_storage_free(storage);
  dcp_state_dict_free(state);
  free(weights);
  remove_tree(where);
  free(where);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(saves_loads_and_opens),
      cmocka_unit_test(overwrites_with_new_names_and_removes_old_files),
      cmocka_unit_test(a_reader_of_a_replaced_checkpoint_is_told),
      cmocka_unit_test(missing_names_shapes_and_checkpoints_are_named),
      cmocka_unit_test(a_load_casts_and_says_so),
      cmocka_unit_test(a_flipped_byte_is_named),
      cmocka_unit_test(a_mapped_view_is_the_file),
      cmocka_unit_test(a_read_only_folder_is_named),
  };
  return cmocka_run_group_tests_name("capi/save_load", tests, NULL, NULL);
}
