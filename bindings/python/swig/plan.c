/* Plans and metadata of callbacks, item by item. */
#include <string.h>

#include "pydcp.h"

enum { kMaxDims = 64 };

static PyObject* failed(dcp_status status, dcp_error* error) {
  pydcp_raise(status, error, NULL);
  return NULL;
}

/* `error` by its place: it is looked at after the call that gave `status`. */
static PyObject* ended(dcp_status status, dcp_error** error) {
  if (status != DCP_OK) return failed(status, *error);
  Py_RETURN_NONE;
}

/* ---- plans ---- */

static void free_save_plan(void* plan) { dcp_save_plan_free(plan); }

PyObject* pydcp_plan_new(void) {
  dcp_save_plan* plan = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_save_plan_new(&plan, &error);
  if (status != DCP_OK) return failed(status, error);
  return pydcp_lent_with(PYDCP_SAVE_PLAN, plan, plan, free_save_plan);
}

PyObject* pydcp_plan_standard(PyObject* lent) {
  dcp_error* error = NULL;
  if (pydcp_lent_kind(lent) == PYDCP_LOAD_PLAN) {
    dcp_load_plan* plan = pydcp_borrow_to_change(lent, PYDCP_LOAD_PLAN);
    return plan != NULL ? ended(dcp_load_plan_standard(plan, &error), &error) : NULL;
  }
  dcp_save_plan* plan = pydcp_borrow_to_change(lent, PYDCP_SAVE_PLAN);
  return plan != NULL ? ended(dcp_save_plan_standard(plan, &error), &error) : NULL;
}

PyObject* pydcp_plan_count(PyObject* lent) {
  enum pydcp_kind kind = pydcp_lent_kind(lent);
  if (kind == PYDCP_NOTHING) return NULL;
  const void* plan = pydcp_borrow(lent, kind);
  if (plan == NULL) return NULL;
  switch (kind) {
    case PYDCP_SAVE_PLAN:
      return PyLong_FromSize_t(dcp_save_plan_count(plan));
    case PYDCP_LOAD_PLAN:
      return PyLong_FromSize_t(dcp_load_plan_count(plan));
    case PYDCP_SAVE_PLANS:
      return PyLong_FromSize_t(dcp_save_plans_count(plan));
    case PYDCP_LOAD_PLANS:
      return PyLong_FromSize_t(dcp_load_plans_count(plan));
    default:
      PyErr_SetString(PyExc_TypeError, "expected a plan");
      return NULL;
  }
}

PyObject* pydcp_write_item(const dcp_write_item* item) {
  size_t ndim = (size_t)item->ndim;
  return Py_BuildValue("(iNiNNNNL)", (int)item->kind, pydcp_text_out(item->name, item->name_size),
                       (int)item->dtype, pydcp_sizes_out(item->global_sizes, ndim),
                       pydcp_sizes_out(item->offsets, ndim), pydcp_sizes_out(item->sizes, ndim),
                       PyBool_FromLong(item->requires_grad), (long long)item->source);
}

static PyObject* read_item(const dcp_read_item* item) {
  size_t ndim = (size_t)item->ndim;
  return Py_BuildValue("(iNKNNNL)", (int)item->kind, pydcp_text_out(item->name, item->name_size),
                       (unsigned long long)item->chunk,
                       pydcp_sizes_out(item->storage_offsets, ndim),
                       pydcp_sizes_out(item->dest_offsets, ndim),
                       pydcp_sizes_out(item->lengths, ndim), (long long)item->target);
}

PyObject* pydcp_plan_item(PyObject* lent, size_t index) {
  dcp_error* error = NULL;
  dcp_status status;
  if (pydcp_lent_kind(lent) == PYDCP_LOAD_PLAN) {
    const dcp_load_plan* plan = pydcp_borrow(lent, PYDCP_LOAD_PLAN);
    if (plan == NULL) return NULL;
    dcp_read_item item = {0};
    item.struct_size = sizeof item;
    status = dcp_load_plan_item(plan, index, &item, &error);
    return status == DCP_OK ? read_item(&item) : failed(status, error);
  }
  const dcp_save_plan* plan = pydcp_borrow(lent, PYDCP_SAVE_PLAN);
  if (plan == NULL) return NULL;
  dcp_write_item item = {0};
  item.struct_size = sizeof item;
  status = dcp_save_plan_item(plan, index, &item, &error);
  return status == DCP_OK ? pydcp_write_item(&item) : failed(status, error);
}

/* Three lists of one length; the length, or -1. */
static int three_of(PyObject* a, PyObject* b, PyObject* c, int64_t sizes[3][kMaxDims],
                    const char* what) {
  int first = pydcp_sizes_in(a, sizes[0], kMaxDims, what);
  int second = first < 0 ? -1 : pydcp_sizes_in(b, sizes[1], kMaxDims, what);
  int third = second < 0 ? -1 : pydcp_sizes_in(c, sizes[2], kMaxDims, what);
  if (third < 0) return -1;
  if (first == second && second == third) return first;
  PyErr_Format(PyExc_ValueError, "%s has %d, %d and %d dimensions", what, first, second, third);
  return -1;
}

PyObject* pydcp_plan_add(PyObject* lent, PyObject* fields) {
  PyObject *name, *a, *b, *c, *holder;
  int kind, dtype, requires_grad;
  unsigned long long chunk;
  long long number;
  int64_t sizes[3][kMaxDims];
  const char* bytes;
  Py_ssize_t length;
  dcp_error* error = NULL;
  dcp_status status;
  if (pydcp_lent_kind(lent) == PYDCP_LOAD_PLAN) {
    dcp_load_plan* plan = pydcp_borrow_to_change(lent, PYDCP_LOAD_PLAN);
    if (plan == NULL ||
        !PyArg_ParseTuple(fields, "iOKOOOL", &kind, &name, &chunk, &a, &b, &c, &number)) {
      return NULL;
    }
    int ndim = three_of(a, b, c, sizes, "a ReadItem");
    if (ndim < 0 || pydcp_text_in(name, &bytes, &length, &holder) != 0) return NULL;
    dcp_read_item item = {0};
    item.struct_size = sizeof item;
    item.kind = kind;
    item.name = bytes;
    item.name_size = (size_t)length;
    item.chunk = chunk;
    item.ndim = ndim;
    item.storage_offsets = sizes[0];
    item.dest_offsets = sizes[1];
    item.lengths = sizes[2];
    item.target = number;
    status = dcp_load_plan_add(plan, &item, &error);
    Py_XDECREF(holder);
    return ended(status, &error);
  }
  dcp_save_plan* plan = pydcp_borrow_to_change(lent, PYDCP_SAVE_PLAN);
  if (plan == NULL || !PyArg_ParseTuple(fields, "iOiOOOpL", &kind, &name, &dtype, &a, &b, &c,
                                        &requires_grad, &number)) {
    return NULL;
  }
  int ndim = three_of(a, b, c, sizes, "a WriteItem");
  if (ndim < 0 || pydcp_text_in(name, &bytes, &length, &holder) != 0) return NULL;
  dcp_write_item item = {0};
  item.struct_size = sizeof item;
  item.kind = kind;
  item.name = bytes;
  item.name_size = (size_t)length;
  item.dtype = dtype;
  item.ndim = ndim;
  item.global_sizes = sizes[0];
  item.offsets = sizes[1];
  item.sizes = sizes[2];
  item.requires_grad = requires_grad;
  item.source = number;
  status = dcp_save_plan_add(plan, &item, &error);
  Py_XDECREF(holder);
  return ended(status, &error);
}

PyObject* pydcp_plan_remove(PyObject* lent, size_t index) {
  dcp_error* error = NULL;
  if (pydcp_lent_kind(lent) == PYDCP_LOAD_PLAN) {
    dcp_load_plan* plan = pydcp_borrow_to_change(lent, PYDCP_LOAD_PLAN);
    return plan != NULL ? ended(dcp_load_plan_remove(plan, index, &error), &error) : NULL;
  }
  dcp_save_plan* plan = pydcp_borrow_to_change(lent, PYDCP_SAVE_PLAN);
  return plan != NULL ? ended(dcp_save_plan_remove(plan, index, &error), &error) : NULL;
}

PyObject* pydcp_plan_data(PyObject* lent) {
  size_t size = 0;
  const void* data;
  if (pydcp_lent_kind(lent) == PYDCP_LOAD_PLAN) {
    const dcp_load_plan* plan = pydcp_borrow(lent, PYDCP_LOAD_PLAN);
    if (plan == NULL) return NULL;
    data = dcp_load_plan_data(plan, &size);
  } else {
    const dcp_save_plan* plan = pydcp_borrow(lent, PYDCP_SAVE_PLAN);
    if (plan == NULL) return NULL;
    data = dcp_save_plan_data(plan, &size);
  }
  return PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

PyObject* pydcp_plan_set_data(PyObject* lent, PyObject* data) {
  int load = pydcp_lent_kind(lent) == PYDCP_LOAD_PLAN;
  void* plan = pydcp_borrow_to_change(lent, load ? PYDCP_LOAD_PLAN : PYDCP_SAVE_PLAN);
  Py_buffer view;
  if (plan == NULL || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) return NULL;
  dcp_error* error = NULL;
  dcp_status status = load ? dcp_load_plan_set_data(plan, view.buf, (size_t)view.len, &error)
                           : dcp_save_plan_set_data(plan, view.buf, (size_t)view.len, &error);
  PyBuffer_Release(&view);
  return ended(status, &error);
}

PyObject* pydcp_plan_set_path(PyObject* lent, PyObject* name, PyObject* path) {
  dcp_save_plan* plan = pydcp_borrow_to_change(lent, PYDCP_SAVE_PLAN);
  const char* bytes;
  Py_ssize_t length;
  PyObject* holder;
  if (plan == NULL || pydcp_text_in(name, &bytes, &length, &holder) != 0) return NULL;
  dcp_value* value = pydcp_encode(path);
  PyObject* result = NULL;
  if (value != NULL) {
    dcp_error* error = NULL;
    result = ended(dcp_save_plan_set_path(plan, bytes, (size_t)length, value, &error), &error);
    dcp_value_free(value);
  }
  Py_XDECREF(holder);
  return result;
}

PyObject* pydcp_plan_found(PyObject* lent, size_t item) {
  const dcp_save_plan* plan = pydcp_borrow(lent, PYDCP_SAVE_PLAN);
  if (plan == NULL) return NULL;
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_save_plan_found(plan, item, &value, &error);
  if (status != DCP_OK) return failed(status, error);
  if (value == NULL) return PyTuple_New(0);
  PyObject* object = pydcp_decode(value);
  dcp_value_free(value);
  return object != NULL ? Py_BuildValue("(N)", object) : NULL;
}

PyObject* pydcp_plans_at(PyObject* lent, size_t rank) {
  if (pydcp_lent_kind(lent) == PYDCP_LOAD_PLANS) {
    dcp_load_plans* plans = pydcp_borrow(lent, PYDCP_LOAD_PLANS);
    if (plans == NULL) return NULL;
    return pydcp_lent(PYDCP_LOAD_PLAN, dcp_load_plans_at(plans, rank), 0, lent);
  }
  dcp_save_plans* plans = pydcp_borrow(lent, PYDCP_SAVE_PLANS);
  if (plans == NULL) return NULL;
  return pydcp_lent(PYDCP_SAVE_PLAN, dcp_save_plans_at(plans, rank), 0, lent);
}

PyObject* pydcp_plans_dedup(PyObject* lent, int to_lowest_rank) {
  dcp_save_plans* plans = pydcp_borrow_to_change(lent, PYDCP_SAVE_PLANS);
  dcp_error* error = NULL;
  return plans != NULL ? ended(dcp_save_plans_dedup(plans, to_lowest_rank, &error), &error) : NULL;
}

/* ---- metadata ---- */

static void free_metadata(void* metadata) { dcp_metadata_free(metadata); }

PyObject* pydcp_metadata_decode(PyObject* data) {
  Py_buffer view;
  if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) return NULL;
  dcp_metadata* metadata = NULL;
  dcp_error* error = NULL;
  dcp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = dcp_metadata_decode(view.buf, (size_t)view.len, &metadata, &error);
  Py_END_ALLOW_THREADS;
  PyBuffer_Release(&view);
  if (status != DCP_OK) return failed(status, error);
  return pydcp_lent_with(PYDCP_METADATA, metadata, metadata, free_metadata);
}

PyObject* pydcp_metadata_of_plan(PyObject* lent) {
  const dcp_save_plan* plan = pydcp_borrow(lent, PYDCP_SAVE_PLAN);
  if (plan == NULL) return NULL;
  dcp_metadata* metadata = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_metadata_of_plan(plan, &metadata, &error);
  if (status != DCP_OK) return failed(status, error);
  return pydcp_lent_with(PYDCP_METADATA, metadata, metadata, free_metadata);
}

PyObject* pydcp_metadata_encode(PyObject* lent, int dialect) {
  const dcp_metadata* metadata = pydcp_borrow(lent, PYDCP_METADATA);
  if (metadata == NULL) return NULL;
  dcp_value* bytes = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_metadata_encode(metadata, dialect, &bytes, &error);
  if (status != DCP_OK) return failed(status, error);
  PyObject* result = pydcp_decode(bytes);
  dcp_value_free(bytes);
  return result;
}

PyObject* pydcp_metadata_count(PyObject* lent) {
  const dcp_metadata* metadata = pydcp_borrow(lent, PYDCP_METADATA);
  return metadata != NULL ? PyLong_FromSize_t(dcp_metadata_count(metadata)) : NULL;
}

PyObject* pydcp_metadata_entry(PyObject* lent, size_t index) {
  const dcp_metadata* metadata = pydcp_borrow(lent, PYDCP_METADATA);
  if (metadata == NULL) return NULL;
  dcp_entry_info info = {0};
  info.struct_size = sizeof info;
  dcp_error* error = NULL;
  dcp_status status = dcp_metadata_entry(metadata, index, &info, &error);
  return status == DCP_OK ? pydcp_entry_out(&info) : failed(status, error);
}

PyObject* pydcp_metadata_chunk(PyObject* lent, size_t index, size_t chunk) {
  const dcp_metadata* metadata = pydcp_borrow(lent, PYDCP_METADATA);
  if (metadata == NULL) return NULL;
  dcp_chunk_info info = {0};
  info.struct_size = sizeof info;
  dcp_error* error = NULL;
  dcp_status status = dcp_metadata_chunk(metadata, index, chunk, &info, &error);
  return status == DCP_OK ? pydcp_chunk_out(&info) : failed(status, error);
}

PyObject* pydcp_metadata_place(PyObject* lent, int rank, size_t item, const char* file,
                               unsigned long long offset, unsigned long long length) {
  dcp_metadata* metadata = pydcp_borrow_to_change(lent, PYDCP_METADATA);
  dcp_error* error = NULL;
  if (metadata == NULL) return NULL;
  return ended(dcp_metadata_place(metadata, rank, item, file, offset, length, &error), &error);
}
