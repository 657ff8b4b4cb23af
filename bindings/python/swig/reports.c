/* Reports, entries and reads, as plain tuples that the package gives their types. */
#include <string.h>

#include "pydcp.h"

enum { kMaxDims = 64 };

static PyObject* failed(dcp_status status, dcp_error* error) {
  pydcp_raise(status, error, NULL);
  return NULL;
}

PyObject* pydcp_save_report(const dcp_save_report* report) {
  PyObject* warnings = PyList_New(0);
  for (size_t i = 0; warnings != NULL && i < dcp_save_report_warning_count(report); i++) {
    PyObject* line = pydcp_string_out(dcp_save_report_warning(report, i));
    if (line == NULL || PyList_Append(warnings, line) != 0) Py_CLEAR(warnings);
    Py_XDECREF(line);
  }
  if (warnings == NULL) return NULL;
  return Py_BuildValue("(NKKKNN)", pydcp_string_out(dcp_save_report_save_id(report)),
                       (unsigned long long)dcp_save_report_bytes(report),
                       (unsigned long long)dcp_save_report_items(report),
                       (unsigned long long)dcp_save_report_files(report), warnings,
                       PyBool_FromLong(dcp_save_report_plan_reused(report)));
}

static PyObject* load_list(const dcp_load_report* report, int32_t which) {
  size_t count = dcp_load_report_count(report, which);
  PyObject* list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list != NULL && i < count; i++) {
    const char* text = NULL;
    size_t size = 0;
    dcp_error* error = NULL;
    dcp_status status = dcp_load_report_at(report, which, i, &text, &size, &error);
    PyObject* line = status == DCP_OK ? pydcp_text_out(text, size) : failed(status, error);
    if (line == NULL) {
      Py_CLEAR(list);
    } else {
      PyList_SET_ITEM(list, (Py_ssize_t)i, line);
    }
  }
  return list;
}

static PyObject* load_object(const dcp_load_report* report, size_t index) {
  const char* name = NULL;
  size_t size = 0;
  dcp_value *path = NULL, *value = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_load_report_object(report, index, &name, &size, &path, &value, &error);
  if (status != DCP_OK) return failed(status, error);
  PyObject* text = pydcp_text_out(name, size);
  PyObject* steps = pydcp_decode(path);
  PyObject* object = pydcp_decode(value);
  dcp_value_free(path);
  dcp_value_free(value);
  PyObject* entry =
      text != NULL && steps != NULL && object != NULL ? PyTuple_Pack(3, text, steps, object) : NULL;
  Py_XDECREF(text);
  Py_XDECREF(steps);
  Py_XDECREF(object);
  return entry;
}

PyObject* pydcp_load_report(const dcp_load_report* report) {
  size_t count = dcp_load_report_object_count(report);
  PyObject* objects = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; objects != NULL && i < count; i++) {
    PyObject* entry = load_object(report, i);
    if (entry == NULL) {
      Py_CLEAR(objects);
    } else {
      PyList_SET_ITEM(objects, (Py_ssize_t)i, entry);
    }
  }
  if (objects == NULL) return NULL;
  return Py_BuildValue("(NNNNNKKN)", load_list(report, DCP_LOADED), load_list(report, DCP_MISSING),
                       load_list(report, DCP_UNEXPECTED), load_list(report, DCP_CAST),
                       load_list(report, DCP_UNCOVERED),
                       (unsigned long long)dcp_load_report_bytes_read(report),
                       (unsigned long long)dcp_load_report_bytes_unverified(report), objects);
}

PyObject* pydcp_damage(const dcp_damage* damage) {
  return Py_BuildValue("(NNKN)", pydcp_text_out(damage->name, damage->name_size),
                       pydcp_string_out(damage->file), (unsigned long long)damage->offset,
                       pydcp_exception(damage->error));
}

PyObject* pydcp_names(const dcp_checkpoint* checkpoint) {
  size_t count = dcp_checkpoint_count(checkpoint);
  PyObject* list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list != NULL && i < count; i++) {
    dcp_entry_info info = {0};
    info.struct_size = sizeof info;
    dcp_error* error = NULL;
    dcp_status status = dcp_checkpoint_entry(checkpoint, i, &info, &error);
    PyObject* name =
        status == DCP_OK ? pydcp_text_out(info.name, info.name_size) : failed(status, error);
    if (name == NULL) {
      Py_CLEAR(list);
    } else {
      PyList_SET_ITEM(list, (Py_ssize_t)i, name);
    }
  }
  return list;
}

PyObject* pydcp_entry_out(const dcp_entry_info* info) {
  return Py_BuildValue("(iNNiNKKK)", (int)info->kind, pydcp_text_out(info->name, info->name_size),
                       pydcp_string_out(info->dtype_name), (int)info->dtype,
                       pydcp_sizes_out(info->shape, (size_t)info->ndim),
                       (unsigned long long)info->bytes, (unsigned long long)info->stored_bytes,
                       (unsigned long long)info->chunk_count);
}

PyObject* pydcp_entry(const dcp_checkpoint* checkpoint, size_t index) {
  dcp_entry_info info = {0};
  info.struct_size = sizeof info;
  dcp_error* error = NULL;
  dcp_status status = dcp_checkpoint_entry(checkpoint, index, &info, &error);
  if (status != DCP_OK) return failed(status, error);
  return pydcp_entry_out(&info);
}

PyObject* pydcp_chunk_out(const dcp_chunk_info* info) {
  return Py_BuildValue("(NNNKKN)", pydcp_sizes_out(info->offsets, (size_t)info->ndim),
                       pydcp_sizes_out(info->sizes, (size_t)info->ndim),
                       pydcp_string_out(info->file), (unsigned long long)info->offset,
                       (unsigned long long)info->length, pydcp_string_out(info->transforms));
}

PyObject* pydcp_chunk(const dcp_checkpoint* checkpoint, size_t index, uint64_t chunk) {
  dcp_chunk_info info = {0};
  info.struct_size = sizeof info;
  dcp_error* error = NULL;
  dcp_status status = dcp_checkpoint_chunk(checkpoint, index, chunk, &info, &error);
  if (status != DCP_OK) return failed(status, error);
  return pydcp_chunk_out(&info);
}

/* `raw` is the dtype of a RawArray, given as its bytes with one dimension more; 0 for others. */
static int describe(PyObject* array, int raw, dcp_tensor_view* view, int64_t* shape,
                    int64_t* strides, PyObject** keep) {
  if (pydcp_view_of(array, view, shape, strides, keep) != 0) return -1;
  if (raw == 0) return 0;
  int32_t item = dcp_dtype_size(raw);
  int last = view->ndim - 1;
  int fits = view->dtype == DCP_UINT8 && last >= 0 && item > 0 && shape[last] == item &&
             (item == 1 || strides[last] == 1);
  for (int d = 0; fits && d < last; d++) {
    fits = strides[d] % item == 0;
    strides[d] /= item;
  }
  if (!fits) {
    PyErr_SetString(PyExc_ValueError, "the bytes of the RawArray do not fit its dtype");
    Py_CLEAR(*keep);
    return -1;
  }
  view->dtype = raw;
  view->ndim--;
  return 0;
}

PyObject* pydcp_read(dcp_checkpoint* checkpoint, size_t index, PyObject* offsets, PyObject* steps,
                     PyObject* array, int raw) {
  int64_t starts[kMaxDims], step[kMaxDims], shape[kMaxDims], strides[kMaxDims];
  dcp_tensor_view view;
  PyObject* keep = NULL;
  if (describe(array, raw, &view, shape, strides, &keep) != 0) return NULL;
  int start_count = pydcp_sizes_in(offsets, starts, kMaxDims, "the read");
  int step_count = start_count < 0 ? -1 : pydcp_sizes_in(steps, step, kMaxDims, "the read");
  if (start_count != view.ndim || step_count != view.ndim) {
    if (!PyErr_Occurred()) {
      PyErr_Format(PyExc_ValueError, "a box of %d dimensions read into an array of %d", start_count,
                   (int)view.ndim);
    }
    Py_DECREF(keep);
    return NULL;
  }
  uint64_t unverified = 0;
  dcp_error* error = NULL;
  dcp_status status;
  PyThreadState* thread = PyEval_SaveThread();
  status = dcp_checkpoint_read(checkpoint, index, starts, step, &view, &unverified, &error);
  PyEval_RestoreThread(thread);
  Py_DECREF(keep);
  if (status != DCP_OK) return failed(status, error);
  return PyLong_FromUnsignedLongLong(unverified);
}
