/* A key-value store table filled by a Python object. */
#include "pydcp.h"

/* Seconds; None when there is no end. */
static PyObject* seconds(int64_t timeout_ms) {
  if (timeout_ms < 0) Py_RETURN_NONE;
  return PyFloat_FromDouble((double)timeout_ms / 1000.0);
}

static dcp_status on_set(void* self, const char* key, const void* data, size_t size,
                         int64_t timeout_ms, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* value = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
  PyObject* result = PyObject_CallMethod(self, "set", "sNN", key, value, seconds(timeout_ms));
  dcp_status status = pydcp_settle(result, "set", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status on_get(void* self, const char* key, int64_t timeout_ms, dcp_buffer_sink give,
                         void* sink, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "get", "sN", key, seconds(timeout_ms));
  dcp_status status = DCP_OK;
  Py_buffer view;
  if (result == NULL) {
    status = pydcp_fail("get", 0, error);
  } else if (result == Py_None) {
    *error = dcp_error_new(DCP_TIMEOUT, "the key is not there");
    status = DCP_TIMEOUT;
  } else if (PyObject_GetBuffer(result, &view, PyBUF_SIMPLE) != 0) {
    status = pydcp_fail("get", 0, error);
  } else {
    give(sink, 0, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
  }
  Py_XDECREF(result);
  pydcp_leave(&gil);
  return status;
}

static dcp_status on_remove(void* self, const char* key, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "remove", "s", key);
  dcp_status status = pydcp_settle(result, "remove", 0, error);
  pydcp_leave(&gil);
  return status;
}

dcp_communicator* pydcp_store_communicator(PyObject* object, const char* prefix, int rank,
                                           int world_size) {
  dcp_key_value_table table = {0};
  table.struct_size = sizeof table;
  table.set = on_set;
  table.get = on_get;
  table.remove = on_remove;
  table.destroy = pydcp_drop;
  dcp_communicator* communicator = NULL;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status =
      dcp_communicator_from_store(&table, object, prefix, rank, world_size, &communicator, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return communicator;
}
