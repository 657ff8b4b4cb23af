#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static void integers_of_any_size(void** unused) {
  static const unsigned char big[] = {0, 0, 0, 0, 0, 0, 0, 0, 0x40}; /* 2 ** 70 */
  dcp_value* value = NULL;
  int64_t number = 0;
  const char* bytes = NULL;
  size_t size = 0;
  (void)unused;
  OK(dcp_value_int(INT64_MIN, &value, &error));
  OK(dcp_value_get_int(value, &number, &error));
  assert_true(number == INT64_MIN);
  dcp_value_free(value);
  OK(dcp_value_big_int(big, sizeof big, &value, &error));
  FAILS(DCP_LIMIT, "9 bytes", dcp_value_get_int(value, &number, &error));
  OK(dcp_value_get_text(value, &bytes, &size, &error));
  assert_int_equal(size, sizeof big);
  assert_memory_equal(bytes, big, sizeof big);
  dcp_value_free(value);
  OK(dcp_value_big_int("\xff\xff\xff", 3, &value, &error)); /* -1, shortened */
  OK(dcp_value_get_int(value, &number, &error));
  assert_int_equal(number, -1);
  dcp_value_free(value);
}

static void containers_hold_counted_parts(void** unused) {
  dcp_value *one = NULL, *two = NULL, *tuple = NULL, *item = NULL, *key = NULL, *dict = NULL;
  int64_t number = 0;
  (void)unused;
  OK(dcp_value_int(1, &one, &error));
  OK(dcp_value_int(2, &two, &error));
  {
    const dcp_value* items[2];
    items[0] = one;
    items[1] = two;
    OK(dcp_value_sequence(DCP_VALUE_TUPLE, items, 2, &tuple, &error));
  }
  OK(dcp_value_text(DCP_VALUE_STRING, "k", 1, &key, &error));
  {
    const dcp_value *keys[1], *values[1];
    keys[0] = key;
    values[0] = tuple;
    OK(dcp_value_dict(DCP_VALUE_ORDERED_DICT, keys, values, 1, &dict, &error));
  }
  dcp_value_free(one);
  dcp_value_free(two);
  dcp_value_free(tuple);
  dcp_value_free(key);
  assert_int_equal(dcp_value_kind_of(dict), DCP_VALUE_ORDERED_DICT);
  OK(dcp_value_find(dict, "k", 1, &tuple, &error));
  assert_int_equal(dcp_value_count(tuple), 2);
  OK(dcp_value_at(tuple, 1, &item, &error));
  OK(dcp_value_get_int(item, &number, &error));
  assert_int_equal(number, 2);
  dcp_value_free(item);
  FAILS(DCP_INVALID_ARGUMENT, "out of range", dcp_value_at(tuple, 2, &item, &error));
  FAILS(DCP_NOT_FOUND, "'x'", dcp_value_find(dict, "x", 1, &item, &error));
  {
    char* text = NULL;
    OK(dcp_value_to_string(dict, &text, &error));
    assert_non_null(strstr(text, "(1, 2)"));
    dcp_string_free(text);
  }
  dcp_value_free(tuple);
  dcp_value_free(dict);
}

static void dtypes_have_one_name(void** unused) {
  dcp_value* value = NULL;
  const char* text = NULL;
  size_t size = 0;
  (void)unused;
  OK(dcp_value_text(DCP_VALUE_DTYPE, "bfloat16", 8, &value, &error));
  OK(dcp_value_get_text(value, &text, &size, &error));
  assert_int_equal(size, 8);
  assert_memory_equal(text, "bfloat16", 8);
  dcp_value_free(value);
}

static void wrong_kinds_are_refused(void** unused) {
  dcp_value *value = NULL, *other = NULL;
  double real = 0;
  int32_t truth = 0;
  (void)unused;
  OK(dcp_value_none(&value, &error));
  FAILS(DCP_INVALID_ARGUMENT, "get_float", dcp_value_get_float(value, &real, &error));
  FAILS(DCP_INVALID_ARGUMENT, "get_bool", dcp_value_get_bool(value, &truth, &error));
  FAILS(DCP_INVALID_ARGUMENT, "NULL", dcp_value_get_bool(NULL, &truth, &error));
  FAILS(DCP_INVALID_ARGUMENT, "UTF-8",
        dcp_value_text(DCP_VALUE_STRING, "\xff\xfe", 2, &other, &error));
  assert_null(other);
  FAILS(DCP_INVALID_ARGUMENT, "no dtype",
        dcp_value_text(DCP_VALUE_DTYPE, "float33", 7, &other, &error));
  {
    dcp_value* arguments = NULL;
    OK(dcp_value_sequence(DCP_VALUE_TUPLE, NULL, 0, &arguments, &error));
    FAILS(DCP_UNSUPPORTED, "os.system",
          dcp_value_constructed("os.system", arguments, NULL, &other, &error));
    dcp_value_free(arguments);
  }
  dcp_value_free(value);
}

static void equality_is_bit_for_bit(void** unused) {
  dcp_value *a = NULL, *b = NULL, *c = NULL;
  (void)unused;
  OK(dcp_value_float(NAN, &a, &error));
  OK(dcp_value_float(NAN, &b, &error));
  OK(dcp_value_float(0.0, &c, &error));
  assert_int_equal(dcp_value_equal(a, b), 1);
  assert_int_equal(dcp_value_equal(a, c), 0);
  dcp_value_free(a);
  dcp_value_free(b);
  dcp_value_free(c);
}

static int released;
static void release(void* owner) {
  assert_ptr_equal(owner, &released);
  ++released;
}

static void a_tensor_keeps_its_owner(void** unused) {
  static const int64_t shape[1] = {4};
  float data[4] = {1, 2, 3, 4};
  dcp_tensor *tensor = NULL, *again = NULL;
  dcp_value* value = NULL;
  void* managed = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, 1, shape, data);
  (void)unused;
  released = 0;
  OK(dcp_tensor_new(&view, &released, release, &tensor, &error));
  OK(dcp_value_tensor(DCP_VALUE_TENSOR, tensor, &value, &error));
  OK(dcp_tensor_to_dlpack(tensor, 1, &managed, &error));
  dcp_tensor_free(tensor);
  dcp_value_free(value);
  assert_int_equal(released, 0);
  OK(dcp_tensor_from_dlpack(managed, 1, &again, &error));
  dcp_tensor_view seen = {0};
  seen.struct_size = sizeof seen;
  OK(dcp_tensor_get_view(again, &seen, &error));
  assert_ptr_equal(seen.data, data);
  assert_int_equal(seen.dtype, DCP_FLOAT32);
  dcp_tensor_free(again);
  assert_int_equal(released, 1);
  view.ndim = 65;
  FAILS(DCP_INVALID_ARGUMENT, "ndim", dcp_tensor_new(&view, &released, release, &tensor, &error));
  assert_int_equal(released, 2); /* taken, also when the call fails */
}

static void sharded_tensors_tell_their_chunks(void** unused) {
  static const int64_t whole[2] = {8, 3}, part[2] = {2, 3}, places[4] = {0, 0, 6, 0};
  float data[2][6] = {{0}};
  dcp_tensor* shards[2] = {NULL, NULL};
  dcp_value *value = NULL, *none = NULL;
  const int64_t* offsets = NULL;
  size_t count = 0;
  int32_t dtype = 0;
  (void)unused;
  for (int i = 0; i < 2; ++i) {
    dcp_tensor_view view = view_of(DCP_FLOAT32, 2, part, data[i]);
    OK(dcp_tensor_new(&view, NULL, NULL, &shards[i], &error));
  }
  OK(dcp_value_sharded_tensor(DCP_FLOAT32, 2, whole, (const dcp_tensor* const*)shards, places, 2,
                              &value, &error));
  OK(dcp_value_get_dtype(value, &dtype, &error));
  assert_int_equal(dtype, DCP_FLOAT32);
  for (size_t i = 0; i < 2; ++i) {
    OK(dcp_value_get_offsets(value, i, &offsets, &count, &error));
    assert_int_equal(count, 2);
    assert_int_equal(offsets[0], 6 * i);
    assert_int_equal(offsets[1], 0);
  }
  FAILS(DCP_INVALID_ARGUMENT, "out of range",
        dcp_value_get_offsets(value, 2, &offsets, &count, &error));
  OK(dcp_value_sharded_tensor(DCP_INT8, 2, whole, NULL, NULL, 0, &none, &error));
  OK(dcp_value_get_dtype(none, &dtype, &error));
  assert_int_equal(dtype, DCP_INT8);
  dcp_value_free(none);
  OK(dcp_value_int(1, &none, &error));
  FAILS(DCP_INVALID_ARGUMENT, "get_dtype", dcp_value_get_dtype(none, &dtype, &error));
  FAILS(DCP_INVALID_ARGUMENT, "get_offsets",
        dcp_value_get_offsets(none, 0, &offsets, &count, &error));
  dcp_value_free(none);
  dcp_value_free(value);
  for (int i = 0; i < 2; ++i) dcp_tensor_free(shards[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(integers_of_any_size),
      cmocka_unit_test(containers_hold_counted_parts),
      cmocka_unit_test(dtypes_have_one_name),
      cmocka_unit_test(wrong_kinds_are_refused),
      cmocka_unit_test(equality_is_bit_for_bit),
      cmocka_unit_test(a_tensor_keeps_its_owner),
      cmocka_unit_test(sharded_tensors_tell_their_chunks),
  };
  return cmocka_run_group_tests_name("capi/value", tests, NULL, NULL);
}
