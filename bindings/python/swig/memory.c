/* Memory of the library as Python sees it: a small bytes-like object that either owns a tensor or
 * is on loan for one callback, and the arrays built over it. */
#include <stdlib.h>

#include "pydcp.h"

typedef struct memory {
  PyObject_HEAD void* data;
  Py_ssize_t size;
  int read_only;
  Py_ssize_t exports;
  dcp_tensor* tensor; /* [owned], or NULL: on loan */
} memory;

static int memory_get(PyObject* self, Py_buffer* view, int flags) {
  memory* m = (memory*)self;
  static char nothing;
  void* data = m->data != NULL ? m->data : &nothing;
  if (PyBuffer_FillInfo(view, self, data, m->size, m->read_only, flags) != 0) return -1;
  m->exports++;
  return 0;
}

static void memory_release(PyObject* self, Py_buffer* view) {
  (void)view;
  ((memory*)self)->exports--;
}

static void memory_dealloc(PyObject* self) {
  dcp_tensor* tensor = ((memory*)self)->tensor;
  Py_TYPE(self)->tp_free(self);
  dcp_tensor_free(tensor);
}

static PyBufferProcs memory_buffer = {memory_get, memory_release};

static PyTypeObject memory_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "libdcp._dcp_raw.Memory",
    .tp_basicsize = sizeof(memory),
    .tp_dealloc = memory_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Bytes of a tensor that libdcp holds, or on loan to one callback.",
    .tp_as_buffer = &memory_buffer,
};

int pydcp_memory_ready(void) { return PyType_Ready(&memory_type); }

static memory* memory_new(void* data, size_t size, int read_only) {
  if (size > (size_t)PY_SSIZE_T_MAX) {
    PyErr_NoMemory();
    return NULL;
  }
  memory* m = PyObject_New(memory, &memory_type);
  if (m == NULL) return NULL;
  m->data = data;
  m->size = (Py_ssize_t)size;
  m->read_only = read_only;
  m->exports = 0;
  m->tensor = NULL;
  return m;
}

PyObject* pydcp_memory_of_tensor(dcp_tensor* tensor, void* data, size_t size, int read_only) {
  memory* m = memory_new(data, size, read_only);
  if (m == NULL) {
    dcp_tensor_free(tensor);
    return NULL;
  }
  m->tensor = tensor;
  return (PyObject*)m;
}

PyObject* pydcp_lend(void* data, size_t size, int read_only, PyObject** loan) {
  *loan = (PyObject*)memory_new(data, size, read_only);
  if (*loan == NULL) return NULL;
  PyObject* view = PyMemoryView_FromObject(*loan);
  if (view == NULL) Py_CLEAR(*loan);
  return view;
}

int pydcp_return(PyObject* view, PyObject* loan) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject* released = PyObject_CallMethod(view, "release", NULL);
  if (released == NULL) PyErr_Clear();
  Py_XDECREF(released);
  Py_DECREF(view);
  int held = ((memory*)loan)->exports > 0;
  Py_DECREF(loan);
  if (type != NULL) { /* the callback failed anyway, and that is what counts */
    PyErr_Restore(type, value, traceback);
    return 0;
  }
  if (held) {
    PyErr_SetString(PyExc_BufferError,
                    "the callback kept a view of a buffer that is valid during the call only; "
                    "copy what is to be kept");
    return -1;
  }
  return 0;
}

/* Bytes from element [0, 0, ...] to the end of the last element. */
static size_t extent_of(const dcp_tensor_view* view, size_t item) {
  size_t last = 0;
  for (int32_t d = 0; d < view->ndim; d++) {
    if (view->shape[d] == 0) return 0;
  }
  int64_t dense = 1;
  for (int32_t d = view->ndim - 1; d >= 0; d--) {
    int64_t stride = view->strides != NULL ? view->strides[d] : dense;
    last += (size_t)(view->shape[d] - 1) * (size_t)stride;
    dense *= view->shape[d];
  }
  return (last + 1) * item;
}

PyObject* pydcp_array_of_tensor(dcp_tensor* tensor) {
  dcp_tensor_view view = {0};
  view.struct_size = sizeof view;
  dcp_error* error = NULL;
  dcp_status status = dcp_tensor_get_view(tensor, &view, &error);
  if (status != DCP_OK) {
    dcp_tensor_free(tensor);
    pydcp_raise(status, error, NULL);
    return NULL;
  }
  if (view.device_type > 1) {
    dcp_tensor_free(tensor);
    PyErr_Format(PyExc_BufferError, "tensor lies on device %d:%d, not in host memory",
                 (int)view.device_type, (int)view.device_index);
    return NULL;
  }
  int32_t item = dcp_dtype_size(view.dtype);
  PyObject* number = PyLong_FromLong(view.dtype);
  PyObject* dtype = number != NULL ? PyDict_GetItemWithError(pydcp.numpy_objects, number) : NULL;
  Py_XDECREF(number);
  if (item <= 0 || PyErr_Occurred()) {
    dcp_tensor_free(tensor);
    if (!PyErr_Occurred()) {
      PyErr_Format(PyExc_ValueError, "tensor of an unknown dtype, number %d", (int)view.dtype);
    }
    return NULL;
  }
  int raw = dtype == NULL;
  int32_t ndim = view.ndim + raw;
  PyObject* shape = PyTuple_New(ndim);
  PyObject* strides = PyTuple_New(ndim);
  PyObject* global_shape = pydcp_sizes_out(view.shape, (size_t)view.ndim);
  PyObject* array = NULL;
  PyObject* bytes = NULL;
  int32_t dtype_number = view.dtype;
  if (shape == NULL || strides == NULL || global_shape == NULL) goto done;
  if (raw) {
    PyTuple_SET_ITEM(shape, view.ndim, PyLong_FromLong(item));
    PyTuple_SET_ITEM(strides, view.ndim, PyLong_FromLong(1));
  }
  int64_t dense = 1;
  for (int32_t d = view.ndim - 1; d >= 0; d--) {
    int64_t stride = view.strides != NULL ? view.strides[d] : dense;
    PyTuple_SET_ITEM(shape, d, PyLong_FromLongLong(view.shape[d]));
    PyTuple_SET_ITEM(strides, d, PyLong_FromLongLong(stride * item));
    if (view.shape[d] > 0) dense *= view.shape[d];
  }
  if (PyErr_Occurred()) goto done;
  bytes = pydcp_memory_of_tensor(tensor, view.data, extent_of(&view, (size_t)item),
                                 (view.flags & DCP_TENSOR_READ_ONLY) != 0);
  tensor = NULL;
  if (bytes == NULL) goto done;
  array = PyObject_CallFunction(pydcp.ndarray, "OOOiO", shape, raw ? pydcp.bytes_dtype : dtype,
                                bytes, 0, strides);
  if (array != NULL && raw) {
    Py_SETREF(array, PyObject_CallFunction(pydcp.raw_array, "OsO", array,
                                           dcp_dtype_name(dtype_number), global_shape));
  }
done:
  Py_XDECREF(shape);
  Py_XDECREF(strides);
  Py_XDECREF(global_shape);
  Py_XDECREF(bytes);
  dcp_tensor_free(tensor);
  return array;
}

PyObject* pydcp_array_of_borrowed(const dcp_tensor* tensor) {
  dcp_value* value = NULL;
  dcp_tensor* copy = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_value_tensor(DCP_VALUE_TENSOR, tensor, &value, &error);
  if (status == DCP_OK) status = dcp_value_get_tensor(value, 0, &copy, &error);
  dcp_value_free(value);
  if (status == DCP_OK) return pydcp_array_of_tensor(copy);
  pydcp_raise(status, error, NULL);
  return NULL;
}

/* The first members of DLPack's two structs, by its public layout: all that a capsule needs is
 * where the deleter lies. */
typedef struct dl_tensor {
  void* data;
  int32_t device_type, device_id, ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} dl_tensor;
typedef struct dl_managed {
  dl_tensor tensor;
  void* context;
  void (*deleter)(struct dl_managed* self);
} dl_managed;
typedef struct dl_managed_versioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(struct dl_managed_versioned* self);
} dl_managed_versioned;

static void delete_unused(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    dl_managed* managed = PyCapsule_GetPointer(capsule, "dltensor");
    if (managed->deleter != NULL) managed->deleter(managed);
  } else if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    dl_managed_versioned* managed = PyCapsule_GetPointer(capsule, "dltensor_versioned");
    if (managed->deleter != NULL) managed->deleter(managed);
  }
}

PyObject* pydcp_capsule_of_tensor(const dcp_tensor* tensor, int versioned) {
  void* managed = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_tensor_to_dlpack(tensor, versioned, &managed, &error);
  if (status != DCP_OK) {
    pydcp_raise(status, error, NULL);
    return NULL;
  }
  const char* name = versioned ? "dltensor_versioned" : "dltensor";
  PyObject* capsule = PyCapsule_New(managed, name, delete_unused);
  if (capsule == NULL) {
    if (versioned) {
      ((dl_managed_versioned*)managed)->deleter(managed);
    } else {
      ((dl_managed*)managed)->deleter(managed);
    }
  }
  return capsule;
}
