/* Structs that grow: defaults, smaller structs of older callers, larger ones of newer callers. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

typedef struct larger_save_options {
  dcp_save_options known;
  int64_t from_the_future;
} larger_save_options;

static void defaults_are_as_the_header_says(void** unused) {
  dcp_save_options save;
  dcp_load_options load;
  dcp_context_options context;
  dcp_storage_options storage;
  dcp_open_options open;
  (void)unused;
  dcp_save_options_init(&save, sizeof save);
  assert_int_equal(save.struct_size, sizeof save);
  assert_int_equal(save.overwrite, 1);
  assert_int_equal(save.durable, 1);
  assert_int_equal(save.flatten, 1);
  assert_int_equal(save.files, 1);
  assert_int_equal(save.block_checksums, 1);
  assert_int_equal(save.timeout_ms, 600000);
  assert_null(save.transforms);
  assert_null(save.plan_cache);
  dcp_load_options_init(&load, sizeof load);
  assert_int_equal(load.allow_partial, 0);
  assert_int_equal(load.allow_cast, 1);
  assert_int_equal(load.verify, 1);
  dcp_context_options_init(&context, sizeof context);
  assert_int_equal(context.threads, 0);
  assert_int_equal(context.memory_budget, 67108864);
  dcp_storage_options_init(&storage, sizeof storage);
  assert_int_equal(storage.allow_symlinks, 0);
  assert_int_equal(storage.io_uring, 1);
  dcp_open_options_init(&open, sizeof open);
  assert_int_equal(open.verify, 1);
}

static dcp_status save_with(const dcp_save_options* options, dcp_error** problem) {
  dcp_state_dict* state = NULL;
  dcp_storage* storage = NULL;
  dcp_status status;
  OK(dcp_state_dict_new(&state, &error));
  set_int(state, "step", 1);
  OK(dcp_storage_memory(&storage, &error));
  status = dcp_save(NULL, storage, state, options, NULL, problem);
  dcp_storage_free(storage);
  dcp_state_dict_free(state);
  return status;
}

static void a_larger_struct_must_be_zero_where_it_is_not_known(void** unused) {
  larger_save_options options;
  (void)unused;
  dcp_save_options_init(&options.known, sizeof options);
  assert_int_equal(options.known.struct_size, sizeof options);
  assert_int_equal(options.from_the_future, 0);
  OK(save_with(&options.known, &error));
  options.from_the_future = 1;
  FAILS(DCP_INVALID_ARGUMENT, "does not know", save_with(&options.known, &error));
}

static void a_smaller_struct_keeps_the_defaults_behind_it(void** unused) {
  struct {
    uint32_t struct_size;
    int32_t overwrite;
  } old;
  (void)unused;
  dcp_save_options_init((dcp_save_options*)&old, sizeof old);
  assert_int_equal(old.struct_size, sizeof old);
  assert_int_equal(old.overwrite, 1);
  OK(save_with((const dcp_save_options*)&old, &error));
  old.struct_size = 2;
  FAILS(DCP_INVALID_ARGUMENT, "struct_size", save_with((const dcp_save_options*)&old, &error));
}

static void nonsense_is_refused(void** unused) {
  dcp_save_options options;
  const char* unknown[1] = {"stream.nonsense"};
  (void)unused;
  dcp_save_options_init(&options, sizeof options);
  options.files = 0;
  FAILS(DCP_INVALID_ARGUMENT, "files", save_with(&options, &error));
  dcp_save_options_init(&options, sizeof options);
  options.dialect = 9;
  FAILS(DCP_INVALID_ARGUMENT, "dialect", save_with(&options, &error));
  dcp_save_options_init(&options, sizeof options);
  options.transforms = unknown;
  options.transform_count = 1;
  FAILS(DCP_UNSUPPORTED, "stream.nonsense", save_with(&options, &error));
}

static void versions_are_told(void** unused) {
  (void)unused;
  assert_int_equal(dcp_abi_version(), DCP_ABI_VERSION);
  assert_string_equal(dcp_version_string(), "0.1.0");
  assert_non_null(strstr(dcp_build_info(), "crc32: "));
  assert_string_equal(dcp_status_name(DCP_CORRUPT), "CORRUPT");
  assert_string_equal(dcp_status_name(999), "UNKNOWN");
  assert_string_equal(dcp_dtype_name(DCP_BFLOAT16), "bfloat16");
  assert_null(dcp_dtype_name(0));
  assert_int_equal(dcp_dtype_from_name("torch.float8_e5m2"), DCP_FLOAT8_E5M2);
  assert_int_equal(dcp_dtype_size(DCP_COMPLEX128), 16);
}

static void a_plan_cache_is_seen_in_the_report(void** unused) {
  dcp_save_options options;
  dcp_plan_cache* cache = NULL;
  dcp_error* problem = NULL;
  (void)unused;
  if (dcp_plan_cache_new(&cache, &problem) == DCP_UNSUPPORTED) { /* built without libcrypto */
    assert_null(cache);
    dcp_error_free(problem);
    return;
  }
  assert_non_null(cache);
  dcp_save_options_init(&options, sizeof options);
  options.plan_cache = cache;
  for (int64_t step = 0; step < 3; ++step) {
    dcp_state_dict* state = NULL;
    dcp_storage* storage = NULL;
    dcp_save_report* report = NULL;
    OK(dcp_state_dict_new(&state, &error));
    set_int(state, "step", step);
    OK(dcp_storage_memory(&storage, &error));
    OK(dcp_save(NULL, storage, state, &options, &report, &error));
    assert_int_equal(dcp_save_report_plan_reused(report), step > 0);
    dcp_save_report_free(report);
    dcp_storage_free(storage);
    dcp_state_dict_free(state);
  }
  assert_int_equal(dcp_save_report_plan_reused(NULL), 0);
  options.use_collectives = 0;
  assert_int_equal(save_with(&options, &problem), DCP_UNSUPPORTED);
  assert_non_null(strstr(dcp_error_message(problem), "collectives"));
  dcp_error_free(problem);
  dcp_plan_cache_free(cache);
  dcp_plan_cache_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(defaults_are_as_the_header_says),
      cmocka_unit_test(a_larger_struct_must_be_zero_where_it_is_not_known),
      cmocka_unit_test(a_smaller_struct_keeps_the_defaults_behind_it),
      cmocka_unit_test(nonsense_is_refused),
      cmocka_unit_test(versions_are_told),
      cmocka_unit_test(a_plan_cache_is_seen_in_the_report),
  };
  return cmocka_run_group_tests_name("capi/options", tests, NULL, NULL);
}
