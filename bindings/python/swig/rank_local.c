/* Barriers and commit hooks written in Python. */
#include "pydcp.h"

static dcp_status barrier_execute(void* self, int64_t timeout_ms, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result =
      PyObject_CallMethod(self, "execute_barrier", "N", pydcp_seconds_out(timeout_ms));
  dcp_status status = pydcp_settle(result, "execute_barrier", 0, error);
  pydcp_leave(&gil);
  return status;
}

dcp_barrier* pydcp_barrier(PyObject* object) {
  dcp_barrier_table table = {0};
  table.struct_size = sizeof table;
  table.execute = barrier_execute;
  table.destroy = pydcp_drop;
  dcp_barrier* barrier = NULL;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status = dcp_barrier_new(&table, object, &barrier, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return barrier;
}

/* method(path, **extra); `extra` is a DICT with names for keys, or NULL. */
static PyObject* call_hook(PyObject* self, const char* name, const char* path,
                           const dcp_value* extra) {
  PyObject* method = PyObject_GetAttrString(self, name);
  PyObject* arguments = Py_BuildValue("(N)", pydcp_string_out(path));
  PyObject* keywords = extra != NULL ? pydcp_decode(extra) : PyDict_New();
  PyObject* result = method != NULL && arguments != NULL && keywords != NULL
                         ? PyObject_Call(method, arguments, keywords)
                         : NULL;
  Py_XDECREF(method);
  Py_XDECREF(arguments);
  Py_XDECREF(keywords);
  return result;
}

static dcp_status hook_pre_commit(void* self, const char* path, const dcp_value* extra,
                                  dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status =
      pydcp_settle(call_hook(self, "pre_commit", path, extra), "pre_commit", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status hook_post_commit(void* self, const char* path, const dcp_value* extra,
                                   dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status =
      pydcp_settle(call_hook(self, "post_commit", path, extra), "post_commit", 0, error);
  pydcp_leave(&gil);
  return status;
}

dcp_commit_hook* pydcp_commit_hook(PyObject* object) {
  dcp_commit_hook_table table = {0};
  table.struct_size = sizeof table;
  table.pre_commit = hook_pre_commit;
  table.post_commit = hook_post_commit;
  table.destroy = pydcp_drop;
  dcp_commit_hook* hook = NULL;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status = dcp_commit_hook_new(&table, object, &hook, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return hook;
}
