/* Communicators: a table filled by a Python object, and the calls on any communicator. */
#include "pydcp.h"

/* ---- a table ---- */

/* A method's result as bytes for the library; `rank` is whose they are. */
static int give_bytes(PyObject* bytes, int32_t rank, dcp_buffer_sink give, void* sink) {
  Py_buffer view;
  if (PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) != 0) return -1;
  give(sink, rank, view.buf, (size_t)view.len);
  PyBuffer_Release(&view);
  return 0;
}

/* Takes `result`. */
static dcp_status give_one(PyObject* result, const char* name, dcp_buffer_sink give, void* sink,
                           dcp_error** error) {
  int failed = result == NULL || give_bytes(result, 0, give, sink) != 0;
  Py_XDECREF(result);
  return failed ? pydcp_fail(name, 0, error) : DCP_OK;
}

/* A sequence with one buffer a rank. Takes `result`. */
static dcp_status give_all(PyObject* result, const char* name, dcp_buffer_sink give, void* sink,
                           dcp_error** error) {
  PyObject* all = result == NULL ? NULL : PySequence_Fast(result, "one buffer a rank is returned");
  int failed = all == NULL;
  for (Py_ssize_t i = 0; !failed && i < PySequence_Fast_GET_SIZE(all); i++) {
    failed = give_bytes(PySequence_Fast_GET_ITEM(all, i), (int32_t)i, give, sink) != 0;
  }
  Py_XDECREF(all);
  Py_XDECREF(result);
  return failed ? pydcp_fail(name, 0, error) : DCP_OK;
}

static PyObject* bytes_of(const void* data, size_t size) {
  return PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

/* What the exception that is set says has come nevertheless: its `arrived`, None where nothing. */
static void give_arrived(dcp_buffer_sink give, void* sink) {
  PyObject *type, *exception, *traceback;
  PyErr_Fetch(&type, &exception, &traceback);
  PyErr_NormalizeException(&type, &exception, &traceback);
  PyObject* arrived = PyObject_GetAttrString(exception, "arrived");
  PyObject* all = arrived == NULL || arrived == Py_None ? NULL : PySequence_Fast(arrived, "");
  for (Py_ssize_t i = 0; all != NULL && i < PySequence_Fast_GET_SIZE(all); i++) {
    PyObject* one = PySequence_Fast_GET_ITEM(all, i);
    if (one != Py_None && give_bytes(one, (int32_t)i, give, sink) != 0) PyErr_Clear();
  }
  Py_XDECREF(all);
  Py_XDECREF(arrived);
  PyErr_Clear();
  PyErr_Restore(type, exception, traceback);
}

static dcp_status on_gather(void* self, const void* data, size_t size, int32_t root,
                            int64_t timeout_ms, dcp_buffer_sink give, void* sink,
                            dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "gather", "NiN", bytes_of(data, size), (int)root,
                                         pydcp_seconds_out(timeout_ms));
  dcp_status status = DCP_OK;
  if (result == Py_None) { /* as elsewhere than on the root */
    Py_DECREF(result);
  } else {
    if (result == NULL) give_arrived(give, sink);
    status = give_all(result, "gather", give, sink, error);
  }
  pydcp_leave(&gil);
  return status;
}

static dcp_status on_scatter(void* self, const dcp_buffer* parts, int32_t root, int64_t timeout_ms,
                             dcp_buffer_sink give, void* sink, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* list = Py_None;
  PyObject* count = parts == NULL ? NULL : PyObject_GetAttrString(self, "world_size");
  Py_INCREF(list);
  if (parts != NULL) {
    long size = count == NULL ? -1 : PyLong_AsLong(count);
    Py_SETREF(list, size < 0 ? NULL : PyList_New(size));
    for (long i = 0; list != NULL && i < size; i++) {
      PyObject* part = bytes_of(parts[i].data, parts[i].size);
      if (part == NULL) {
        Py_CLEAR(list);
      } else {
        PyList_SET_ITEM(list, i, part);
      }
    }
  }
  Py_XDECREF(count);
  PyObject* result = list == NULL ? NULL
                                  : PyObject_CallMethod(self, "scatter", "NiN", list, (int)root,
                                                        pydcp_seconds_out(timeout_ms));
  dcp_status status = give_one(result, "scatter", give, sink, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status on_broadcast(void* self, const void* data, size_t size, int32_t root,
                               int64_t timeout_ms, dcp_buffer_sink give, void* sink,
                               dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "broadcast", "NiN", bytes_of(data, size), (int)root,
                                         pydcp_seconds_out(timeout_ms));
  dcp_status status = give_one(result, "broadcast", give, sink, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status on_all_gather(void* self, const void* data, size_t size, int64_t timeout_ms,
                                dcp_buffer_sink give, void* sink, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "all_gather", "NN", bytes_of(data, size),
                                         pydcp_seconds_out(timeout_ms));
  dcp_status status = give_all(result, "all_gather", give, sink, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status on_barrier(void* self, int64_t timeout_ms, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "barrier", "N", pydcp_seconds_out(timeout_ms));
  dcp_status status = pydcp_settle(result, "barrier", 0, error);
  pydcp_leave(&gil);
  return status;
}

static void on_still_here(void* self, int32_t root, int64_t timeout_ms) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return;
  PyObject* result =
      PyObject_CallMethod(self, "still_here", "iN", (int)root, pydcp_seconds_out(timeout_ms));
  if (result == NULL) PyErr_WriteUnraisable((PyObject*)self);
  Py_XDECREF(result);
  pydcp_leave(&gil);
}

dcp_communicator* pydcp_communicator(PyObject* object, int rank, int world_size) {
  dcp_communicator_table table = {0};
  table.struct_size = sizeof table;
  table.gather = on_gather;
  table.scatter = on_scatter;
  table.broadcast = on_broadcast;
  table.all_gather = on_all_gather;
  table.barrier = on_barrier;
  table.still_here = on_still_here;
  table.destroy = pydcp_drop;
  dcp_communicator* communicator = NULL;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status = dcp_communicator_new(&table, object, rank, world_size, &communicator, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return communicator;
}

/* ---- calls ---- */

/* A list of bytes. Takes `buffers`. */
static PyObject* list_of(dcp_buffers* buffers) {
  PyObject* list = PyList_New((Py_ssize_t)dcp_buffers_count(buffers));
  for (size_t i = 0; list != NULL && i < dcp_buffers_count(buffers); i++) {
    size_t size = 0;
    const void* data = dcp_buffers_at(buffers, i, &size);
    PyObject* bytes = bytes_of(data, size);
    if (bytes == NULL) {
      Py_CLEAR(list);
    } else {
      PyList_SET_ITEM(list, (Py_ssize_t)i, bytes);
    }
  }
  dcp_buffers_free(buffers);
  return list;
}

/* What came nevertheless becomes the exception's `arrived`. */
static PyObject* ended(dcp_status status, dcp_error* error, dcp_buffers* buffers) {
  if (status == DCP_OK) return list_of(buffers);
  PyObject* arrived = list_of(buffers);
  PyErr_Clear();
  pydcp_raise(status, error, NULL);
  if (arrived != NULL && PyList_GET_SIZE(arrived) > 0) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (PyObject_SetAttrString(exception, "arrived", arrived) != 0) PyErr_Clear();
    PyErr_Restore(type, exception, traceback);
  }
  Py_XDECREF(arrived);
  return NULL;
}

/* A call that every rank gives one buffer to. `run` is made without the GIL. */
typedef struct shared_call {
  dcp_communicator* communicator;
  int root;
  int64_t timeout_ms;
  dcp_status (*run)(const struct shared_call* call, const void* data, size_t size,
                    dcp_buffers** out, dcp_error** error);
} shared_call;

static PyObject* share(const shared_call* call, PyObject* data) {
  Py_buffer view;
  if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) return NULL;
  dcp_buffers* out = NULL;
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = call->run(call, view.buf, (size_t)view.len, &out, &error);
  Py_END_ALLOW_THREADS;
  PyBuffer_Release(&view);
  return ended(status, error, out);
}

static dcp_status run_gather(const shared_call* call, const void* data, size_t size,
                             dcp_buffers** out, dcp_error** error) {
  return dcp_communicator_gather(call->communicator, data, size, call->root, call->timeout_ms, out,
                                 error);
}

static dcp_status run_broadcast(const shared_call* call, const void* data, size_t size,
                                dcp_buffers** out, dcp_error** error) {
  return dcp_communicator_broadcast(call->communicator, data, size, call->root, call->timeout_ms,
                                    out, error);
}

static dcp_status run_all_gather(const shared_call* call, const void* data, size_t size,
                                 dcp_buffers** out, dcp_error** error) {
  return dcp_communicator_all_gather(call->communicator, data, size, call->timeout_ms, out, error);
}

PyObject* pydcp_gather(dcp_communicator* communicator, PyObject* data, int root,
                       long long timeout_ms) {
  const shared_call call = {communicator, root, timeout_ms, run_gather};
  return share(&call, data);
}

PyObject* pydcp_broadcast(dcp_communicator* communicator, PyObject* data, int root,
                          long long timeout_ms) {
  const shared_call call = {communicator, root, timeout_ms, run_broadcast};
  return share(&call, data);
}

PyObject* pydcp_all_gather(dcp_communicator* communicator, PyObject* data, long long timeout_ms) {
  const shared_call call = {communicator, 0, timeout_ms, run_all_gather};
  return share(&call, data);
}

PyObject* pydcp_scatter(dcp_communicator* communicator, PyObject* parts, int root,
                        long long timeout_ms) {
  PyObject* list = PySequence_Fast(parts, "parts is a sequence of buffers");
  if (list == NULL) return NULL;
  Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
  Py_ssize_t held = 0;
  Py_buffer* views = PyMem_Calloc((size_t)count + 1, sizeof *views);
  dcp_buffer* buffers = PyMem_Calloc((size_t)count + 1, sizeof *buffers);
  PyObject* result = NULL;
  if (views == NULL || buffers == NULL) PyErr_NoMemory();
  while (views != NULL && buffers != NULL && held < count &&
         PyObject_GetBuffer(PySequence_Fast_GET_ITEM(list, held), &views[held], PyBUF_SIMPLE) ==
             0) {
    buffers[held].data = views[held].buf;
    buffers[held].size = (size_t)views[held].len;
    held++;
  }
  if (!PyErr_Occurred()) {
    dcp_buffers* mine = NULL;
    dcp_error* error = NULL;
    dcp_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = dcp_communicator_scatter(communicator, buffers, (size_t)count, root, timeout_ms, &mine,
                                      &error);
    Py_END_ALLOW_THREADS;
    result = ended(status, error, mine);
  }
  while (held > 0) PyBuffer_Release(&views[--held]);
  PyMem_Free(views);
  PyMem_Free(buffers);
  Py_DECREF(list);
  return result;
}
