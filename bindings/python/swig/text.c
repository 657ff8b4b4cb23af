/* Text and sizes in both directions. */
#include <string.h>

#include "pydcp.h"

int pydcp_text_in(PyObject* text, const char** bytes, Py_ssize_t* size, PyObject** holder) {
  *holder = NULL;
  if (PyBytes_Check(text)) {
    *bytes = PyBytes_AS_STRING(text);
    *size = PyBytes_GET_SIZE(text);
    return 0;
  }
  if (!PyUnicode_Check(text)) {
    PyErr_Format(PyExc_TypeError, "expected str, not %s", Py_TYPE(text)->tp_name);
    return -1;
  }
  *bytes = PyUnicode_AsUTF8AndSize(text, size);
  if (*bytes != NULL) return 0;
  if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
  PyErr_Clear();
  *holder = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
  if (*holder == NULL) return -1;
  *bytes = PyBytes_AS_STRING(*holder);
  *size = PyBytes_GET_SIZE(*holder);
  return 0;
}

PyObject* pydcp_text_out(const char* bytes, size_t size) {
  PyObject* text = PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)size, "surrogatepass");
  if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
    PyErr_Clear();
    text = PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)size, "surrogateescape");
  }
  return text;
}

PyObject* pydcp_string_out(const char* string) {
  if (string == NULL) Py_RETURN_NONE;
  return pydcp_text_out(string, strlen(string));
}

PyObject* pydcp_sizes_out(const int64_t* sizes, size_t count) {
  PyObject* tuple = PyTuple_New((Py_ssize_t)count);
  for (size_t i = 0; tuple != NULL && i < count; i++) {
    PyObject* size = PyLong_FromLongLong(sizes[i]);
    if (size == NULL) {
      Py_CLEAR(tuple);
    } else {
      PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, size);
    }
  }
  return tuple;
}

int pydcp_sizes_in(PyObject* sequence, int64_t* sizes, int max_count, const char* what) {
  PyObject* fast = PySequence_Fast(sequence, "expected a sequence of integers");
  if (fast == NULL) return -1;
  Py_ssize_t count = PySequence_Fast_GET_SIZE(fast);
  if (count > max_count) {
    PyErr_Format(PyExc_ValueError, "%s has %zd dimensions; at most %d are supported", what, count,
                 max_count);
    Py_DECREF(fast);
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject* index = PyNumber_Index(PySequence_Fast_GET_ITEM(fast, i));
    long long size = index != NULL ? PyLong_AsLongLong(index) : -1;
    Py_XDECREF(index);
    if (size == -1 && PyErr_Occurred()) {
      Py_DECREF(fast);
      return -1;
    }
    sizes[i] = size;
  }
  Py_DECREF(fast);
  return (int)count;
}

PyObject* pydcp_seconds_out(int64_t milliseconds) {
  if (milliseconds < 0) Py_RETURN_NONE;
  return PyFloat_FromDouble((double)milliseconds / 1000.0);
}
