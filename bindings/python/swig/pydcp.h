/* pydcp.h - the hand-written half of the extension module _dcp_raw: Python objects to dcp_value and
 * back, callback tables filled by Python objects, errors in both directions, and the gate that
 * keeps libdcp's threads out of an interpreter that is going away.
 *
 * Unless said otherwise functions need the GIL, return a new reference, and return NULL with a
 * Python exception set on failure. */
#ifndef PYDCP_H
#define PYDCP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "dcp.h"

#define PYDCP_DTYPE_COUNT 33 /* dtype numbers are below this */

/* What the package hands over once at import (pydcp_configure). Borrowed by every function here. */
typedef struct pydcp_hooks {
  PyObject* error_class;   /* libdcp.Error */
  PyObject* make_error;    /* (status, message, details, failures, cause) -> exception */
  PyObject* classify;      /* type -> PYDCP_TYPE_* */
  PyObject* encode_other;  /* (object, descend) -> recipe, a tuple that starts with PYDCP_AS_* */
  PyObject* decode_other;  /* (value kind, ...) -> object */
  PyObject* raw_array;     /* (uint8 array, dtype name, shape) -> object */
  PyObject* as_array;      /* numpy.asarray */
  PyObject* native_array;  /* array -> native byte order, whole strides >= 0; a copy if need be */
  PyObject* ndarray;       /* numpy.ndarray */
  PyObject* numpy_dtypes;  /* numpy dtype -> dtype number */
  PyObject* numpy_objects; /* dtype number -> numpy dtype; only those that numpy has */
  PyObject* torch_dtype;   /* torch dtype -> dtype number; raises for others */
  PyObject* bytes_dtype;   /* numpy.dtype("uint8") */
  PyObject* types;         /* cache: type -> PYDCP_TYPE_* */
  PyObject* torch_dtypes;  /* cache: torch dtype -> dtype number */
} pydcp_hooks;
extern pydcp_hooks pydcp;

PyObject* pydcp_configure(PyObject* hooks);

enum pydcp_type {
  PYDCP_TYPE_OTHER = 0,
  PYDCP_TYPE_ARRAY = 1,
  PYDCP_TYPE_SCALAR = 2,
  PYDCP_TYPE_TORCH = 3,
  PYDCP_TYPE_SIZE = 4,
  PYDCP_TYPE_DLPACK = 5,
  PYDCP_TYPE_MAPPING = 6
};

enum pydcp_recipe {
  PYDCP_AS_TEXT = 1,        /* value kind, text */
  PYDCP_AS_PATH = 2,        /* global, text */
  PYDCP_AS_OPAQUE = 3,      /* global, bytes */
  PYDCP_AS_CONSTRUCTED = 4, /* global, arguments, state or None */
  PYDCP_AS_SHARDED = 5,     /* dtype number or 0, global shape, ((offsets, array), ...) */
  PYDCP_AS_RAW = 6,         /* dtype number, shape, uint8 array with one more dimension */
  PYDCP_AS_SEQUENCE = 7,    /* value kind, list */
  PYDCP_AS_PAIRS = 8        /* value kind, list of (key, value) */
};

/* ---- gate.c ---- */

/* A callback's hold on the GIL. Python before 3.14 ends a thread that asks for the GIL while the
 * interpreter goes away, by unwinding it: through frames of libdcp that no exception may cross. A
 * thread that this happens to in a callback stops here for ever instead, as later versions do. */
typedef struct pydcp_gil {
  PyGILState_STATE state;
  int held;
} pydcp_gil;
#define PYDCP_GIL(name) pydcp_gil name __attribute__((cleanup(pydcp_stop_unwinding))) = {0}
void pydcp_stop_unwinding(pydcp_gil* gil);

/* Takes the GIL for a callback; call without any lock held, on any thread. 0 when the interpreter
 * is going away: then no Python API may be used. */
int pydcp_enter(pydcp_gil* gil);
void pydcp_leave(pydcp_gil* gil);
/* Lets no callback in from now on and waits up to `seconds` for those inside. True when all left.
 */
PyObject* pydcp_shut(double seconds);

/* ---- error.c ---- */

/* Raises what `status` and `error` ([taken], may be NULL) say. `prefix` (may be NULL) is put before
 * the message. */
void pydcp_raise(dcp_status status, dcp_error* error, const char* prefix);
/* The exception for an error that stays the caller's. */
PyObject* pydcp_exception(const dcp_error* error);
/* Turns the Python exception that is set into a status and *error (`error` may be NULL), with the
 * exception attached. FileNotFoundError is DCP_NOT_FOUND when `missing_is_status`. */
dcp_status pydcp_fail(const char* callback, int missing_is_status, dcp_error** error);
/* For pydcp_enter() that gave 0. Needs no GIL. */
dcp_status pydcp_exiting(dcp_error** error);

/* ---- memory.c ---- */

/* Makes the types of memory.c ready. 0, or -1 with an exception. */
int pydcp_memory_ready(void);
/* 0, or -1 with an exception. What reads torch tensors is ready after it. */
int pydcp_encode_ready(void);
/* A bytes-like object over a tensor's memory; `tensor` is [taken]. */
PyObject* pydcp_memory_of_tensor(dcp_tensor* tensor, void* data, size_t size, int read_only);
/* A memoryview of someone else's bytes, for one callback. *loan has to be given back with
 * pydcp_return. */
PyObject* pydcp_lend(void* data, size_t size, int read_only, PyObject** loan);
/* Ends a loan. -1 with BufferError when Python code still holds views of it. */
int pydcp_return(PyObject* view, PyObject* loan);
/* An array (numpy, or RawArray where numpy has no such dtype) over `tensor`, which is [taken]. */
PyObject* pydcp_array_of_tensor(dcp_tensor* tensor);
/* The same of a tensor that stays the caller's. */
PyObject* pydcp_array_of_borrowed(const dcp_tensor* tensor);
/* A DLPack capsule that shares the tensor's memory. */
PyObject* pydcp_capsule_of_tensor(const dcp_tensor* tensor, int versioned);

/* ---- text.c ---- */

/* Text of a str as UTF-8 with lone surrogates as three bytes. *holder is NULL or a new reference
 * that keeps the bytes. 0, or -1 with an exception. */
int pydcp_text_in(PyObject* text, const char** bytes, Py_ssize_t* size, PyObject** holder);
PyObject* pydcp_text_out(const char* bytes, size_t size);
/* NULL gives None. */
PyObject* pydcp_string_out(const char* string);
/* Seconds of a timeout in milliseconds; a negative one, without end, gives None. */
PyObject* pydcp_seconds_out(int64_t milliseconds);
PyObject* pydcp_sizes_out(const int64_t* sizes, size_t count);
/* Fills sizes[0..count) from a tuple or list of integers; returns count, or -1. */
int pydcp_sizes_in(PyObject* sequence, int64_t* sizes, int max_count, const char* what);

/* ---- encode.c, decode.c ---- */

/* A state dict of a mapping. `target`: it will be loaded into, so that each array has to be the
 * caller's own, writable memory. */
dcp_state_dict* pydcp_state_dict(PyObject* mapping, int target);
/* True for a dict of nothing but torch tensors in the CPU's memory, of the very `types`, by text keys
 * and without the attribute `marker`. */
PyObject* pydcp_only_plain_tensors(PyObject* mapping, PyObject* types, PyObject* marker);
dcp_value* pydcp_encode(PyObject* object);
/* The whole of a rank's state, of any type. `target` as above. */
dcp_value* pydcp_encode_state(PyObject* object, int target);
PyObject* pydcp_decode(const dcp_value* value);
/* A tensor over an array's own memory, which has to be writable. */
dcp_tensor* pydcp_tensor_to_fill(PyObject* array);
/* Describes an array to be written to by a read. `keep` gets a reference that keeps the memory. */
int pydcp_view_of(PyObject* array, dcp_tensor_view* view, int64_t* shape, int64_t* strides,
                  PyObject** keep);

/* ---- tables.c ---- */

/* The `destroy` of a table whose user_data is a Python object: takes the GIL, drops one reference.
 */
void pydcp_drop(void* object);
/* Ends a callback whose result is not used; takes `result`. As pydcp_fail when it is NULL. */
dcp_status pydcp_settle(PyObject* result, const char* name, int missing_is_status,
                        dcp_error** error);

dcp_storage* pydcp_storage(PyObject* object, const char* location);
PyObject* pydcp_add_transform(dcp_context* context, const char* name, const char* version,
                              PyObject* object);
PyObject* pydcp_set_progress(dcp_context* context, PyObject* callable);
PyObject* pydcp_set_log(dcp_context* context, PyObject* callable);
PyObject* pydcp_on_done(dcp_future* future, PyObject* callable);
/* (report, whether there was damage); `on_damage` is None or called with one tuple a damage. */
PyObject* pydcp_verify(dcp_checkpoint* checkpoint, PyObject* on_damage, dcp_cancel* cancel);

/* ---- communicator.c ---- */

dcp_communicator* pydcp_communicator(PyObject* object, int rank, int world_size);
/* Lists of bytes, one a rank, or one alone; [] elsewhere than on the root of a gather. */
PyObject* pydcp_gather(dcp_communicator* communicator, PyObject* data, int root,
                       long long timeout_ms);
PyObject* pydcp_scatter(dcp_communicator* communicator, PyObject* parts, int root,
                        long long timeout_ms);
PyObject* pydcp_broadcast(dcp_communicator* communicator, PyObject* data, int root,
                          long long timeout_ms);
PyObject* pydcp_all_gather(dcp_communicator* communicator, PyObject* data, long long timeout_ms);

/* ---- rank_local.c ---- */

dcp_barrier* pydcp_barrier(PyObject* object);
dcp_commit_hook* pydcp_commit_hook(PyObject* object);

/* ---- key_value.c ---- */

dcp_communicator* pydcp_store_communicator(PyObject* object, const char* prefix, int rank,
                                           int world_size);

/* ---- handle.c: what the library lends to a callback ---- */

enum pydcp_kind {
  PYDCP_NOTHING = 0,
  PYDCP_SAVE_PLAN = 1,
  PYDCP_SAVE_PLANS = 2,
  PYDCP_LOAD_PLAN = 3,
  PYDCP_LOAD_PLANS = 4,
  PYDCP_METADATA = 5,
  PYDCP_WRITE_REQUEST = 6,
  PYDCP_READ_REQUEST = 7
};

/* A loan, until pydcp_lent_end; of `parent` (may be NULL), until that one's. */
PyObject* pydcp_lent(enum pydcp_kind kind, const void* pointer, int read_only, PyObject* parent);
/* For as long as the object lives; `owned` is [taken], also on failure. */
PyObject* pydcp_lent_with(enum pydcp_kind kind, const void* pointer, void* owned,
                          void (*free_owned)(void*));
/* Begins the loan anew, or with NULL interrupts it. `lent` may be NULL. */
void pydcp_lend_again(PyObject* lent, const void* pointer);
/* Ends the loan and takes `lent`, which may be NULL. Leaves exceptions as they are. */
void pydcp_lent_end(PyObject* lent);
/* PYDCP_NOTHING, with TypeError, for other objects. */
enum pydcp_kind pydcp_lent_kind(PyObject* lent);
/* The pointer, [borrowed]; NULL with libdcp.InvalidArgumentError when the loan is over. */
void* pydcp_borrow(PyObject* lent, enum pydcp_kind kind);
void* pydcp_borrow_to_change(PyObject* lent, enum pydcp_kind kind);
/* The pointer, [owned] by the caller from here on; only of pydcp_lent_with(kind, p, p, ...). */
void* pydcp_take(PyObject* lent, enum pydcp_kind kind);
void* pydcp_lent_owned(PyObject* lent);

/* ---- plan.c ---- */

/* Save and load plans alike, by what they are. Items go as tuples. */
PyObject* pydcp_plan_new(void);
PyObject* pydcp_plan_standard(PyObject* lent);
PyObject* pydcp_plan_count(PyObject* lent);
PyObject* pydcp_plan_item(PyObject* lent, size_t index);
PyObject* pydcp_plan_add(PyObject* lent, PyObject* fields);
PyObject* pydcp_plan_remove(PyObject* lent, size_t index);
PyObject* pydcp_plan_data(PyObject* lent);
PyObject* pydcp_plan_set_data(PyObject* lent, PyObject* data);
PyObject* pydcp_plan_set_path(PyObject* lent, PyObject* name, PyObject* path);
/* (object,), or () when the state dict holds nothing for the item. */
PyObject* pydcp_plan_found(PyObject* lent, size_t item);
PyObject* pydcp_plans_at(PyObject* lent, size_t rank);
PyObject* pydcp_plans_dedup(PyObject* lent, int to_lowest_rank);
PyObject* pydcp_write_item(const dcp_write_item* item);
PyObject* pydcp_metadata_decode(PyObject* data);
PyObject* pydcp_metadata_of_plan(PyObject* lent);
PyObject* pydcp_metadata_encode(PyObject* lent, int dialect);
PyObject* pydcp_metadata_count(PyObject* lent);
PyObject* pydcp_metadata_entry(PyObject* lent, size_t index);
PyObject* pydcp_metadata_chunk(PyObject* lent, size_t index, size_t chunk);
PyObject* pydcp_metadata_place(PyObject* lent, int rank, size_t item, const char* file,
                               unsigned long long offset, unsigned long long length);

/* ---- planner.c ---- */

/* `overridden`: a set of the names of methods to call. */
dcp_save_planner* pydcp_save_planner(PyObject* object, PyObject* overridden);
dcp_load_planner* pydcp_load_planner(PyObject* object, PyObject* overridden);
/* For tables: 1 when `name` is in the set, 0, or -1 with an exception. */
int pydcp_overrides(PyObject* overridden, const char* name);
/* Calls object.name(lent) and ends the loan; `lent` may be NULL with an exception. */
dcp_status pydcp_call_lent(PyObject* object, const char* name, PyObject* lent, dcp_error** error);

/* ---- storage_roles.c ---- */

dcp_storage_writer* pydcp_storage_writer(PyObject* object, const char* location,
                                         PyObject* overridden);
dcp_storage_reader* pydcp_storage_reader(PyObject* object, const char* location,
                                         PyObject* overridden);
PyObject* pydcp_request_plan(PyObject* lent);
PyObject* pydcp_request_save_id(PyObject* lent);
PyObject* pydcp_request_value(PyObject* lent, size_t item);
/* write(memoryview) gets the pieces. */
PyObject* pydcp_request_encode(PyObject* lent, size_t item, PyObject* write);
PyObject* pydcp_request_decode(PyObject* lent, size_t item, PyObject* data);
PyObject* pydcp_request_tensor(PyObject* lent, size_t item);
PyObject* pydcp_request_commit(PyObject* lent, size_t item);
PyObject* pydcp_request_object(PyObject* lent, size_t item, PyObject* object);
/* The end of a request's work: the first counts. */
PyObject* pydcp_request_succeed(PyObject* lent, PyObject* data);
PyObject* pydcp_request_fail(PyObject* lent, PyObject* exception, const char* callback);
PyObject* pydcp_request_still_here(PyObject* lent);

/* ---- reports.c ---- */

PyObject* pydcp_save_report(const dcp_save_report* report);
PyObject* pydcp_load_report(const dcp_load_report* report);
PyObject* pydcp_damage(const dcp_damage* damage);
PyObject* pydcp_names(const dcp_checkpoint* checkpoint);
PyObject* pydcp_entry(const dcp_checkpoint* checkpoint, size_t index);
PyObject* pydcp_chunk(const dcp_checkpoint* checkpoint, size_t index, uint64_t chunk);
PyObject* pydcp_entry_out(const dcp_entry_info* info);
PyObject* pydcp_chunk_out(const dcp_chunk_info* info);
PyObject* pydcp_read(dcp_checkpoint* checkpoint, size_t index, PyObject* offsets, PyObject* steps,
                     PyObject* array, int raw);

#endif /* PYDCP_H */
