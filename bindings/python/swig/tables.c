/* Callback tables filled by Python objects. Every member goes through the gate, takes the GIL,
 * calls the method of the same name, and hands an exception on as the error's foreign payload. */
#include <string.h>

#include "pydcp.h"

void pydcp_drop(void* user_data) {
  PYDCP_GIL(state);
  if (!pydcp_enter(&state)) return; /* leaked: the interpreter is going away anyway */
  Py_DECREF((PyObject*)user_data);
  pydcp_leave(&state);
}

dcp_status pydcp_settle(PyObject* result, const char* name, int missing_is_status,
                        dcp_error** error) {
  if (result == NULL) return pydcp_fail(name, missing_is_status, error);
  Py_DECREF(result);
  return DCP_OK;
}

/* ---- storage ---- */

static PyObject* path_object(const char* path) { return pydcp_string_out(path); }

static dcp_status storage_make_root(void* self, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status =
      pydcp_settle(PyObject_CallMethod(self, "make_root", NULL), "make_root", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status storage_create(void* self, const char* path, uint64_t expected_size, void** file,
                                 dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "create", "NK", path_object(path),
                                         (unsigned long long)expected_size);
  *file = result;
  dcp_status status = result != NULL ? DCP_OK : pydcp_fail("create", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status storage_write(void* self, void* file, uint64_t offset, const void* data,
                                size_t size, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* loan = NULL;
  PyObject* view = pydcp_lend((void*)data, size, 1, &loan);
  PyObject* result = NULL;
  if (view != NULL) {
    result = PyObject_CallMethod(self, "write", "OKO", (PyObject*)file, (unsigned long long)offset,
                                 view);
    if (pydcp_return(view, loan) != 0) Py_CLEAR(result);
  }
  dcp_status status = pydcp_settle(result, "write", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status storage_finish(void* self, void* file, uint64_t size, int32_t durable,
                                 dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "finish", "OKO", (PyObject*)file,
                                         (unsigned long long)size, durable ? Py_True : Py_False);
  dcp_status status = pydcp_settle(result, "finish", 0, error);
  Py_DECREF((PyObject*)file);
  pydcp_leave(&gil);
  return status;
}

static void storage_abort(void* self, void* file) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return;
  PyObject* result = PyObject_CallMethod(self, "abort", "(O)", (PyObject*)file);
  if (result == NULL) PyErr_WriteUnraisable((PyObject*)self);
  Py_XDECREF(result);
  Py_DECREF((PyObject*)file);
  pydcp_leave(&gil);
}

static dcp_status storage_open(void* self, const char* path, void** file, uint64_t* size,
                               dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "open", "N", path_object(path));
  dcp_status status = DCP_OK;
  if (result != NULL && (!PyTuple_Check(result) || PyTuple_GET_SIZE(result) != 2)) {
    PyErr_SetString(PyExc_TypeError, "open() returns a pair (file, size)");
    Py_CLEAR(result);
  }
  if (result != NULL) {
    PyObject* number = PyNumber_Index(PyTuple_GET_ITEM(result, 1));
    *size = number != NULL ? PyLong_AsUnsignedLongLong(number) : 0;
    Py_XDECREF(number);
    if (PyErr_Occurred()) Py_CLEAR(result);
  }
  if (result != NULL) {
    *file = PyTuple_GET_ITEM(result, 0);
    Py_INCREF((PyObject*)*file);
    Py_DECREF(result);
  } else {
    status = pydcp_fail("open", 1, error);
  }
  pydcp_leave(&gil);
  return status;
}

static dcp_status storage_read(void* self, void* file, uint64_t offset, void* data, size_t size,
                               dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* loan = NULL;
  PyObject* view = pydcp_lend(data, size, 0, &loan);
  PyObject* result = NULL;
  if (view != NULL) {
    result =
        PyObject_CallMethod(self, "read", "OKO", (PyObject*)file, (unsigned long long)offset, view);
    if (pydcp_return(view, loan) != 0) Py_CLEAR(result);
  }
  dcp_status status = DCP_OK;
  if (result != NULL && result != Py_None) {
    unsigned long long count = PyLong_Check(result) ? PyLong_AsUnsignedLongLong(result) : 0;
    if (!PyLong_Check(result)) {
      PyErr_SetString(PyExc_TypeError, "read() fills the buffer and returns None or a count");
    }
    if (PyErr_Occurred()) {
      Py_CLEAR(result);
    } else if (count != size) {
      char message[128];
      PyOS_snprintf(message, sizeof message, "read() gave %llu of %llu bytes at offset %llu", count,
                    (unsigned long long)size, (unsigned long long)offset);
      if (error != NULL) *error = dcp_error_new(DCP_CORRUPT, message);
      status = DCP_CORRUPT;
    }
  }
  dcp_status called = pydcp_settle(result, "read", 0, error);
  pydcp_leave(&gil);
  return called != DCP_OK ? called : status;
}

static void storage_close(void* self, void* file) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return;
  PyObject* result = PyObject_CallMethod(self, "close", "(O)", (PyObject*)file);
  if (result == NULL) PyErr_WriteUnraisable((PyObject*)self);
  Py_XDECREF(result);
  Py_DECREF((PyObject*)file);
  pydcp_leave(&gil);
}

static dcp_status storage_rename(void* self, const char* from, const char* to, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "rename", "NN", path_object(from), path_object(to));
  dcp_status status = pydcp_settle(result, "rename", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status storage_remove(void* self, const char* path, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status =
      pydcp_settle(PyObject_CallMethod(self, "remove", "N", path_object(path)), "remove", 1, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status storage_list(void* self, dcp_name_sink add, void* sink, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* names = PyObject_CallMethod(self, "list", NULL);
  if (names != NULL) Py_SETREF(names, PySequence_Fast(names, "list() returns a sequence of names"));
  for (Py_ssize_t i = 0; names != NULL && i < PySequence_Fast_GET_SIZE(names); i++) {
    const char* name = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(names, i));
    if (name == NULL) {
      Py_CLEAR(names);
    } else {
      add(sink, name);
    }
  }
  dcp_status status = pydcp_settle(names, "list", 1, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status storage_sync_folder(void* self, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status =
      pydcp_settle(PyObject_CallMethod(self, "sync_folder", NULL), "sync_folder", 0, error);
  pydcp_leave(&gil);
  return status;
}

dcp_storage* pydcp_storage(PyObject* object, const char* location) {
  dcp_storage_table table = {0};
  table.struct_size = sizeof table;
  table.make_root = storage_make_root;
  table.create = storage_create;
  table.write = storage_write;
  table.finish = storage_finish;
  table.abort = storage_abort;
  table.open = storage_open;
  table.read = storage_read;
  table.close = storage_close;
  table.rename = storage_rename;
  table.remove = storage_remove;
  table.list = storage_list;
  table.sync_folder = storage_sync_folder;
  table.destroy = pydcp_drop;
  dcp_storage* storage = NULL;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status = dcp_storage_new(&table, object, location, &storage, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return storage;
}

/* ---- transforms ---- */

static dcp_status transform_start(void* self, int32_t direction, const char* version, void** stream,
                                  dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = direction == DCP_ENCODE
                         ? PyObject_CallMethod(self, "encoder", NULL)
                         : PyObject_CallMethod(self, "decoder", "N", path_object(version));
  *stream = result;
  dcp_status status = result != NULL ? DCP_OK : pydcp_fail("start", 0, error);
  pydcp_leave(&gil);
  return status;
}

/* Hands what push() or finish() returned to the sink, without the GIL. Takes `result`. */
static dcp_status give(PyObject* result, const char* name, dcp_byte_sink write, void* sink,
                       dcp_error** error) {
  if (result == NULL) return pydcp_fail(name, 0, error);
  dcp_status status = DCP_OK;
  if (result != Py_None) {
    Py_buffer bytes;
    if (PyObject_GetBuffer(result, &bytes, PyBUF_SIMPLE) != 0) {
      status = pydcp_fail(name, 0, error);
    } else {
      if (bytes.len > 0) {
        PyThreadState* thread = PyEval_SaveThread();
        status = write(sink, bytes.buf, (size_t)bytes.len);
        PyEval_RestoreThread(thread);
      }
      PyBuffer_Release(&bytes);
    }
  }
  Py_DECREF(result);
  return status;
}

static dcp_status transform_push(void* self, void* stream, const void* data, size_t size,
                                 dcp_byte_sink write, void* sink, dcp_error** error) {
  (void)self;
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* loan = NULL;
  PyObject* view = pydcp_lend((void*)data, size, 1, &loan);
  dcp_status status;
  if (view == NULL) {
    status = pydcp_fail("push", 0, error);
  } else {
    /* what push() returns may be (a part of) its input: hand it on before the loan ends */
    PyObject* result = PyObject_CallMethod((PyObject*)stream, "push", "O", view);
    status = give(result, "push", write, sink, error);
    if (pydcp_return(view, loan) != 0) {
      if (status == DCP_OK) {
        status = pydcp_fail("push", 0, error);
      } else {
        PyErr_Clear();
      }
    }
  }
  pydcp_leave(&gil);
  return status;
}

static dcp_status transform_finish(void* self, void* stream, dcp_byte_sink write, void* sink,
                                   dcp_error** error) {
  (void)self;
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod((PyObject*)stream, "finish", NULL);
  dcp_status status = give(result, "finish", write, sink, error);
  pydcp_leave(&gil);
  return status;
}

static void transform_end(void* self, void* stream) {
  (void)self;
  if (stream != NULL) pydcp_drop(stream);
}

PyObject* pydcp_add_transform(dcp_context* context, const char* name, const char* version,
                              PyObject* object) {
  dcp_transform_table table = {0};
  table.struct_size = sizeof table;
  table.start = transform_start;
  table.push = transform_push;
  table.finish = transform_finish;
  table.end = transform_end;
  table.destroy = pydcp_drop;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status = dcp_context_add_transform(context, name, version, &table, object, &error);
  if (status != DCP_OK) {
    pydcp_raise(status, error, NULL);
    return NULL;
  }
  Py_RETURN_NONE;
}

/* ---- observers ---- */

static dcp_status progress_update(void* self, const dcp_progress_event* event, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallFunction(
      (PyObject*)self, "iKKKK", (int)event->phase, (unsigned long long)event->bytes_done,
      (unsigned long long)event->bytes_total, (unsigned long long)event->items_done,
      (unsigned long long)event->items_total);
  dcp_status status = pydcp_settle(result, "progress", 0, error);
  pydcp_leave(&gil);
  return status;
}

PyObject* pydcp_set_progress(dcp_context* context, PyObject* callable) {
  dcp_progress_table table = {0};
  table.struct_size = sizeof table;
  table.update = progress_update;
  table.destroy = pydcp_drop;
  dcp_error* error = NULL;
  int none = callable == Py_None;
  if (!none) Py_INCREF(callable);
  dcp_status status =
      dcp_context_set_progress(context, none ? NULL : &table, none ? NULL : callable, &error);
  if (status != DCP_OK) {
    pydcp_raise(status, error, NULL);
    return NULL;
  }
  Py_RETURN_NONE;
}

static void log_line(void* self, int32_t level, const char* message) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return;
  PyObject* result =
      PyObject_CallFunction((PyObject*)self, "iN", (int)level, pydcp_string_out(message));
  if (result == NULL) PyErr_WriteUnraisable((PyObject*)self);
  Py_XDECREF(result);
  pydcp_leave(&gil);
}

PyObject* pydcp_set_log(dcp_context* context, PyObject* callable) {
  dcp_log_table table = {0};
  table.struct_size = sizeof table;
  table.log = log_line;
  table.destroy = pydcp_drop;
  dcp_error* error = NULL;
  int none = callable == Py_None;
  if (!none) Py_INCREF(callable);
  dcp_status status =
      dcp_context_set_log(context, none ? NULL : &table, none ? NULL : callable, &error);
  if (status != DCP_OK) {
    pydcp_raise(status, error, NULL);
    return NULL;
  }
  Py_RETURN_NONE;
}

static void future_done(void* self) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return;
  PyObject* result = PyObject_CallNoArgs((PyObject*)self);
  if (result == NULL) PyErr_WriteUnraisable((PyObject*)self);
  Py_XDECREF(result);
  pydcp_leave(&gil);
}

PyObject* pydcp_on_done(dcp_future* future, PyObject* callable) {
  dcp_error* error = NULL;
  dcp_status status;
  Py_INCREF(callable);
  PyThreadState* thread = PyEval_SaveThread();
  status = dcp_future_on_done(future, future_done, callable, pydcp_drop, &error);
  PyEval_RestoreThread(thread);
  if (status != DCP_OK) {
    pydcp_raise(status, error, NULL);
    return NULL;
  }
  Py_RETURN_NONE;
}

static void verify_damage(void* self, const dcp_damage* damage) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return;
  PyObject* entry = pydcp_damage(damage);
  PyObject* result = entry != NULL ? PyObject_CallOneArg((PyObject*)self, entry) : NULL;
  if (result == NULL) PyErr_WriteUnraisable((PyObject*)self);
  Py_XDECREF(entry);
  Py_XDECREF(result);
  pydcp_leave(&gil);
}

/* A list of what `get` gives for 0 to count - 1; NULL with an exception set. */
static PyObject* verify_places(const dcp_verify_report* report, size_t count,
                               dcp_status (*get)(const dcp_verify_report*, size_t, dcp_damage*,
                                                 dcp_error**)) {
  PyObject* places = PyList_New(0);
  for (size_t i = 0; places != NULL && i < count; i++) {
    dcp_damage place = {0};
    place.struct_size = sizeof place;
    dcp_error* error = NULL;
    dcp_status got = get(report, i, &place, &error);
    PyObject* entry = NULL;
    if (got == DCP_OK) {
      entry = pydcp_damage(&place);
    } else {
      pydcp_raise(got, error, NULL);
    }
    if (entry == NULL || PyList_Append(places, entry) != 0) Py_CLEAR(places);
    Py_XDECREF(entry);
  }
  return places;
}

PyObject* pydcp_verify(dcp_checkpoint* checkpoint, PyObject* on_damage, dcp_cancel* cancel) {
  dcp_verify_table table = {0};
  table.struct_size = sizeof table;
  table.on_damage = verify_damage;
  table.destroy = pydcp_drop;
  int none = on_damage == Py_None;
  dcp_verify_report* report = NULL;
  dcp_error* error = NULL;
  dcp_status status;
  if (!none) Py_INCREF(on_damage);
  PyThreadState* thread = PyEval_SaveThread();
  status = dcp_checkpoint_verify(checkpoint, none ? NULL : &table, none ? NULL : on_damage, cancel,
                                 &report, &error);
  PyEval_RestoreThread(thread);
  if (status != DCP_OK && report == NULL) {
    dcp_verify_report_free(report);
    pydcp_raise(status, error, NULL);
    return NULL;
  }
  dcp_error_free(error);
  PyObject* damages =
      verify_places(report, dcp_verify_report_damage_count(report), dcp_verify_report_damage);
  PyObject* unreadable = verify_places(report, dcp_verify_report_unreadable_count(report),
                                       dcp_verify_report_unreadable);
  PyObject* notes = PyList_New(0);
  for (size_t i = 0; notes != NULL && i < dcp_verify_report_note_count(report); i++) {
    PyObject* note = pydcp_string_out(dcp_verify_report_note(report, i));
    if (note == NULL || PyList_Append(notes, note) != 0) Py_CLEAR(notes);
    Py_XDECREF(note);
  }
  PyObject* result = NULL;
  if (damages != NULL && unreadable != NULL && notes != NULL) {
    result = Py_BuildValue("(KKKOOO)", (unsigned long long)dcp_verify_report_items(report),
                           (unsigned long long)dcp_verify_report_unchecked(report),
                           (unsigned long long)dcp_verify_report_bytes(report), damages, notes,
                           unreadable);
  }
  Py_XDECREF(damages);
  Py_XDECREF(unreadable);
  Py_XDECREF(notes);
  dcp_verify_report_free(report);
  return result;
}
