/* Storage writers and storage readers: tables filled by a Python object (libdcp._storage_roles's
 * adapters), their requests, and the end of work that goes on after a callback has returned. */
#include <stdlib.h>

#include "pydcp.h"

/* ---- how both begin ---- */

static dcp_status validate_id(PyObject* object, const char* checkpoint_id, int32_t* valid,
                              dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result =
      PyObject_CallMethod(object, "validate_checkpoint_id", "N", pydcp_string_out(checkpoint_id));
  int truth = result != NULL ? PyObject_IsTrue(result) : -1;
  if (truth < 0) Py_CLEAR(result);
  *valid = truth > 0;
  dcp_status status = pydcp_settle(result, "validate_checkpoint_id", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status reset(PyObject* object, const char* checkpoint_id, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(object, "reset", "N", pydcp_string_out(checkpoint_id));
  dcp_status status = pydcp_settle(result, "reset", 0, error);
  pydcp_leave(&gil);
  return status;
}

/* ---- a writer's table ---- */

static dcp_status writer_validate_id(void* self, const char* checkpoint_id, int32_t* valid,
                                     dcp_error** error) {
  return validate_id(self, checkpoint_id, valid, error);
}

static dcp_status writer_reset(void* self, const char* checkpoint_id, dcp_error** error) {
  return reset(self, checkpoint_id, error);
}

static dcp_status writer_set_up(void* self, int32_t rank, int32_t world_size,
                                int32_t is_coordinator, int32_t use_collectives,
                                dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self, "set_up_storage_writer", "iiii", (int)is_coordinator,
                                         (int)rank, (int)world_size, (int)use_collectives);
  dcp_status status = pydcp_settle(result, "set_up_storage_writer", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status writer_prepare_local_plan(void* self, dcp_save_plan* plan, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self, "prepare_local_plan",
                                      pydcp_lent(PYDCP_SAVE_PLAN, plan, 0, NULL), error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status writer_prepare_global_plan(void* self, dcp_save_plans* plans, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self, "prepare_global_plan",
                                      pydcp_lent(PYDCP_SAVE_PLANS, plans, 0, NULL), error);
  pydcp_leave(&gil);
  return status;
}

static void free_completion(void* completion) { dcp_completion_free(completion); }

/* Hands a request on with its completion, which is taken: the object Python gets keeps both. */
static dcp_status hand_on(PyObject* object, const char* name, enum pydcp_kind kind,
                          const void* request, dcp_completion* completion, dcp_error** error) {
  PyObject* lent = pydcp_lent_with(kind, request, completion, free_completion);
  PyObject* result = lent != NULL ? PyObject_CallMethod(object, name, "O", lent) : NULL;
  Py_XDECREF(lent);
  return pydcp_settle(result, name, 0, error);
}

static dcp_status writer_write_data(void* self, const dcp_write_request* request,
                                    dcp_completion* completion, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) {
    dcp_completion_free(completion);
    return pydcp_exiting(error);
  }
  dcp_status status = hand_on(self, "write_data", PYDCP_WRITE_REQUEST, request, completion, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status writer_finish(void* self, dcp_metadata* metadata, const dcp_buffers* results,
                                dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  size_t count = dcp_buffers_count(results);
  PyObject* all = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; all != NULL && i < count; i++) {
    size_t size = 0;
    const void* data = dcp_buffers_at(results, i, &size);
    PyObject* bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    if (bytes == NULL) {
      Py_CLEAR(all);
    } else {
      PyList_SET_ITEM(all, (Py_ssize_t)i, bytes);
    }
  }
  PyObject* lent = all != NULL ? pydcp_lent(PYDCP_METADATA, metadata, 0, NULL) : NULL;
  PyObject* result = lent != NULL ? PyObject_CallMethod(self, "finish", "OO", lent, all) : NULL;
  pydcp_lent_end(lent);
  Py_XDECREF(all);
  dcp_status status = pydcp_settle(result, "finish", 0, error);
  pydcp_leave(&gil);
  return status;
}

static void writer_abandon(void* self) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return;
  PyObject* result = PyObject_CallMethod(self, "abandon", NULL);
  if (result == NULL) PyErr_WriteUnraisable((PyObject*)self);
  Py_XDECREF(result);
  pydcp_leave(&gil);
}

dcp_storage_writer* pydcp_storage_writer(PyObject* object, const char* location,
                                         PyObject* overridden) {
  dcp_storage_writer_table table = {0};
  table.struct_size = sizeof table;
  if (pydcp_overrides(overridden, "validate_checkpoint_id") > 0) {
    table.validate_id = writer_validate_id;
  }
  if (pydcp_overrides(overridden, "reset") > 0) table.reset = writer_reset;
  if (pydcp_overrides(overridden, "set_up_storage_writer") > 0) table.set_up = writer_set_up;
  if (pydcp_overrides(overridden, "prepare_local_plan") > 0) {
    table.prepare_local_plan = writer_prepare_local_plan;
  }
  if (pydcp_overrides(overridden, "prepare_global_plan") > 0) {
    table.prepare_global_plan = writer_prepare_global_plan;
  }
  if (pydcp_overrides(overridden, "abandon") > 0) table.abandon = writer_abandon;
  table.write_data = writer_write_data;
  table.finish = writer_finish;
  table.destroy = pydcp_drop;
  if (PyErr_Occurred()) return NULL;
  dcp_storage_writer* writer = NULL;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status = dcp_storage_writer_new(&table, object, location, &writer, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return writer;
}

/* ---- a reader's table ---- */

/* With the metadata that set_up was given, which is lent during the calls that follow. */
typedef struct reader {
  PyObject* object;
  PyObject* metadata; /* a handle, or NULL */
  const dcp_metadata* lent;
} reader;

static int reader_enter(reader* self, pydcp_gil* gil) {
  if (!pydcp_enter(gil)) return 0;
  pydcp_lend_again(self->metadata, self->lent);
  return 1;
}

static void reader_leave(reader* self, pydcp_gil* gil) {
  pydcp_lend_again(self->metadata, NULL);
  pydcp_leave(gil);
}

static void reader_destroy(void* user_data) {
  reader* self = user_data;
  PYDCP_GIL(gil);
  if (pydcp_enter(&gil)) {
    Py_XDECREF(self->metadata);
    Py_DECREF(self->object);
    pydcp_leave(&gil);
  }
  free(self);
}

static dcp_status reader_validate_id(void* user_data, const char* checkpoint_id, int32_t* valid,
                                     dcp_error** error) {
  return validate_id(((reader*)user_data)->object, checkpoint_id, valid, error);
}

static dcp_status reader_reset(void* user_data, const char* checkpoint_id, dcp_error** error) {
  return reset(((reader*)user_data)->object, checkpoint_id, error);
}

static dcp_status reader_read_metadata(void* user_data, dcp_metadata** out, dcp_error** error) {
  reader* self = user_data;
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* result = PyObject_CallMethod(self->object, "read_metadata", NULL);
  *out = result != NULL ? pydcp_take(result, PYDCP_METADATA) : NULL;
  if (*out == NULL) Py_CLEAR(result);
  dcp_status status = pydcp_settle(result, "read_metadata", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status reader_set_up(void* user_data, const dcp_metadata* metadata, int32_t rank,
                                int32_t world_size, int32_t is_coordinator, dcp_error** error) {
  reader* self = user_data;
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  pydcp_lent_end(self->metadata);
  self->lent = metadata;
  self->metadata = pydcp_lent(PYDCP_METADATA, metadata, 1, NULL);
  PyObject* result =
      self->metadata != NULL
          ? PyObject_CallMethod(self->object, "set_up_storage_reader", "Oiii", self->metadata,
                                (int)is_coordinator, (int)rank, (int)world_size)
          : NULL;
  dcp_status status = pydcp_settle(result, "set_up_storage_reader", 0, error);
  reader_leave(self, &gil);
  return status;
}

static dcp_status reader_prepare_local_plan(void* user_data, dcp_load_plan* plan,
                                            dcp_error** error) {
  reader* self = user_data;
  PYDCP_GIL(gil);
  if (!reader_enter(self, &gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self->object, "prepare_local_plan",
                                      pydcp_lent(PYDCP_LOAD_PLAN, plan, 0, NULL), error);
  reader_leave(self, &gil);
  return status;
}

static dcp_status reader_prepare_global_plan(void* user_data, dcp_load_plans* plans,
                                             dcp_error** error) {
  reader* self = user_data;
  PYDCP_GIL(gil);
  if (!reader_enter(self, &gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self->object, "prepare_global_plan",
                                      pydcp_lent(PYDCP_LOAD_PLANS, plans, 0, NULL), error);
  reader_leave(self, &gil);
  return status;
}

static dcp_status reader_read_data(void* user_data, dcp_read_request* request,
                                   dcp_completion* completion, dcp_error** error) {
  reader* self = user_data;
  PYDCP_GIL(gil);
  if (!reader_enter(self, &gil)) {
    dcp_completion_free(completion);
    return pydcp_exiting(error);
  }
  dcp_status status =
      hand_on(self->object, "read_data", PYDCP_READ_REQUEST, request, completion, error);
  reader_leave(self, &gil);
  return status;
}

dcp_storage_reader* pydcp_storage_reader(PyObject* object, const char* location,
                                         PyObject* overridden) {
  dcp_storage_reader_table table = {0};
  table.struct_size = sizeof table;
  if (pydcp_overrides(overridden, "validate_checkpoint_id") > 0) {
    table.validate_id = reader_validate_id;
  }
  if (pydcp_overrides(overridden, "reset") > 0) table.reset = reader_reset;
  if (pydcp_overrides(overridden, "set_up_storage_reader") > 0) table.set_up = reader_set_up;
  if (pydcp_overrides(overridden, "prepare_local_plan") > 0) {
    table.prepare_local_plan = reader_prepare_local_plan;
  }
  if (pydcp_overrides(overridden, "prepare_global_plan") > 0) {
    table.prepare_global_plan = reader_prepare_global_plan;
  }
  table.read_metadata = reader_read_metadata;
  table.read_data = reader_read_data;
  table.destroy = reader_destroy;
  if (PyErr_Occurred()) return NULL;
  reader* self = calloc(1, sizeof *self);
  if (self == NULL) {
    PyErr_NoMemory();
    return NULL;
  }
  self->object = Py_NewRef(object);
  dcp_storage_reader* made = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_storage_reader_new(&table, self, location, &made, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return made;
}

/* ---- requests: calls that may call planners go without the GIL; the caller's reference keeps the
 *      request ---- */

static PyObject* ended(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) Py_RETURN_NONE;
  pydcp_raise(status, error, NULL);
  return NULL;
}

PyObject* pydcp_request_plan(PyObject* lent) {
  if (pydcp_lent_kind(lent) == PYDCP_READ_REQUEST) {
    const dcp_read_request* request = pydcp_borrow(lent, PYDCP_READ_REQUEST);
    if (request == NULL) return NULL;
    return pydcp_lent(PYDCP_LOAD_PLAN, dcp_read_request_plan(request), 1, lent);
  }
  const dcp_write_request* request = pydcp_borrow(lent, PYDCP_WRITE_REQUEST);
  if (request == NULL) return NULL;
  return pydcp_lent(PYDCP_SAVE_PLAN, dcp_write_request_plan(request), 1, lent);
}

PyObject* pydcp_request_save_id(PyObject* lent) {
  const dcp_write_request* request = pydcp_borrow(lent, PYDCP_WRITE_REQUEST);
  return request != NULL ? pydcp_string_out(dcp_write_request_save_id(request)) : NULL;
}

PyObject* pydcp_request_value(PyObject* lent, size_t item) {
  const dcp_write_request* request = pydcp_borrow(lent, PYDCP_WRITE_REQUEST);
  if (request == NULL) return NULL;
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = dcp_write_request_value(request, item, &value, &error);
  Py_END_ALLOW_THREADS;
  if (status != DCP_OK) return ended(status, error);
  PyObject* object = pydcp_decode(value);
  dcp_value_free(value);
  return object;
}

/* A callable that gets the pieces of an item, and what it raised. */
typedef struct pieces {
  PyObject* write;
  PyObject *type, *exception, *traceback;
} pieces;

static dcp_status take_piece(void* sink, const void* data, size_t size) {
  pieces* to = sink;
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return DCP_CANCELLED;
  PyObject* loan = NULL;
  PyObject* view = pydcp_lend((void*)data, size, 1, &loan);
  PyObject* result = view != NULL ? PyObject_CallOneArg(to->write, view) : NULL;
  if (view != NULL && pydcp_return(view, loan) != 0) Py_CLEAR(result);
  dcp_status status = result != NULL ? DCP_OK : DCP_CALLBACK;
  if (result == NULL) PyErr_Fetch(&to->type, &to->exception, &to->traceback);
  Py_XDECREF(result);
  pydcp_leave(&gil);
  return status;
}

PyObject* pydcp_request_encode(PyObject* lent, size_t item, PyObject* write) {
  const dcp_write_request* request = pydcp_borrow(lent, PYDCP_WRITE_REQUEST);
  if (request == NULL) return NULL;
  pieces to = {write, NULL, NULL, NULL};
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = dcp_write_request_encode(request, item, take_piece, &to, &error);
  Py_END_ALLOW_THREADS;
  if (to.type == NULL) return ended(status, error);
  dcp_error_free(error);
  PyErr_Restore(to.type, to.exception, to.traceback);
  return NULL;
}

PyObject* pydcp_request_decode(PyObject* lent, size_t item, PyObject* data) {
  dcp_read_request* request = pydcp_borrow(lent, PYDCP_READ_REQUEST);
  Py_buffer view;
  if (request == NULL || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) return NULL;
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = dcp_read_request_decode(request, item, view.buf, (size_t)view.len, &error);
  Py_END_ALLOW_THREADS;
  PyBuffer_Release(&view);
  return ended(status, error);
}

PyObject* pydcp_request_tensor(PyObject* lent, size_t item) {
  dcp_read_request* request = pydcp_borrow(lent, PYDCP_READ_REQUEST);
  if (request == NULL) return NULL;
  dcp_tensor* tensor = NULL;
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = dcp_read_request_tensor(request, item, &tensor, &error);
  Py_END_ALLOW_THREADS;
  return status == DCP_OK ? pydcp_array_of_tensor(tensor) : ended(status, error);
}

PyObject* pydcp_request_commit(PyObject* lent, size_t item) {
  dcp_read_request* request = pydcp_borrow(lent, PYDCP_READ_REQUEST);
  if (request == NULL) return NULL;
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = dcp_read_request_commit(request, item, &error);
  Py_END_ALLOW_THREADS;
  return ended(status, error);
}

PyObject* pydcp_request_object(PyObject* lent, size_t item, PyObject* object) {
  dcp_read_request* request = pydcp_borrow(lent, PYDCP_READ_REQUEST);
  dcp_value* value = request != NULL ? pydcp_encode(object) : NULL;
  if (value == NULL) return NULL;
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = dcp_read_request_object(request, item, value, &error);
  dcp_value_free(value);
  Py_END_ALLOW_THREADS;
  return ended(status, error);
}

PyObject* pydcp_request_succeed(PyObject* lent, PyObject* data) {
  Py_buffer view;
  if (pydcp_borrow(lent, pydcp_lent_kind(lent)) == NULL) return NULL;
  if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) return NULL;
  dcp_completion_succeed(pydcp_lent_owned(lent), view.buf, (size_t)view.len);
  PyBuffer_Release(&view);
  Py_RETURN_NONE;
}

PyObject* pydcp_request_fail(PyObject* lent, PyObject* exception, const char* callback) {
  if (pydcp_borrow(lent, pydcp_lent_kind(lent)) == NULL) return NULL;
  dcp_error* error = NULL;
  PyErr_SetObject((PyObject*)Py_TYPE(exception), exception);
  pydcp_fail(callback, 0, &error);
  dcp_completion_fail(pydcp_lent_owned(lent), error);
  Py_RETURN_NONE;
}

PyObject* pydcp_request_still_here(PyObject* lent) {
  if (pydcp_borrow(lent, pydcp_lent_kind(lent)) == NULL) return NULL;
  dcp_completion_still_here(pydcp_lent_owned(lent));
  Py_RETURN_NONE;
}
