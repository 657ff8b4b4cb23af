/* Errors in both directions. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pydcp.h"

pydcp_hooks pydcp;

static int take_hook(PyObject* hooks, const char* name, PyObject** slot) {
  PyObject* hook = PyDict_GetItemString(hooks, name);
  if (hook == NULL) {
    PyErr_Format(PyExc_KeyError, "libdcp: hook %s is missing", name);
    return -1;
  }
  Py_INCREF(hook);
  Py_XSETREF(*slot, hook);
  return 0;
}

PyObject* pydcp_configure(PyObject* hooks) {
  if (!PyDict_Check(hooks)) {
    PyErr_SetString(PyExc_TypeError, "libdcp: hooks are a dict");
    return NULL;
  }
  if (pydcp_memory_ready() != 0 || pydcp_encode_ready() != 0) return NULL;
  if (take_hook(hooks, "error_class", &pydcp.error_class) != 0 ||
      take_hook(hooks, "make_error", &pydcp.make_error) != 0 ||
      take_hook(hooks, "classify", &pydcp.classify) != 0 ||
      take_hook(hooks, "encode_other", &pydcp.encode_other) != 0 ||
      take_hook(hooks, "decode_other", &pydcp.decode_other) != 0 ||
      take_hook(hooks, "raw_array", &pydcp.raw_array) != 0 ||
      take_hook(hooks, "as_array", &pydcp.as_array) != 0 ||
      take_hook(hooks, "native_array", &pydcp.native_array) != 0 ||
      take_hook(hooks, "ndarray", &pydcp.ndarray) != 0 ||
      take_hook(hooks, "numpy_dtypes", &pydcp.numpy_dtypes) != 0 ||
      take_hook(hooks, "numpy_objects", &pydcp.numpy_objects) != 0 ||
      take_hook(hooks, "torch_dtype", &pydcp.torch_dtype) != 0 ||
      take_hook(hooks, "bytes_dtype", &pydcp.bytes_dtype) != 0) {
    return NULL;
  }
  if (pydcp.types == NULL) pydcp.types = PyDict_New();
  if (pydcp.torch_dtypes == NULL) pydcp.torch_dtypes = PyDict_New();
  if (pydcp.types == NULL || pydcp.torch_dtypes == NULL) return NULL;
  Py_RETURN_NONE;
}

/* Payloads that are ours: an error may as well carry the exception of another binding in this
 * process, which must not be taken for a Python object. */
typedef struct payload {
  PyObject* exception;
  struct payload* next;
} payload;
static pthread_mutex_t payloads_mutex = PTHREAD_MUTEX_INITIALIZER;
static payload* payloads = NULL;

static void release_payload(void* opaque) {
  payload* mine = opaque;
  pthread_mutex_lock(&payloads_mutex);
  for (payload** at = &payloads; *at != NULL; at = &(*at)->next) {
    if (*at == mine) {
      *at = mine->next;
      break;
    }
  }
  pthread_mutex_unlock(&payloads_mutex);
  PYDCP_GIL(state);
  if (pydcp_enter(&state)) {
    Py_DECREF(mine->exception);
    pydcp_leave(&state);
  }
  free(mine);
}

static PyObject* foreign_exception(const dcp_error* error) {
  void* foreign = dcp_error_foreign(error);
  if (foreign == NULL) return NULL;
  PyObject* found = NULL;
  pthread_mutex_lock(&payloads_mutex);
  for (payload* at = payloads; at != NULL; at = at->next) {
    if (at == foreign) found = at->exception;
  }
  pthread_mutex_unlock(&payloads_mutex);
  return found;
}

static PyObject* message_out(const char* message) {
  return PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "backslashreplace");
}

static PyObject* build(dcp_status status, const dcp_error* error, const char* prefix, int depth) {
  const char* text = error != NULL ? dcp_error_message(error) : dcp_status_name(status);
  PyObject* message = message_out(text);
  PyObject* details = PyDict_New();
  PyObject* failures = PyList_New(0);
  PyObject* result = NULL;
  if (message == NULL || details == NULL || failures == NULL) goto done;
  if (prefix != NULL) {
    Py_SETREF(message, PyUnicode_FromFormat("%s: %U", prefix, message));
    if (message == NULL) goto done;
  }
  PyObject* cause = Py_None;
  if (error != NULL) {
    for (size_t i = 0; i < dcp_error_detail_count(error); i++) {
      PyObject* key = message_out(dcp_error_detail_key(error, i));
      PyObject* value = message_out(dcp_error_detail_value(error, i));
      int failed = key == NULL || value == NULL || PyDict_SetItem(details, key, value) != 0;
      Py_XDECREF(key);
      Py_XDECREF(value);
      if (failed) goto done;
    }
    for (size_t i = 0; depth < 4 && i < dcp_error_rank_failure_count(error); i++) {
      int32_t rank = 0;
      const char* step = NULL;
      const dcp_error* failure = dcp_error_rank_failure(error, i, &rank, &step);
      if (failure == NULL) continue;
      PyObject* exception = build(dcp_error_status(failure), failure, NULL, depth + 1);
      PyObject* entry = exception == NULL ? NULL
                                          : Py_BuildValue("(isN)", (int)rank,
                                                          step != NULL ? step : "", exception);
      int failed = entry == NULL || PyList_Append(failures, entry) != 0;
      Py_XDECREF(entry);
      if (failed) goto done;
    }
    PyObject* foreign = foreign_exception(error);
    if (foreign != NULL) cause = foreign;
  }
  if (pydcp.make_error == NULL) {
    result = PyObject_CallFunctionObjArgs(PyExc_RuntimeError, message, NULL);
  } else {
    result = PyObject_CallFunction(pydcp.make_error, "iOOOO", (int)status, message, details,
                                   failures, cause);
  }
done:
  Py_XDECREF(message);
  Py_XDECREF(details);
  Py_XDECREF(failures);
  return result;
}

PyObject* pydcp_exception(const dcp_error* error) {
  if (error == NULL) Py_RETURN_NONE;
  return build(dcp_error_status(error), error, NULL, 0);
}

void pydcp_raise(dcp_status status, dcp_error* error, const char* prefix) {
  PyObject* exception = build(status, error, prefix, 0);
  dcp_error_free(error);
  if (exception == NULL) return; /* building it failed, and that is raised */
  PyErr_SetObject((PyObject*)Py_TYPE(exception), exception);
  Py_DECREF(exception);
}

static dcp_status status_of(PyObject* exception, int missing_is_status) {
  if (missing_is_status && PyErr_GivenExceptionMatches(exception, PyExc_FileNotFoundError)) {
    return DCP_NOT_FOUND;
  }
  if (pydcp.error_class != NULL && PyObject_IsInstance(exception, pydcp.error_class) == 1) {
    PyObject* status = PyObject_GetAttrString(exception, "status");
    long number = status != NULL ? PyLong_AsLong(status) : -1;
    Py_XDECREF(status);
    PyErr_Clear();
    if (number > DCP_OK && number <= INT32_MAX) return (dcp_status)number;
  }
  return DCP_CALLBACK;
}

/* What an exception of the library says by key. */
static void add_details(PyObject* exception, dcp_error* error) {
  if (pydcp.error_class == NULL || PyObject_IsInstance(exception, pydcp.error_class) != 1) return;
  PyObject* details = PyObject_GetAttrString(exception, "details");
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (details != NULL && PyDict_Check(details) && PyDict_Next(details, &at, &key, &value)) {
    const char* name = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : NULL;
    const char* text = PyUnicode_Check(value) ? PyUnicode_AsUTF8(value) : NULL;
    if (name != NULL && text != NULL) dcp_error_add_detail(error, name, text);
    PyErr_Clear();
  }
  PyErr_Clear();
  Py_XDECREF(details);
}

/* The ranks that an exception of the library names. */
static void add_failures(PyObject* exception, dcp_error* error) {
  if (pydcp.error_class == NULL || PyObject_IsInstance(exception, pydcp.error_class) != 1) return;
  PyObject* by_rank = PyObject_GetAttrString(exception, "failures");
  PyObject* failures = by_rank != NULL && PyDict_Check(by_rank) ? PyDict_Values(by_rank) : NULL;
  for (Py_ssize_t i = 0; failures != NULL && i < PyList_GET_SIZE(failures); i++) {
    PyObject* failure = PyList_GET_ITEM(failures, i);
    if (!PyTuple_Check(failure) || PyTuple_GET_SIZE(failure) != 3) continue;
    long rank = PyLong_AsLong(PyTuple_GET_ITEM(failure, 0));
    const char* step = PyUnicode_AsUTF8(PyTuple_GET_ITEM(failure, 1));
    PyObject* text = PyObject_Str(PyTuple_GET_ITEM(failure, 2));
    const char* message = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    if (message != NULL && step != NULL && !PyErr_Occurred()) {
      dcp_status status = status_of(PyTuple_GET_ITEM(failure, 2), 0);
      dcp_error* failed = dcp_error_new(status, message);
      if (failed != NULL) add_details(PyTuple_GET_ITEM(failure, 2), failed);
      dcp_error_add_rank_failure(error, (int32_t)rank, step, failed);
    }
    PyErr_Clear();
    Py_XDECREF(text);
  }
  PyErr_Clear();
  Py_XDECREF(failures);
  Py_XDECREF(by_rank);
}

dcp_status pydcp_fail(const char* callback, int missing_is_status, dcp_error** error) {
  PyObject *type, *exception, *traceback;
  PyErr_Fetch(&type, &exception, &traceback);
  PyErr_NormalizeException(&type, &exception, &traceback);
  if (traceback != NULL) PyException_SetTraceback(exception, traceback);
  Py_XDECREF(traceback);

  dcp_status status = status_of(exception, missing_is_status);
  if (error != NULL) {
    PyObject* text = PyUnicode_FromFormat("callback %s failed: %s: %S", callback,
                                          Py_TYPE(exception)->tp_name, exception);
    if (text == NULL) {
      PyErr_Clear();
      text = PyUnicode_FromFormat("callback %s failed: %s", callback, Py_TYPE(exception)->tp_name);
    }
    PyObject* utf8 =
        text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    PyErr_Clear();
    *error = dcp_error_new(status, utf8 != NULL ? PyBytes_AS_STRING(utf8) : "callback failed");
    Py_XDECREF(utf8);
    Py_XDECREF(text);
    if (*error != NULL) {
      add_details(exception, *error);
      add_failures(exception, *error);
    }
    payload* mine = *error != NULL ? malloc(sizeof *mine) : NULL;
    if (mine != NULL) {
      Py_INCREF(exception);
      mine->exception = exception;
      pthread_mutex_lock(&payloads_mutex);
      mine->next = payloads;
      payloads = mine;
      pthread_mutex_unlock(&payloads_mutex);
      dcp_error_set_foreign(*error, mine, NULL, release_payload);
    }
  }
  Py_XDECREF(type);
  Py_XDECREF(exception);
  return status;
}

dcp_status pydcp_exiting(dcp_error** error) {
  if (error != NULL) {
    *error = dcp_error_new(DCP_CANCELLED, "the Python interpreter is exiting");
  }
  return DCP_CANCELLED;
}
