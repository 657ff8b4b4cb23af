/* dcp_value to Python objects. */
#include <string.h>

#include "pydcp.h"

static PyObject* decode(const dcp_value* value);

static PyObject* failed(dcp_status status, dcp_error* error) {
  pydcp_raise(status, error, NULL);
  return NULL;
}

/* Takes `part`. */
static PyObject* decode_part(dcp_value* part) {
  PyObject* object = decode(part);
  dcp_value_free(part);
  return object;
}

static PyObject* decode_int(const dcp_value* value) {
  int64_t small = 0;
  dcp_error* error = NULL;
  dcp_status status = dcp_value_get_int(value, &small, &error);
  if (status == DCP_OK) return PyLong_FromLongLong(small);
  if (status != DCP_LIMIT) return failed(status, error);
  dcp_error_free(error);
  const char* bytes = NULL;
  size_t size = 0;
  status = dcp_value_get_text(value, &bytes, &size, &error);
  if (status != DCP_OK) return failed(status, error);
  PyObject* method = PyObject_GetAttrString((PyObject*)&PyLong_Type, "from_bytes");
  PyObject* arguments = Py_BuildValue("(y#s)", bytes, (Py_ssize_t)size, "little");
  PyObject* keywords = Py_BuildValue("{sO}", "signed", Py_True);
  PyObject* number = method != NULL && arguments != NULL && keywords != NULL
                         ? PyObject_Call(method, arguments, keywords)
                         : NULL;
  Py_XDECREF(method);
  Py_XDECREF(arguments);
  Py_XDECREF(keywords);
  return number;
}

static PyObject* decode_list(const dcp_value* value) {
  size_t count = dcp_value_count(value);
  PyObject* list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list != NULL && i < count; i++) {
    dcp_value* part = NULL;
    dcp_error* error = NULL;
    dcp_status status = dcp_value_at(value, i, &part, &error);
    PyObject* item = status == DCP_OK ? decode_part(part) : failed(status, error);
    if (item == NULL) {
      Py_CLEAR(list);
    } else {
      PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
  }
  return list;
}

/* A set or dict whose members cannot be hashed in Python (an array among them) is handed out as
 * data: the package makes an object of it that can be saved again. */
static PyObject* decode_unhashable(int32_t kind, PyObject* list) {
  if (!PyErr_ExceptionMatches(PyExc_TypeError)) return NULL;
  PyErr_Clear();
  return PyObject_CallFunction(pydcp.decode_other, "iO", (int)kind, list);
}

static PyObject* decode_set(int32_t kind, const dcp_value* value) {
  PyObject* list = decode_list(value);
  if (list == NULL) return NULL;
  PyObject* set = kind == DCP_VALUE_SET ? PySet_New(list) : PyFrozenSet_New(list);
  if (set == NULL) set = decode_unhashable(kind, list);
  Py_DECREF(list);
  return set;
}

static PyObject* decode_pairs(const dcp_value* value) {
  size_t count = dcp_value_count(value);
  PyObject* list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list != NULL && i < count; i++) {
    dcp_value *key = NULL, *part = NULL;
    dcp_error* error = NULL;
    dcp_status status = dcp_value_key_at(value, i, &key, &error);
    if (status == DCP_OK) status = dcp_value_at(value, i, &part, &error);
    if (status != DCP_OK) {
      dcp_value_free(key);
      Py_DECREF(list);
      return failed(status, error);
    }
    PyObject* name = decode_part(key);
    PyObject* object = decode_part(part);
    PyObject* pair = name != NULL && object != NULL ? PyTuple_Pack(2, name, object) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(object);
    if (pair == NULL) {
      Py_CLEAR(list);
    } else {
      PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
  }
  return list;
}

static PyObject* decode_dict(int32_t kind, const dcp_value* value) {
  PyObject* pairs = decode_pairs(value);
  if (pairs == NULL) return NULL;
  PyObject* dict = kind == DCP_VALUE_DICT ? PyDict_New() : PyODict_New();
  for (Py_ssize_t i = 0; dict != NULL && i < PyList_GET_SIZE(pairs); i++) {
    PyObject* pair = PyList_GET_ITEM(pairs, i);
    if (PyObject_SetItem(dict, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)) != 0) {
      Py_CLEAR(dict);
    }
  }
  if (dict == NULL) dict = decode_unhashable(kind, pairs);
  Py_DECREF(pairs);
  return dict;
}

static PyObject* decode_text(int32_t kind, const dcp_value* value) {
  const char* bytes = NULL;
  size_t size = 0;
  dcp_error* error = NULL;
  dcp_status status = dcp_value_get_text(value, &bytes, &size, &error);
  if (status != DCP_OK) return failed(status, error);
  switch (kind) {
    case DCP_VALUE_STRING:
      return pydcp_text_out(bytes, size);
    case DCP_VALUE_BYTES:
      return PyBytes_FromStringAndSize(bytes, (Py_ssize_t)size);
    case DCP_VALUE_BYTEARRAY:
      return PyByteArray_FromStringAndSize(bytes, (Py_ssize_t)size);
    default:
      break;
  }
  PyObject* content = kind == DCP_VALUE_OPAQUE ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)size)
                                               : pydcp_text_out(bytes, size);
  if (content == NULL) return NULL;
  if (kind == DCP_VALUE_PATH || kind == DCP_VALUE_OPAQUE) {
    const char* global = NULL;
    status = dcp_value_get_global(value, &global, &error);
    if (status != DCP_OK) {
      Py_DECREF(content);
      return failed(status, error);
    }
    return PyObject_CallFunction(pydcp.decode_other, "iNN", (int)kind, pydcp_string_out(global),
                                 content);
  }
  return PyObject_CallFunction(pydcp.decode_other, "iN", (int)kind, content);
}

static PyObject* decode_size(const dcp_value* value) {
  const int64_t* sizes = NULL;
  size_t count = 0;
  dcp_error* error = NULL;
  dcp_status status = dcp_value_get_sizes(value, &sizes, &count, &error);
  if (status != DCP_OK) return failed(status, error);
  return PyObject_CallFunction(pydcp.decode_other, "iN", DCP_VALUE_SIZE,
                               pydcp_sizes_out(sizes, count));
}

static PyObject* decode_tensor(int32_t kind, const dcp_value* value) {
  dcp_tensor* tensor = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_value_get_tensor(value, 0, &tensor, &error);
  if (status != DCP_OK) return failed(status, error);
  PyObject* array = pydcp_array_of_tensor(tensor);
  if (array == NULL || kind != DCP_VALUE_NUMPY_SCALAR) return array;
  PyObject* nothing = PyTuple_New(0);
  if (nothing != NULL) Py_SETREF(array, PyObject_GetItem(array, nothing));
  Py_XDECREF(nothing);
  return array;
}

static PyObject* decode_sharded(const dcp_value* value) {
  const int64_t* sizes = NULL;
  size_t ndim = 0;
  int32_t dtype = 0;
  dcp_error* error = NULL;
  dcp_status status = dcp_value_get_sizes(value, &sizes, &ndim, &error);
  if (status == DCP_OK) status = dcp_value_get_dtype(value, &dtype, &error);
  if (status != DCP_OK) return failed(status, error);
  PyObject* chunks = PyList_New(0);
  for (size_t i = 0; chunks != NULL && i < dcp_value_count(value); i++) {
    const int64_t* offsets = NULL;
    dcp_tensor* tensor = NULL;
    status = dcp_value_get_offsets(value, i, &offsets, &ndim, &error);
    if (status == DCP_OK) status = dcp_value_get_tensor(value, i, &tensor, &error);
    PyObject* chunk = NULL;
    if (status == DCP_OK) {
      chunk = Py_BuildValue("(NN)", pydcp_sizes_out(offsets, ndim), pydcp_array_of_tensor(tensor));
    } else {
      failed(status, error);
    }
    if (chunk == NULL || PyList_Append(chunks, chunk) != 0) Py_CLEAR(chunks);
    Py_XDECREF(chunk);
  }
  if (chunks == NULL) return NULL;
  return PyObject_CallFunction(pydcp.decode_other, "iNNs", DCP_VALUE_SHARDED_TENSOR,
                               pydcp_sizes_out(sizes, ndim), chunks, dcp_dtype_name(dtype));
}

static PyObject* decode_constructed(const dcp_value* value) {
  dcp_value *arguments = NULL, *state = NULL, *key = NULL;
  dcp_error* error = NULL;
  const char* global = NULL;
  dcp_status status = dcp_value_get_global(value, &global, &error);
  if (status == DCP_OK) status = dcp_value_get_constructed(value, &arguments, &state, &error);
  if (status != DCP_OK) return failed(status, error);
  /* what was added after the call: (key, value) pairs, or items */
  int has_pairs = dcp_value_count(value) > 0 && dcp_value_key_at(value, 0, &key, NULL) == DCP_OK;
  dcp_value_free(key);
  PyObject* name = pydcp_string_out(global);
  PyObject* tuple = arguments != NULL ? decode_part(arguments) : Py_NewRef(Py_None);
  int has_state = state != NULL;
  PyObject* rest = has_state ? decode_part(state) : Py_NewRef(Py_None);
  PyObject* added = has_pairs ? decode_pairs(value) : decode_list(value);
  PyObject* object = NULL;
  if (name != NULL && tuple != NULL && rest != NULL && added != NULL) {
    object = PyObject_CallFunction(pydcp.decode_other, "iOOOiOi", DCP_VALUE_CONSTRUCTED, name,
                                   tuple, rest, has_state, added, has_pairs);
  }
  Py_XDECREF(name);
  Py_XDECREF(tuple);
  Py_XDECREF(rest);
  Py_XDECREF(added);
  return object;
}

static PyObject* decode_one(const dcp_value* value) {
  int32_t kind = dcp_value_kind_of(value);
  dcp_error* error = NULL;
  dcp_status status;
  switch (kind) {
    case DCP_VALUE_NONE:
      Py_RETURN_NONE;
    case DCP_VALUE_BOOL: {
      int32_t truth = 0;
      status = dcp_value_get_bool(value, &truth, &error);
      return status == DCP_OK ? PyBool_FromLong(truth) : failed(status, error);
    }
    case DCP_VALUE_INT:
      return decode_int(value);
    case DCP_VALUE_FLOAT: {
      double real = 0;
      status = dcp_value_get_float(value, &real, &error);
      return status == DCP_OK ? PyFloat_FromDouble(real) : failed(status, error);
    }
    case DCP_VALUE_COMPLEX: {
      double real = 0, imaginary = 0;
      status = dcp_value_get_complex(value, &real, &imaginary, &error);
      return status == DCP_OK ? PyComplex_FromDoubles(real, imaginary) : failed(status, error);
    }
    case DCP_VALUE_LIST:
      return decode_list(value);
    case DCP_VALUE_TUPLE: {
      PyObject* list = decode_list(value);
      PyObject* tuple = list != NULL ? PyList_AsTuple(list) : NULL;
      Py_XDECREF(list);
      return tuple;
    }
    case DCP_VALUE_DICT:
    case DCP_VALUE_ORDERED_DICT:
      return decode_dict(kind, value);
    case DCP_VALUE_SET:
    case DCP_VALUE_FROZENSET:
      return decode_set(kind, value);
    case DCP_VALUE_SIZE:
      return decode_size(value);
    case DCP_VALUE_TENSOR:
    case DCP_VALUE_NUMPY_ARRAY:
    case DCP_VALUE_NUMPY_SCALAR:
      return decode_tensor(kind, value);
    case DCP_VALUE_SHARDED_TENSOR:
      return decode_sharded(value);
    case DCP_VALUE_CONSTRUCTED:
      return decode_constructed(value);
    case DCP_VALUE_STRING:
    case DCP_VALUE_BYTES:
    case DCP_VALUE_BYTEARRAY:
    case DCP_VALUE_DTYPE:
    case DCP_VALUE_DEVICE:
    case DCP_VALUE_LAYOUT:
    case DCP_VALUE_MEMORY_FORMAT:
    case DCP_VALUE_PATH:
    case DCP_VALUE_OPAQUE:
      return decode_text(kind, value);
    default:
      PyErr_Format(PyExc_TypeError, "a value of kind %d has no Python form", (int)kind);
      return NULL;
  }
}

static PyObject* decode(const dcp_value* value) {
  if (Py_EnterRecursiveCall(" while reading an object")) return NULL;
  PyObject* object = decode_one(value);
  Py_LeaveRecursiveCall();
  return object;
}

PyObject* pydcp_decode(const dcp_value* value) { return decode(value); }
