/* Python objects to dcp_value, whole trees at C speed. What is not a plain builtin, an array or a
 * torch tensor goes once through the package (classify, encode_other). */
#include <stdlib.h>
#include <string.h>

#include "pydcp.h"

enum { kMaxDepth = 1000, kMaxDims = 64 };

/* Functions with large frames stay out of the recursion's own frames. */
#define FLAT __attribute__((noinline))

/* Keeps the arrays of one conversion alive: counted by the tensors made of them, so that the GIL is
 * taken once, when the last is gone. */
typedef struct keeper {
  long references;
  PyObject* objects; /* list */
} keeper;

static keeper* keeper_new(void) {
  keeper* k = malloc(sizeof *k);
  if (k == NULL) {
    PyErr_NoMemory();
    return NULL;
  }
  k->references = 1;
  k->objects = PyList_New(0);
  if (k->objects == NULL) {
    free(k);
    return NULL;
  }
  return k;
}

static void keeper_release(void* opaque) {
  keeper* k = opaque;
  if (__atomic_sub_fetch(&k->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  PYDCP_GIL(state);
  if (pydcp_enter(&state)) {
    Py_DECREF(k->objects);
    pydcp_leave(&state);
  }
  free(k);
}

static void keeper_retain(keeper* k) { __atomic_add_fetch(&k->references, 1, __ATOMIC_RELAXED); }

/* Where in the tree the encoder is, for messages. */
typedef struct place {
  const struct place* parent;
  PyObject* key; /* NULL: a list index */
  Py_ssize_t index;
} place;

/* Containers seen before, by address: parts may be shared. A NULL value is one that is being
 * encoded, so that meeting it again is a cycle. */
typedef struct seen {
  PyObject* object;
  dcp_value* value;
} seen;

typedef struct encoder {
  keeper* keep;
  int target;
  int depth;
  seen* table;
  size_t slots; /* power of two, or 0 */
  size_t used;
} encoder;

static size_t slot_of(const encoder* e, PyObject* object) {
  size_t hash = (size_t)((uintptr_t)object >> 4) * (size_t)0x9E3779B97F4A7C15ull;
  size_t at = (hash >> 7) & (e->slots - 1);
  while (e->table[at].object != NULL && e->table[at].object != object)
    at = (at + 1) & (e->slots - 1);
  return at;
}

static seen* seen_find(const encoder* e, PyObject* object) {
  if (e->slots == 0) return NULL;
  seen* found = &e->table[slot_of(e, object)];
  return found->object != NULL ? found : NULL;
}

static int seen_put(encoder* e, PyObject* object, dcp_value* value) {
  if (e->used * 2 >= e->slots) {
    encoder grown = *e;
    grown.slots = e->slots == 0 ? 64 : e->slots * 2;
    grown.table = calloc(grown.slots, sizeof *grown.table);
    if (grown.table == NULL) {
      PyErr_NoMemory();
      return -1;
    }
    for (size_t i = 0; i < e->slots; i++) {
      if (e->table[i].object != NULL)
        grown.table[slot_of(&grown, e->table[i].object)] = e->table[i];
    }
    free(e->table);
    *e = grown;
  }
  seen* at = &e->table[slot_of(e, object)];
  if (at->object == NULL) e->used++;
  at->object = object;
  at->value = value;
  return 0;
}

static void encoder_end(encoder* e) {
  for (size_t i = 0; i < e->slots; i++) dcp_value_free(e->table[i].value);
  free(e->table);
  keeper_release(e->keep);
}

/* "model.layers.0", from the innermost place outwards. */
static PyObject* path_of(const place* at) {
  PyObject* parts = PyList_New(0);
  for (; parts != NULL && at != NULL; at = at->parent) {
    PyObject* text =
        at->key != NULL ? PyObject_Str(at->key) : PyUnicode_FromFormat("%zd", at->index);
    if (text == NULL || PyList_Append(parts, text) != 0) Py_CLEAR(parts);
    Py_XDECREF(text);
  }
  if (parts == NULL || PyList_Reverse(parts) != 0) {
    Py_XDECREF(parts);
    return NULL;
  }
  PyObject* dot = PyUnicode_FromString(".");
  PyObject* joined = dot != NULL ? PyUnicode_Join(dot, parts) : NULL;
  Py_XDECREF(dot);
  Py_DECREF(parts);
  return joined;
}

static void* refuse(const place* at, PyObject* type, const char* what) {
  PyObject* path = path_of(at);
  if (path != NULL) PyErr_Format(type, "%U: %s", path, what);
  Py_XDECREF(path);
  return NULL;
}

static void* refuse_status(const place* at, dcp_status status, dcp_error* error) {
  PyObject* path = path_of(at);
  PyObject* bytes =
      path != NULL ? PyUnicode_AsEncodedString(path, "utf-8", "backslashreplace") : NULL;
  if (bytes != NULL) {
    pydcp_raise(status, error, PyBytes_AS_STRING(bytes));
  } else {
    dcp_error_free(error);
  }
  Py_XDECREF(path);
  Py_XDECREF(bytes);
  return NULL;
}

/* Puts the place in front of an exception that says nothing of it. */
static void* add_place(const place* at) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  PyObject* path = path_of(at);
  PyObject* note = path != NULL ? PyUnicode_FromFormat("while converting '%U'", path) : NULL;
  PyObject* done = note != NULL ? PyObject_CallMethod(value, "add_note", "O", note) : NULL;
  Py_XDECREF(path);
  Py_XDECREF(note);
  Py_XDECREF(done);
  PyErr_Restore(type, value, traceback);
  return NULL;
}

static dcp_value* encode(encoder* e, PyObject* object, int descend, const place* at);

/* ---- tensors ---- */

static dcp_value* finish_tensor(encoder* e, int32_t kind, dcp_tensor_view* view, const place* at) {
  dcp_tensor* tensor = NULL;
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  keeper_retain(e->keep);
  dcp_status status = dcp_tensor_new(view, e->keep, keeper_release, &tensor, &error);
  if (status == DCP_OK) status = dcp_value_tensor(kind, tensor, &value, &error);
  dcp_tensor_free(tensor);
  if (status != DCP_OK) return refuse_status(at, status, error);
  return value;
}

/* numpy's __array_struct__, by its public layout. */
typedef struct array_interface {
  int two;
  int nd;
  char typekind;
  int itemsize;
  int flags;
  Py_intptr_t* shape;
  Py_intptr_t* strides;
  void* data;
  PyObject* descr;
} array_interface;
enum { kArrayWriteable = 0x400 };

/* 0: done. 1: not as it is (byte order, negative or odd strides). 2: no dtype of ours, *dtype_out
 * (borrowed from the array) is the one it has. -1: exception. */
static int describe_array(PyObject* array, dcp_tensor_view* view, int64_t* shape, int64_t* strides,
                          int* writable) {
  PyObject* dtype = PyObject_GetAttrString(array, "dtype");
  if (dtype == NULL) return -1;
  PyObject* number = PyDict_GetItemWithError(pydcp.numpy_dtypes, dtype);
  Py_DECREF(dtype);
  if (number == NULL) return PyErr_Occurred() ? -1 : 2;
  PyObject* capsule = PyObject_GetAttrString(array, "__array_struct__");
  if (capsule == NULL) return -1;
  array_interface* interface = PyCapsule_GetPointer(capsule, NULL);
  if (interface == NULL || interface->two != 2) {
    Py_DECREF(capsule);
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "not an array interface");
    return -1;
  }
  memset(view, 0, sizeof *view);
  view->struct_size = sizeof *view;
  view->dtype = (int32_t)PyLong_AsLong(number);
  view->ndim = interface->nd;
  view->device_type = 1;
  view->data = interface->data;
  view->shape = shape;
  view->strides = strides;
  *writable = (interface->flags & kArrayWriteable) != 0;
  int odd = interface->nd > kMaxDims;
  for (int d = 0; !odd && d < interface->nd; d++) {
    shape[d] = interface->shape[d];
    Py_intptr_t stride = interface->strides[d];
    if (interface->shape[d] <= 1) stride = 0; /* never used, and numpy leaves any number there */
    if (stride < 0 || stride % interface->itemsize != 0) odd = 1;
    strides[d] = stride / interface->itemsize;
  }
  Py_DECREF(capsule);
  return odd ? 1 : 0;
}

static dcp_value* encode_other(encoder* e, PyObject* object, int descend, const place* at);

/* An array or scalar of a dtype that torch lacks: stored as an object, as stock does. */
static dcp_value* encode_numpy_object(encoder* e, PyObject* array, int32_t kind, const place* at) {
  PyObject* object = array;
  Py_INCREF(object);
  if (kind == DCP_VALUE_NUMPY_SCALAR) {
    PyObject* whole = PyTuple_New(0);
    Py_SETREF(object, whole != NULL ? PyObject_GetItem(array, whole) : NULL);
    Py_XDECREF(whole);
    if (object == NULL) return add_place(at);
  }
  dcp_value* value = encode_other(e, object, 0, at);
  Py_DECREF(object);
  return value;
}

FLAT static dcp_value* encode_array(encoder* e, PyObject* array, int32_t kind, const place* at) {
  dcp_tensor_view view;
  int64_t shape[kMaxDims], strides[kMaxDims];
  int writable = 0;
  int how = describe_array(array, &view, shape, strides, &writable);
  if (how < 0) return add_place(at);
  PyObject* held = array;
  Py_INCREF(held);
  if (how != 0) {
    Py_SETREF(held, PyObject_CallFunctionObjArgs(pydcp.native_array, array, NULL));
    if (held == NULL) return add_place(at);
    how = describe_array(held, &view, shape, strides, &writable);
    if (how != 0) {
      Py_DECREF(held);
      return how < 0 ? add_place(at) : encode_numpy_object(e, array, kind, at);
    }
    if (e->target && kind == DCP_VALUE_TENSOR) {
      Py_DECREF(held);
      return refuse(at, PyExc_ValueError,
                    "an array of foreign byte order or with negative strides cannot be loaded "
                    "into");
    }
  }
  if (e->target && kind == DCP_VALUE_TENSOR && !writable) {
    Py_DECREF(held);
    return refuse(at, PyExc_ValueError, "the array is read-only");
  }
  int appended = PyList_Append(e->keep->objects, held);
  Py_DECREF(held);
  if (appended != 0) return NULL;
  return finish_tensor(e, kind, &view, at);
}

static dcp_value* encode_scalar(encoder* e, PyObject* scalar, const place* at) {
  PyObject* array = PyObject_CallFunctionObjArgs(pydcp.as_array, scalar, NULL);
  if (array == NULL) return add_place(at);
  dcp_value* value = encode_array(e, array, DCP_VALUE_NUMPY_SCALAR, at);
  Py_DECREF(array);
  return value;
}

static int32_t torch_dtype(PyObject* dtype) {
  PyObject* number = PyDict_GetItemWithError(pydcp.torch_dtypes, dtype);
  if (number != NULL) return (int32_t)PyLong_AsLong(number);
  if (PyErr_Occurred()) return 0;
  number = PyObject_CallFunctionObjArgs(pydcp.torch_dtype, dtype, NULL);
  if (number == NULL) return 0;
  int32_t code =
      PyDict_SetItem(pydcp.torch_dtypes, dtype, number) == 0 ? (int32_t)PyLong_AsLong(number) : 0;
  Py_DECREF(number);
  return code;
}

/* What is asked of every torch tensor, interned once: twenty thousand of them are asked in one
 * save. */
enum tensor_word {
  kRequiresGrad,
  kIsCpu,
  kLayout,
  kIsConj,
  kIsNeg,
  kDtype,
  kShape,
  kStride,
  kDataPtr,
  kTensorWords
};
static PyObject* tensor_words[kTensorWords];

int pydcp_encode_ready(void) {
  static const char* const kSpelled[kTensorWords] = {"requires_grad", "is_cpu", "layout",
                                                     "is_conj",       "is_neg", "dtype",
                                                     "shape",         "stride", "data_ptr"};
  for (int i = 0; i < kTensorWords; i++) {
    if (tensor_words[i] == NULL) tensor_words[i] = PyUnicode_InternFromString(kSpelled[i]);
    if (tensor_words[i] == NULL) return -1;
  }
  return 0;
}

/* DLPack's exchange of tensors by function pointers: what its version 1 lays down. */
typedef struct dl_tensor {
  void* data;
  int32_t device_type;
  int32_t device_index;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides; /* in elements */
  uint64_t byte_offset;
} dl_tensor;

typedef int (*dl_describe)(void* object, dl_tensor* out);

typedef struct dl_exchange {
  uint32_t major, minor;
  void* older;
  void *allocate, *from_object, *to_object;
  dl_describe describe; /* lends; NULL where there is none */
} dl_exchange;

/* How the tensors of a class say it, where that needs no lookup by name. */
typedef struct tensor_ways {
  PyTypeObject* type;
  dl_describe describe; /* sizes, strides and memory at once, or NULL */
  struct {
    getter get; /* of a property that C implements, or NULL */
    void* closure;
    PyObject* method; /* one that C implements, or NULL */
  } by_word[kTensorWords];
} tensor_ways;

enum { kKnownTensorTypes = 2 }; /* torch's tensors and parameters */
static tensor_ways known_tensors[kKnownTensorTypes];

static const tensor_ways* learn_tensor(tensor_ways* ways, PyTypeObject* type) {
  for (int i = 0; i < kTensorWords; i++) {
    PyObject* found = PyObject_GetAttr((PyObject*)type, tensor_words[i]);
    if (found == NULL) {
      PyErr_Clear();
    } else if (Py_IS_TYPE(found, &PyGetSetDescr_Type)) {
      const PyGetSetDef* def = ((PyGetSetDescrObject*)found)->d_getset;
      ways->by_word[i].get = def->get;
      ways->by_word[i].closure = def->closure;
    } else if (Py_IS_TYPE(found, &PyMethodDescr_Type)) {
      ways->by_word[i].method = Py_NewRef(found);
    }
    Py_XDECREF(found);
  }
  PyObject* capsule = PyObject_GetAttrString((PyObject*)type, "__dlpack_c_exchange_api__");
  const dl_exchange* exchange =
      capsule != NULL ? PyCapsule_GetPointer(capsule, "dlpack_exchange_api") : NULL;
  if (exchange != NULL && exchange->major == 1) ways->describe = exchange->describe;
  Py_XDECREF(capsule); /* what it points to stays as long as the process */
  PyErr_Clear();
  Py_INCREF(type);
  ways->type = type;
  return ways;
}

/* NULL for classes beyond the first few. */
static const tensor_ways* ways_of(PyObject* tensor) {
  PyTypeObject* type = Py_TYPE(tensor);
  for (int i = 0; i < kKnownTensorTypes; i++) {
    if (known_tensors[i].type == type) return &known_tensors[i];
    if (known_tensors[i].type == NULL) return learn_tensor(&known_tensors[i], type);
  }
  return NULL;
}

static PyObject* say(PyObject* tensor, enum tensor_word word) {
  const tensor_ways* ways = ways_of(tensor);
  if (ways != NULL && ways->by_word[word].get != NULL) {
    return ways->by_word[word].get(tensor, ways->by_word[word].closure);
  }
  return PyObject_GetAttr(tensor, tensor_words[word]);
}

static PyObject* call(PyObject* tensor, enum tensor_word word) {
  const tensor_ways* ways = ways_of(tensor);
  if (ways != NULL && ways->by_word[word].method != NULL) {
    return PyObject_Vectorcall(ways->by_word[word].method, &tensor, 1, NULL);
  }
  return PyObject_VectorcallMethod(tensor_words[word], &tensor, 1, NULL);
}

static int is_true(PyObject* value) {
  int truth = value != NULL ? PyObject_IsTrue(value) : -1;
  Py_XDECREF(value);
  return truth;
}

/* 0 for a plain strided tensor; -1 with TypeError for sparse and quantized ones. */
static int refuse_layout(PyObject* tensor) {
  /* torch has one object a layout, for ever. */
  static PyObject* strided = NULL;
  PyObject* layout = say(tensor, kLayout);
  if (layout != NULL && layout == strided) {
    Py_DECREF(layout);
    return 0;
  }
  PyObject* text = layout != NULL ? PyObject_Str(layout) : NULL;
  int result = -1;
  if (text != NULL && PyUnicode_CompareWithASCIIString(text, "torch.strided") != 0) {
    PyErr_Format(
        PyExc_TypeError,
        "a %U tensor cannot be stored as plain elements; convert it with .to_dense() first", text);
  } else if (text != NULL) {
    result = 0;
    Py_INCREF(layout);
    Py_XSETREF(strided, layout);
  }
  Py_XDECREF(layout);
  Py_XDECREF(text);
  return result;
}

/* The number of the tensor's dtype; 0 with an exception where it has none, or is a quantized one.
 */
static int32_t dtype_of(PyObject* tensor) {
  PyObject* dtype = say(tensor, kDtype);
  int32_t code = dtype != NULL ? torch_dtype(dtype) : 0;
  Py_XDECREF(dtype);
  if (code < DCP_QINT8 || code > DCP_QUINT2X4) return code;
  PyErr_SetString(PyExc_TypeError,
                  "a quantized tensor cannot be stored as plain elements; convert it with "
                  ".dequantize() or .int_repr() first");
  return 0;
}

/* The tensor's sizes or strides. How many, or -1 with an exception. */
static int sizes_of(PyObject* sequence, int64_t* sizes) {
  int count = sequence != NULL ? pydcp_sizes_in(sequence, sizes, kMaxDims, "the tensor") : -1;
  Py_XDECREF(sequence);
  return count;
}

/* Sizes, strides and memory by DLPack. 0, without an exception, when that way does not exist. */
static int lent_memory(PyObject* tensor, dcp_tensor_view* view, int64_t* shape, int64_t* strides) {
  const tensor_ways* ways = ways_of(tensor);
  if (ways == NULL || ways->describe == NULL) return 0;
  dl_tensor lent;
  memset(&lent, 0, sizeof lent);
  if (ways->describe(tensor, &lent) != 0) {
    PyErr_Clear();
    return 0;
  }
  if (lent.ndim < 0 || lent.ndim > kMaxDims) return 0;
  if (lent.ndim > 0 && (lent.shape == NULL || lent.strides == NULL)) return 0;
  view->ndim = lent.ndim;
  view->data = lent.data == NULL ? NULL : (char*)lent.data + lent.byte_offset;
  for (int d = 0; d < lent.ndim; d++) {
    shape[d] = lent.shape[d];
    strides[d] = lent.strides[d];
  }
  return 1;
}

/* The same by the tensor's own methods. 0, or -1 with an exception. */
static int asked_memory(PyObject* tensor, dcp_tensor_view* view, int64_t* shape, int64_t* strides) {
  view->ndim = sizes_of(say(tensor, kShape), shape);
  if (view->ndim < 0) return -1;
  int steps = sizes_of(call(tensor, kStride), strides);
  if (steps < 0) return -1;
  if (steps != view->ndim) {
    PyErr_Format(PyExc_ValueError, "the tensor says %d sizes and %d strides", view->ndim, steps);
    return -1;
  }
  PyObject* pointer = call(tensor, kDataPtr);
  if (pointer == NULL) return -1;
  view->data = PyLong_AsVoidPtr(pointer);
  Py_DECREF(pointer);
  return PyErr_Occurred() ? -1 : 0;
}

/* A torch tensor by what it says of itself; torch is not imported. 0, or -1 with an exception. */
static int describe_torch(PyObject** held, int target, dcp_tensor_view* view, int64_t* shape,
                          int64_t* strides) {
  PyObject* tensor = *held;
  static const enum tensor_word kLazyBits[2] = {kIsConj, kIsNeg};
  static const char* const kResolve[2] = {"resolve_conj", "resolve_neg"};
  int grad = is_true(say(tensor, kRequiresGrad));
  int cpu = grad < 0 ? -1 : is_true(say(tensor, kIsCpu));
  if (grad < 0 || cpu < 0) return -1;
  if (!cpu) {
    PyObject* device = PyObject_GetAttrString(tensor, "device");
    if (device != NULL) {
      PyErr_Format(PyExc_ValueError,
                   "the tensor is on device '%S'; only tensors in the CPU's memory are supported "
                   "here: copy it with .cpu() first",
                   device);
    }
    Py_XDECREF(device);
    return -1;
  }
  if (refuse_layout(tensor) != 0) return -1;
  int32_t code = dtype_of(tensor);
  if (code == 0) return -1;
  const int is_complex = code == DCP_COMPLEX32 || code == DCP_COMPLEX64 || code == DCP_COMPLEX128;
  for (int i = is_complex ? 0 : 1; i < 2; i++) {
    int lazy = is_true(call(tensor, kLazyBits[i]));
    if (lazy < 0) return -1;
    if (lazy && target) {
      PyErr_SetString(PyExc_ValueError,
                      "a conjugated or negated view cannot be loaded into; pass its base");
      return -1;
    }
    if (lazy) {
      PyObject* plain = PyObject_CallMethod(tensor, "detach", NULL);
      PyObject* resolved = plain != NULL ? PyObject_CallMethod(plain, kResolve[i], NULL) : NULL;
      Py_XDECREF(plain);
      if (resolved == NULL) return -1;
      Py_SETREF(*held, resolved);
      tensor = resolved;
    }
  }
  memset(view, 0, sizeof *view);
  view->struct_size = sizeof *view;
  view->dtype = code;
  view->device_type = 1;
  view->flags = grad ? DCP_TENSOR_REQUIRES_GRAD : 0;
  view->shape = shape;
  view->strides = strides;
  if (!lent_memory(tensor, view, shape, strides) &&
      asked_memory(tensor, view, shape, strides) != 0) {
    return -1;
  }
  int empty = 0;
  for (int d = 0; d < view->ndim; d++) {
    if (shape[d] == 0) empty = 1;
  }
  if (view->data == NULL && !empty) {
    PyErr_SetString(PyExc_ValueError, "the tensor has no memory of its own");
    return -1;
  }
  return 0;
}

FLAT static dcp_value* encode_torch(encoder* e, PyObject* tensor, const place* at) {
  dcp_tensor_view view;
  int64_t shape[kMaxDims], strides[kMaxDims];
  PyObject* held = tensor;
  Py_INCREF(held);
  int failed = describe_torch(&held, e->target, &view, shape, strides) != 0 ||
               PyList_Append(e->keep->objects, held) != 0;
  Py_DECREF(held);
  if (failed) return add_place(at);
  return finish_tensor(e, DCP_VALUE_TENSOR, &view, at);
}

static dcp_value* encode_dlpack(PyObject* object, const place* at) {
  PyObject* device = PyObject_CallMethod(object, "__dlpack_device__", NULL);
  int type = 0, index = 0;
  int parsed = device != NULL && PyTuple_Check(device) && PyTuple_GET_SIZE(device) == 2;
  if (parsed) {
    type = (int)PyLong_AsLong(PyTuple_GET_ITEM(device, 0));
    index = (int)PyLong_AsLong(PyTuple_GET_ITEM(device, 1));
  }
  Py_XDECREF(device);
  if (PyErr_Occurred()) return add_place(at);
  if (!parsed) return refuse(at, PyExc_TypeError, "__dlpack_device__ gives no pair");
  if (type != 1 && type != 3) {
    PyObject* path = path_of(at);
    if (path != NULL) {
      PyErr_Format(PyExc_ValueError,
                   "%U: the array is on DLPack device %d:%d; only host memory is supported here: "
                   "copy it to the CPU first",
                   path, type, index);
    }
    Py_XDECREF(path);
    return NULL;
  }
  PyObject* method = PyObject_GetAttrString(object, "__dlpack__");
  PyObject* none = method != NULL ? PyTuple_New(0) : NULL;
  PyObject* keywords = none != NULL ? Py_BuildValue("{s(ii)}", "max_version", 1, 0) : NULL;
  PyObject* capsule = keywords != NULL ? PyObject_Call(method, none, keywords) : NULL;
  if (capsule == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    capsule = PyObject_CallObject(method, NULL);
  }
  Py_XDECREF(method);
  Py_XDECREF(none);
  Py_XDECREF(keywords);
  if (capsule == NULL) return add_place(at);
  int versioned = PyCapsule_IsValid(capsule, "dltensor_versioned");
  const char* name = versioned ? "dltensor_versioned" : "dltensor";
  void* managed = PyCapsule_GetPointer(capsule, name);
  if (managed == NULL ||
      PyCapsule_SetName(capsule, versioned ? "used_dltensor_versioned" : "used_dltensor") != 0) {
    Py_DECREF(capsule);
    return add_place(at);
  }
  dcp_tensor* tensor = NULL;
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_tensor_from_dlpack(managed, versioned, &tensor, &error);
  if (status == DCP_OK) status = dcp_value_tensor(DCP_VALUE_TENSOR, tensor, &value, &error);
  dcp_tensor_free(tensor);
  Py_DECREF(capsule);
  if (status != DCP_OK) return refuse_status(at, status, error);
  return value;
}

/* ---- containers ---- */

static void free_values(dcp_value** values, Py_ssize_t count) {
  for (Py_ssize_t i = 0; values != NULL && i < count; i++) dcp_value_free(values[i]);
  free(values);
}

static dcp_value* finish_sequence(int32_t kind, dcp_value** items, Py_ssize_t count,
                                  const place* at) {
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status =
      dcp_value_sequence(kind, (const dcp_value* const*)items, (size_t)count, &value, &error);
  free_values(items, count);
  if (status != DCP_OK) return refuse_status(at, status, error);
  return value;
}

static dcp_value* encode_sequence(encoder* e, PyObject* sequence, int32_t kind, int descend,
                                  const place* at) {
  Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
  dcp_value** items = calloc((size_t)count + 1, sizeof *items);
  if (items == NULL) return (dcp_value*)PyErr_NoMemory();
  place here = {at, NULL, 0};
  for (Py_ssize_t i = 0; i < count; i++) {
    if (i >= PySequence_Fast_GET_SIZE(sequence)) {
      free_values(items, count);
      return refuse(at, PyExc_RuntimeError, "list changed while it was read");
    }
    PyObject* item = PySequence_Fast_GET_ITEM(sequence, i);
    here.index = i;
    Py_INCREF(item);
    items[i] = encode(e, item, descend, &here);
    Py_DECREF(item);
    if (items[i] == NULL) {
      free_values(items, count);
      return NULL;
    }
  }
  return finish_sequence(kind, items, count, at);
}

static dcp_value* encode_set(encoder* e, PyObject* set, int32_t kind, const place* at) {
  PyObject* list = PySequence_List(set);
  if (list == NULL) return add_place(at);
  dcp_value* value = encode_sequence(e, list, kind, 0, at);
  /* its items live as long as the set, and temporaries as long as the encoder needs them */
  if (value != NULL && PyList_Append(e->keep->objects, list) != 0) {
    dcp_value_free(value);
    value = NULL;
  }
  Py_DECREF(list);
  return value;
}

static dcp_value* finish_dict(int32_t kind, dcp_value** keys, dcp_value** values, Py_ssize_t count,
                              const place* at) {
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status =
      dcp_value_dict(kind, (const dcp_value* const*)keys, (const dcp_value* const*)values,
                     (size_t)count, &value, &error);
  free_values(keys, count);
  free_values(values, count);
  if (status != DCP_OK) return refuse_status(at, status, error);
  return value;
}

/* `pairs` is a list of (key, value) tuples. */
static dcp_value* encode_pairs(encoder* e, PyObject* pairs, int32_t kind, int descend,
                               const place* at) {
  Py_ssize_t count = PyList_GET_SIZE(pairs);
  dcp_value** keys = calloc((size_t)count + 1, sizeof *keys);
  dcp_value** values = calloc((size_t)count + 1, sizeof *values);
  if (keys == NULL || values == NULL) {
    free(keys);
    free(values);
    return (dcp_value*)PyErr_NoMemory();
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject* pair = PyList_GET_ITEM(pairs, i);
    place here = {at, NULL, i};
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
      refuse(at, PyExc_TypeError, "items() of the mapping gives no pairs");
    } else {
      here.key = PyTuple_GET_ITEM(pair, 0);
      keys[i] = encode(e, here.key, 0, &here);
      if (keys[i] != NULL) values[i] = encode(e, PyTuple_GET_ITEM(pair, 1), descend, &here);
    }
    if (values[i] == NULL) {
      free_values(keys, count);
      free_values(values, count);
      return NULL;
    }
  }
  return finish_dict(kind, keys, values, count, at);
}

static dcp_value* encode_dict(encoder* e, PyObject* dict, int descend, const place* at) {
  Py_ssize_t count = PyDict_GET_SIZE(dict);
  dcp_value** keys = calloc((size_t)count + 1, sizeof *keys);
  dcp_value** values = calloc((size_t)count + 1, sizeof *values);
  if (keys == NULL || values == NULL) {
    free(keys);
    free(values);
    return (dcp_value*)PyErr_NoMemory();
  }
  PyObject *key, *object;
  Py_ssize_t cursor = 0, i = 0;
  int failed = 0;
  while (!failed && PyDict_Next(dict, &cursor, &key, &object)) {
    if (i >= count) break;
    place here = {at, key, i};
    Py_INCREF(key);
    Py_INCREF(object);
    keys[i] = encode(e, key, 0, &here);
    if (keys[i] != NULL) values[i] = encode(e, object, descend, &here);
    failed = values[i] == NULL;
    Py_DECREF(key);
    Py_DECREF(object);
    if (!failed && PyDict_GET_SIZE(dict) != count) {
      refuse(at, PyExc_RuntimeError, "dict changed while it was read");
      failed = 1;
    }
    i++;
  }
  if (failed) {
    free_values(keys, count);
    free_values(values, count);
    return NULL;
  }
  return finish_dict(DCP_VALUE_DICT, keys, values, i, at);
}

/* dict subclasses and other mappings; OrderedDict keeps its kind. */
static dcp_value* encode_mapping(encoder* e, PyObject* mapping, int32_t kind, int descend,
                                 const place* at) {
  PyObject* items = PyMapping_Items(mapping);
  if (items == NULL) return add_place(at);
  /* values made on the fly have to outlive the addresses remembered in `seen` */
  dcp_value* value = PyList_Append(e->keep->objects, items) == 0
                         ? encode_pairs(e, items, kind, descend, at)
                         : NULL;
  Py_DECREF(items);
  return value;
}

/* ---- what the package explains ---- */

FLAT static dcp_value* encode_sharded(encoder* e, PyObject* recipe, const place* at) {
  int64_t shape[kMaxDims];
  long dtype = PyLong_AsLong(PyTuple_GET_ITEM(recipe, 1));
  int ndim = pydcp_sizes_in(PyTuple_GET_ITEM(recipe, 2), shape, kMaxDims, "the global shape");
  if (PyErr_Occurred() || ndim < 0) return add_place(at);
  PyObject* chunks = PySequence_Fast(PyTuple_GET_ITEM(recipe, 3), "chunks are a sequence");
  if (chunks == NULL) return add_place(at);
  Py_ssize_t count = PySequence_Fast_GET_SIZE(chunks);
  dcp_tensor** shards = calloc((size_t)count + 1, sizeof *shards);
  int64_t* offsets = calloc((size_t)count * (size_t)(ndim + 1) + 1, sizeof *offsets);
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status = DCP_OK;
  if (shards == NULL || offsets == NULL) {
    PyErr_NoMemory();
    goto done;
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject* chunk = PySequence_Fast_GET_ITEM(chunks, i);
    place here = {at, NULL, i};
    if (!PyTuple_Check(chunk) || PyTuple_GET_SIZE(chunk) != 2) {
      refuse(&here, PyExc_TypeError, "a chunk is a pair (offsets, array)");
      goto done;
    }
    int dims = pydcp_sizes_in(PyTuple_GET_ITEM(chunk, 0), offsets + i * ndim, ndim, "a chunk");
    if (dims != ndim) {
      if (!PyErr_Occurred())
        refuse(&here, PyExc_ValueError, "offsets and global shape differ in length");
      goto done;
    }
    dcp_value* part = encode(e, PyTuple_GET_ITEM(chunk, 1), 0, &here);
    if (part == NULL) goto done;
    status = dcp_value_get_tensor(part, 0, &shards[i], &error);
    dcp_value_free(part);
    if (status != DCP_OK) {
      dcp_error_free(error);
      refuse(&here, PyExc_TypeError, "a chunk holds an array or a tensor");
      goto done;
    }
  }
  status = dcp_value_sharded_tensor((int32_t)dtype, ndim, shape, (const dcp_tensor* const*)shards,
                                    offsets, (size_t)count, &value, &error);
  if (status != DCP_OK) refuse_status(at, status, error);
done:
  for (Py_ssize_t i = 0; shards != NULL && i < count; i++) dcp_tensor_free(shards[i]);
  free(shards);
  free(offsets);
  Py_DECREF(chunks);
  return value;
}

/* A RawArray: elements of a dtype that numpy lacks, as bytes with one dimension more. */
FLAT static dcp_value* encode_raw(encoder* e, PyObject* recipe, const place* at) {
  dcp_tensor_view view;
  int64_t shape[kMaxDims], strides[kMaxDims];
  int writable = 0;
  PyObject* bytes = PyTuple_GET_ITEM(recipe, 3);
  long dtype = PyLong_AsLong(PyTuple_GET_ITEM(recipe, 1));
  int32_t item = dcp_dtype_size((int32_t)dtype);
  if (PyErr_Occurred()) return add_place(at);
  int how = describe_array(bytes, &view, shape, strides, &writable);
  if (how < 0) return add_place(at);
  int fits = how == 0 && view.dtype == DCP_UINT8 && view.ndim >= 1 && item > 0 &&
             shape[view.ndim - 1] == item && (item == 1 || strides[view.ndim - 1] == 1);
  for (int d = 0; fits && d < view.ndim - 1; d++) {
    fits = strides[d] % item == 0;
    strides[d] /= item;
  }
  if (!fits) return refuse(at, PyExc_ValueError, "the bytes of a RawArray do not fit its dtype");
  if (e->target && !writable) return refuse(at, PyExc_ValueError, "the RawArray is read-only");
  if (PyList_Append(e->keep->objects, bytes) != 0) return NULL;
  view.dtype = (int32_t)dtype;
  view.ndim--;
  return finish_tensor(e, DCP_VALUE_TENSOR, &view, at);
}

static dcp_value* encode_constructed(encoder* e, PyObject* recipe, const place* at) {
  const char* global = PyUnicode_AsUTF8(PyTuple_GET_ITEM(recipe, 1));
  PyObject* arguments = PyTuple_GET_ITEM(recipe, 2);
  PyObject* state = PyTuple_GET_ITEM(recipe, 3);
  if (global == NULL) return add_place(at);
  dcp_value* encoded = NULL;
  if (arguments != Py_None) {
    if (!PyTuple_Check(arguments)) return refuse(at, PyExc_TypeError, "arguments are a tuple");
    encoded = encode_sequence(e, arguments, DCP_VALUE_TUPLE, 0, at);
    if (encoded == NULL) return NULL;
  }
  dcp_value* encoded_state = NULL;
  if (state != Py_None) {
    encoded_state = encode(e, state, 0, at);
    if (encoded_state == NULL) {
      dcp_value_free(encoded);
      return NULL;
    }
  }
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_value_constructed(global, encoded, encoded_state, &value, &error);
  dcp_value_free(encoded);
  dcp_value_free(encoded_state);
  if (status != DCP_OK) return refuse_status(at, status, error);
  return value;
}

static dcp_value* encode_other(encoder* e, PyObject* object, int descend, const place* at) {
  PyObject* recipe = PyObject_CallFunction(pydcp.encode_other, "Oi", object, descend);
  if (recipe == NULL) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) return add_place(at);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject* path = path_of(at);
    if (path != NULL) PyErr_Format(PyExc_TypeError, "%U: %S", path, value);
    Py_XDECREF(path);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return NULL;
  }
  /* parts of the recipe are temporaries whose addresses may be remembered */
  if (!PyTuple_Check(recipe) || PyTuple_GET_SIZE(recipe) < 3 ||
      PyList_Append(e->keep->objects, recipe) != 0) {
    Py_DECREF(recipe);
    return refuse(at, PyExc_SystemError, "libdcp: no recipe");
  }
  Py_ssize_t size = PyTuple_GET_SIZE(recipe);
  long as = PyLong_AsLong(PyTuple_GET_ITEM(recipe, 0));
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status = DCP_OK;
  const char* bytes;
  Py_ssize_t length;
  PyObject* holder = NULL;
  if (as == PYDCP_AS_TEXT) {
    long kind = PyLong_AsLong(PyTuple_GET_ITEM(recipe, 1));
    if (pydcp_text_in(PyTuple_GET_ITEM(recipe, 2), &bytes, &length, &holder) == 0) {
      status = dcp_value_text((int32_t)kind, bytes, (size_t)length, &value, &error);
    }
  } else if (as == PYDCP_AS_PATH) {
    const char* global = PyUnicode_AsUTF8(PyTuple_GET_ITEM(recipe, 1));
    if (global != NULL &&
        pydcp_text_in(PyTuple_GET_ITEM(recipe, 2), &bytes, &length, &holder) == 0) {
      status = dcp_value_path(global, bytes, (size_t)length, &value, &error);
    }
  } else if (as == PYDCP_AS_OPAQUE) {
    const char* global = PyUnicode_AsUTF8(PyTuple_GET_ITEM(recipe, 1));
    if (global != NULL &&
        pydcp_text_in(PyTuple_GET_ITEM(recipe, 2), &bytes, &length, &holder) == 0) {
      status = dcp_value_opaque(global, bytes, (size_t)length, &value, &error);
    }
  } else if (as == PYDCP_AS_CONSTRUCTED && size == 4) {
    value = encode_constructed(e, recipe, at);
  } else if (as == PYDCP_AS_SHARDED && size == 4) {
    value = encode_sharded(e, recipe, at);
  } else if (as == PYDCP_AS_RAW && size == 4) {
    value = encode_raw(e, recipe, at);
  } else if (as == PYDCP_AS_SEQUENCE && PyList_Check(PyTuple_GET_ITEM(recipe, 2))) {
    long kind = PyLong_AsLong(PyTuple_GET_ITEM(recipe, 1));
    value = encode_sequence(e, PyTuple_GET_ITEM(recipe, 2), (int32_t)kind, descend, at);
  } else if (as == PYDCP_AS_PAIRS && PyList_Check(PyTuple_GET_ITEM(recipe, 2))) {
    long kind = PyLong_AsLong(PyTuple_GET_ITEM(recipe, 1));
    value = encode_pairs(e, PyTuple_GET_ITEM(recipe, 2), (int32_t)kind, descend, at);
  } else {
    refuse(at, PyExc_SystemError, "libdcp: unknown recipe");
  }
  if (status != DCP_OK) refuse_status(at, status, error);
  Py_XDECREF(holder);
  Py_DECREF(recipe);
  return value;
}

static long type_of(PyObject* object) {
  PyObject* type = (PyObject*)Py_TYPE(object);
  PyObject* code = PyDict_GetItemWithError(pydcp.types, type);
  if (code != NULL) return PyLong_AsLong(code);
  if (PyErr_Occurred()) return -1;
  code = PyObject_CallFunctionObjArgs(pydcp.classify, type, NULL);
  if (code == NULL || PyDict_SetItem(pydcp.types, type, code) != 0) {
    Py_XDECREF(code);
    return -1;
  }
  long number = PyLong_AsLong(code);
  Py_DECREF(code);
  return number;
}

static dcp_status encode_int(PyObject* object, dcp_value** value, dcp_error** error) {
  int overflow = 0;
  long long small = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (overflow == 0) return dcp_value_int(small, value, error);
  dcp_status status = DCP_OK;
  PyObject* bits = PyObject_CallMethod(object, "bit_length", NULL);
  Py_ssize_t size = bits != NULL ? PyLong_AsSsize_t(bits) / 8 + 1 : 0;
  PyObject* method = PyObject_GetAttrString(object, "to_bytes");
  PyObject* arguments = Py_BuildValue("(ns)", size, "little");
  PyObject* keywords = Py_BuildValue("{sO}", "signed", Py_True);
  PyObject* bytes = bits != NULL && method != NULL && arguments != NULL && keywords != NULL
                        ? PyObject_Call(method, arguments, keywords)
                        : NULL;
  if (bytes != NULL) {
    status =
        dcp_value_big_int(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes), value, error);
  }
  Py_XDECREF(bits);
  Py_XDECREF(method);
  Py_XDECREF(arguments);
  Py_XDECREF(keywords);
  Py_XDECREF(bytes);
  return status;
}

static dcp_value* encode_container(encoder* e, PyObject* object, int descend, const place* at) {
  if (PyList_CheckExact(object)) return encode_sequence(e, object, DCP_VALUE_LIST, descend, at);
  if (PyTuple_CheckExact(object)) return encode_sequence(e, object, DCP_VALUE_TUPLE, 0, at);
  if (PyDict_CheckExact(object)) return encode_dict(e, object, descend, at);
  if (PyAnySet_CheckExact(object)) {
    return encode_set(e, object, PySet_CheckExact(object) ? DCP_VALUE_SET : DCP_VALUE_FROZENSET,
                      at);
  }
  return encode_mapping(e, object, DCP_VALUE_ORDERED_DICT, descend, at);
}

/* Containers that somebody else refers to as well are remembered. What `descend` changes is only
 * how mappings of other types are seen, so shared parts are remembered for one of the two at most.
 */
static dcp_value* encode_shared(encoder* e, PyObject* object, int descend, const place* at) {
  seen* known = seen_find(e, object);
  dcp_error* error = NULL;
  if (known != NULL) {
    if (known->value == NULL) return refuse(at, PyExc_ValueError, "the object contains itself");
    /* a counted copy of the handle: a one-item list gives its item back as a new handle */
    dcp_value *list = NULL, *copy = NULL;
    const dcp_value* item = known->value;
    dcp_status status = dcp_value_sequence(DCP_VALUE_LIST, &item, 1, &list, &error);
    if (status == DCP_OK) status = dcp_value_at(list, 0, &copy, &error);
    dcp_value_free(list);
    if (status != DCP_OK) return refuse_status(at, status, error);
    return copy;
  }
  if (seen_put(e, object, NULL) != 0) return NULL;
  dcp_value* value = encode_container(e, object, descend, at);
  if (value == NULL) return NULL;
  /* the caller's handle and the remembered one are two */
  dcp_value *list = NULL, *copy = NULL;
  const dcp_value* item = value;
  dcp_status status = dcp_value_sequence(DCP_VALUE_LIST, &item, 1, &list, &error);
  if (status == DCP_OK) status = dcp_value_at(list, 0, &copy, &error);
  dcp_value_free(list);
  if (status != DCP_OK || seen_put(e, object, copy) != 0) {
    dcp_value_free(value);
    dcp_value_free(copy);
    return status != DCP_OK ? refuse_status(at, status, error) : NULL;
  }
  return value;
}

FLAT static dcp_value* encode_size(PyObject* object, const place* at) {
  int64_t sizes[256];
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  int count = pydcp_sizes_in(object, sizes, 256, "torch.Size");
  if (count < 0) return add_place(at);
  dcp_status status = dcp_value_size(sizes, (size_t)count, &value, &error);
  if (status != DCP_OK) return refuse_status(at, status, error);
  return value;
}

static dcp_value* encode_leaf(encoder* e, PyObject* object, int descend, const place* at) {
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status;
  if (PyUnicode_CheckExact(object)) {
    const char* bytes;
    Py_ssize_t size;
    PyObject* holder;
    if (pydcp_text_in(object, &bytes, &size, &holder) != 0) return add_place(at);
    status = dcp_value_text(DCP_VALUE_STRING, bytes, (size_t)size, &value, &error);
    Py_XDECREF(holder);
  } else if (PyLong_CheckExact(object)) {
    status = encode_int(object, &value, &error);
    if (PyErr_Occurred()) return add_place(at);
  } else if (PyFloat_CheckExact(object)) {
    status = dcp_value_float(PyFloat_AS_DOUBLE(object), &value, &error);
  } else if (PyBool_Check(object)) {
    status = dcp_value_bool(object == Py_True, &value, &error);
  } else if (object == Py_None) {
    status = dcp_value_none(&value, &error);
  } else if (PyBytes_CheckExact(object)) {
    status = dcp_value_text(DCP_VALUE_BYTES, PyBytes_AS_STRING(object),
                            (size_t)PyBytes_GET_SIZE(object), &value, &error);
  } else if (PyByteArray_CheckExact(object)) {
    status = dcp_value_text(DCP_VALUE_BYTEARRAY, PyByteArray_AS_STRING(object),
                            (size_t)PyByteArray_GET_SIZE(object), &value, &error);
  } else if (PyComplex_CheckExact(object)) {
    status = dcp_value_complex(PyComplex_RealAsDouble(object), PyComplex_ImagAsDouble(object),
                               &value, &error);
  } else {
    switch (type_of(object)) {
      case PYDCP_TYPE_ARRAY:
        return encode_array(e, object, DCP_VALUE_TENSOR, at);
      case PYDCP_TYPE_SCALAR:
        return encode_scalar(e, object, at);
      case PYDCP_TYPE_TORCH:
        return encode_torch(e, object, at);
      case PYDCP_TYPE_DLPACK:
        return encode_dlpack(object, at);
      case PYDCP_TYPE_MAPPING:
        if (descend) return encode_mapping(e, object, DCP_VALUE_DICT, descend, at);
        return encode_other(e, object, descend, at);
      case PYDCP_TYPE_SIZE:
        return encode_size(object, at);
      case PYDCP_TYPE_OTHER:
        return encode_other(e, object, descend, at);
      default:
        return add_place(at);
    }
  }
  if (status != DCP_OK) return refuse_status(at, status, error);
  return value;
}

static int is_ordered_dict(PyObject* object) { return PyODict_CheckExact(object); }

static dcp_value* encode(encoder* e, PyObject* object, int descend, const place* at) {
  int container = PyList_CheckExact(object) || PyTuple_CheckExact(object) ||
                  PyDict_CheckExact(object) || PyAnySet_CheckExact(object) ||
                  is_ordered_dict(object);
  if (!container && Py_TYPE(object) != NULL) {
    if (e->depth >= kMaxDepth) {
      return refuse(at, PyExc_ValueError, "nested deeper than 1000 levels");
    }
    e->depth++;
    dcp_value* value = encode_leaf(e, object, descend, at);
    e->depth--;
    return value;
  }
  if (e->depth >= kMaxDepth || Py_EnterRecursiveCall(" while converting a state dict")) {
    if (PyErr_Occurred()) return NULL;
    return refuse(at, PyExc_ValueError, "nested deeper than 1000 levels, or containing itself");
  }
  e->depth++;
  /* one reference is the parent's and one the caller's of this function */
  dcp_value* value = Py_REFCNT(object) > 2 ? encode_shared(e, object, descend, at)
                                           : encode_container(e, object, descend, at);
  e->depth--;
  Py_LeaveRecursiveCall();
  return value;
}

/* ---- entry points ---- */

static dcp_value* encode_root(PyObject* object, const char* called, int target) {
  encoder e = {keeper_new(), target, 0, NULL, 0, 0};
  if (e.keep == NULL) return NULL;
  place root = {NULL, NULL, 0};
  PyObject* name = PyUnicode_FromString(called);
  root.key = name;
  dcp_value* value = name != NULL ? encode(&e, object, 0, &root) : NULL;
  Py_XDECREF(name);
  encoder_end(&e);
  return value;
}

dcp_value* pydcp_encode(PyObject* object) { return encode_root(object, "value", 0); }

dcp_value* pydcp_encode_state(PyObject* object, int target) {
  return encode_root(object, "state_dict", target);
}

dcp_tensor* pydcp_tensor_to_fill(PyObject* array) {
  dcp_value* value = encode_root(array, "value", 1);
  if (value == NULL) return NULL;
  dcp_tensor* tensor = NULL;
  dcp_error* error = NULL;
  dcp_status status = DCP_OK;
  if (dcp_value_kind_of(value) != DCP_VALUE_TENSOR) {
    PyErr_Format(PyExc_TypeError, "expected an array to be filled, not %s",
                 Py_TYPE(array)->tp_name);
  } else {
    status = dcp_value_get_tensor(value, 0, &tensor, &error);
  }
  dcp_value_free(value);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return tensor;
}

static int put(encoder* e, dcp_state_dict* state, PyObject* key, PyObject* object) {
  place at = {NULL, key, 0};
  PyObject* name = PyObject_Str(key);
  const char* bytes;
  Py_ssize_t size;
  PyObject* holder = NULL;
  if (name == NULL || pydcp_text_in(name, &bytes, &size, &holder) != 0) {
    Py_XDECREF(name);
    return -1;
  }
  dcp_value* value = encode(e, object, 1, &at);
  int result = -1;
  if (value != NULL) {
    dcp_error* error = NULL;
    dcp_status status = dcp_state_dict_set(state, bytes, (size_t)size, value, &error);
    if (status == DCP_OK) {
      result = 0;
    } else {
      refuse_status(&at, status, error);
    }
    dcp_value_free(value);
  }
  Py_XDECREF(holder);
  Py_DECREF(name);
  return result;
}

PyObject* pydcp_only_plain_tensors(PyObject* mapping, PyObject* types, PyObject* marker) {
  if (!PyDict_Check(mapping) || !PyTuple_Check(types)) Py_RETURN_FALSE;
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (PyDict_Next(mapping, &at, &key, &value)) {
    int known = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); i++) {
      if ((PyObject*)Py_TYPE(value) == PyTuple_GET_ITEM(types, i)) known = 1;
    }
    if (!known || !PyUnicode_CheckExact(key)) Py_RETURN_FALSE;
    Py_INCREF(value); /* what it says of itself is code of others */
    int cpu = is_true(say(value, kIsCpu));
    int marked = cpu == 1 && PyObject_HasAttr(value, marker);
    Py_DECREF(value);
    if (cpu < 0) return NULL;
    if (cpu == 0 || marked) Py_RETURN_FALSE;
  }
  Py_RETURN_TRUE;
}

/* Whether its items are those of dict, in a dict's own order. */
static int is_plain_dict(PyObject* mapping) {
  if (PyDict_CheckExact(mapping)) return 1;
  if (!PyDict_Check(mapping)) return 0;
  PyObject* own = PyObject_GetAttrString((PyObject*)Py_TYPE(mapping), "items");
  PyObject* plain = PyObject_GetAttrString((PyObject*)&PyDict_Type, "items");
  int same = own != NULL && own == plain;
  Py_XDECREF(own);
  Py_XDECREF(plain);
  PyErr_Clear();
  return same;
}

/* Of a dict without a pair for each item, which the garbage collector would look at. */
static int put_dict(encoder* e, dcp_state_dict* state, PyObject* dict) {
  PyObject* keys = PyDict_Keys(dict);
  PyObject* values = keys != NULL ? PyDict_Values(dict) : NULL;
  int failed = values == NULL || PyList_Append(e->keep->objects, values) != 0;
  for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(keys); i++) {
    failed = put(e, state, PyList_GET_ITEM(keys, i), PyList_GET_ITEM(values, i)) != 0;
  }
  Py_XDECREF(keys);
  Py_XDECREF(values);
  return failed ? -1 : 0;
}

static int put_items(encoder* e, dcp_state_dict* state, PyObject* mapping) {
  PyObject* items = PyMapping_Items(mapping);
  if (items == NULL) {
    PyErr_Format(PyExc_TypeError, "a state dict is a mapping, not %s", Py_TYPE(mapping)->tp_name);
    return -1;
  }
  int failed = PyList_Append(e->keep->objects, items) != 0;
  for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(items); i++) {
    PyObject* pair = PyList_GET_ITEM(items, i);
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
      PyErr_SetString(PyExc_TypeError, "items() of the state dict gives no pairs");
      failed = 1;
    } else {
      failed = put(e, state, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)) != 0;
    }
  }
  Py_DECREF(items);
  return failed ? -1 : 0;
}

dcp_state_dict* pydcp_state_dict(PyObject* mapping, int target) {
  encoder e = {keeper_new(), target, 0, NULL, 0, 0};
  if (e.keep == NULL) return NULL;
  dcp_state_dict* state = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_state_dict_new(&state, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  int failed = status != DCP_OK || (is_plain_dict(mapping) ? put_dict(&e, state, mapping)
                                                           : put_items(&e, state, mapping)) != 0;
  encoder_end(&e);
  if (failed) {
    dcp_state_dict_free(state);
    return NULL;
  }
  return state;
}

int pydcp_view_of(PyObject* array, dcp_tensor_view* view, int64_t* shape, int64_t* strides,
                  PyObject** keep) {
  *keep = NULL;
  long type = type_of(array);
  if (type < 0) return -1;
  if (type == PYDCP_TYPE_TORCH) {
    PyObject* held = array;
    Py_INCREF(held);
    if (describe_torch(&held, 1, view, shape, strides) != 0) {
      Py_DECREF(held);
      return -1;
    }
    *keep = held;
    return 0;
  }
  if (type == PYDCP_TYPE_ARRAY) {
    int writable = 0;
    int how = describe_array(array, view, shape, strides, &writable);
    if (how < 0) return -1;
    if (how != 0 || !writable) {
      PyErr_SetString(PyExc_ValueError,
                      how == 0 ? "the array is read-only"
                               : "the array's dtype, byte order or strides cannot be read into");
      return -1;
    }
    Py_INCREF(array);
    *keep = array;
    return 0;
  }
  PyErr_Format(PyExc_TypeError, "expected a numpy array or a torch tensor, not %s",
               Py_TYPE(array)->tp_name);
  return -1;
}
