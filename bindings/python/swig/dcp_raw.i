/* dcp_raw.i - the raw layer of the Python package: dcp.h as it stands, each call without the GIL,
 * statuses as exceptions, handles freed with their proxies. Values, state dicts, callback tables and
 * reports go through hand-written C (pydcp.h), which keeps the GIL where it touches objects. */
%module(package="libdcp", threads="1") dcp_raw

%{
#include "pydcp.h"
#include <stdlib.h>
#include <string.h>
%}

%include <stdint.i>
%include <exception.i>

/* ---- errors: a status other than DCP_OK is raised ---- */

%typemap(out) dcp_status { (void)$1; $result = SWIG_Py_Void(); }
%typemap(in, numinputs=0) dcp_error **error (dcp_error *failure = NULL) { $1 = &failure; }
%typemap(argout) dcp_error **error {
  if (result != DCP_OK) {
    Py_CLEAR($result);
    pydcp_raise(result, *$1, NULL);
    SWIG_fail;
  }
}

/* ---- text ---- */

%typemap(in) (const char *name, size_t name_size) (PyObject *holder = NULL, Py_ssize_t length = 0) {
  const char *bytes = NULL;
  if (pydcp_text_in($input, &bytes, &length, &holder) != 0) SWIG_fail;
  $1 = (char *)bytes;
  $2 = (size_t)length;
}
%typemap(freearg) (const char *name, size_t name_size) { Py_XDECREF(holder$argnum); }

/* Paths: str, bytes or os.PathLike, in the file system's encoding. */
%typemap(in) const char *where (PyObject *path = NULL) {
  if (!PyUnicode_FSConverter($input, &path)) SWIG_fail;
  $1 = PyBytes_AS_STRING(path);
}
%typemap(freearg) const char *where { Py_XDECREF(path$argnum); }

%typemap(out) const char * { $result = pydcp_string_out($1); if ($result == NULL) SWIG_fail; }

/* ---- handles: one proxy class each, that frees it ---- */

%define %handle(TYPE)
%nodefaultctor TYPE;
typedef struct {} TYPE;
%extend TYPE {
  ~TYPE() { TYPE##_free($self); }
}
%ignore TYPE##_free;
%typemap(in, numinputs=0) TYPE **out (TYPE *made = NULL) { $1 = &made; }
%typemap(argout) TYPE **out {
  $result = SWIG_Python_AppendOutput($result,
      SWIG_NewPointerObj(SWIG_as_voidptr(*$1), $descriptor(TYPE *), SWIG_POINTER_OWN));
}
%typemap(in, numinputs=0) TYPE **report = TYPE **out;
%typemap(argout) TYPE **report = TYPE **out;
%typemap(in, numinputs=0) TYPE **missing = TYPE **out;
%typemap(argout) TYPE **missing = TYPE **out;
%enddef

%handle(dcp_cancel)
%handle(dcp_context)
%handle(dcp_tensor)
%handle(dcp_value)
%handle(dcp_state_dict)
%handle(dcp_storage)
%handle(dcp_future)
%handle(dcp_checkpoint)
%handle(dcp_communicator)
%handle(dcp_barrier)
%handle(dcp_commit_hook)
%handle(dcp_rank_writer)
%handle(dcp_rank_reader)
%handle(dcp_checkpointer)
%handle(dcp_plan_cache)
%handle(dcp_save_report)
%handle(dcp_load_report)
%handle(dcp_save_planner)
%handle(dcp_load_planner)
%handle(dcp_storage_writer)
%handle(dcp_storage_reader)
%newobject dcp_cancel_new;

/* ---- out numbers ---- */

%typemap(in, numinputs=0) size_t *index (size_t found = 0) { $1 = &found; }
%typemap(argout) size_t *index {
  $result = SWIG_Python_AppendOutput($result, PyLong_FromSize_t(*$1));
}

/* ---- options: made with their defaults ---- */

/* Handles in options stay the package's: SWIG would have them never freed (_context.set_handles). */
%define %pointed_to(TYPE, NAME)
%typemap(in) TYPE *NAME (void *held = NULL, int converted = 0) {
  converted = SWIG_ConvertPtr($input, &held, $descriptor, 0);
  if (!SWIG_IsOK(converted)) SWIG_exception_fail(SWIG_ArgError(converted), "expected a " #TYPE);
  $1 = (TYPE *)held;
}
%enddef
%pointed_to(dcp_cancel, cancel)
%pointed_to(dcp_communicator, communicator)
%pointed_to(dcp_save_planner, planner)
%pointed_to(dcp_load_planner, planner)
%pointed_to(dcp_storage_writer, storage_writer)
%pointed_to(dcp_plan_cache, plan_cache)
%pointed_to(dcp_storage_reader, storage_reader)

%define %options(TYPE)
%extend TYPE {
  TYPE() {
    TYPE *made = calloc(1, sizeof *made);
    if (made != NULL) TYPE##_init(made, sizeof *made);
    return made;
  }
  ~TYPE() { free($self); }
}
%ignore TYPE##_init;
%ignore TYPE::struct_size;
%enddef
%options(dcp_context_options)
%options(dcp_storage_options)
%options(dcp_open_options)
%options(dcp_rank_writer_options)
%options(dcp_checkpointer_options)

/* Save and load options own the texts they point to. */
%{
/* `*own`, which `*field` points to, becomes a copy of `text`. */
static PyObject *set_text(char **own, const char **field, PyObject *text) {
  const char *given = PyUnicode_AsUTF8(text);
  if (given == NULL) return NULL;
  free(*own);
  *field = *own = strdup(given);
  if (*own == NULL) return PyErr_NoMemory();
  Py_RETURN_NONE;
}

typedef struct load_options {
  dcp_load_options options; /* first: a pointer to one is a pointer to the other */
  char *id;
} load_options;

static PyObject *set_load_checkpoint_id(dcp_load_options *options, PyObject *text) {
  return set_text(&((load_options *)options)->id, &options->checkpoint_id, text);
}

typedef struct save_options {
  dcp_save_options options; /* first: a pointer to one is a pointer to the other */
  char **names;
  char *id;
} save_options;

static void free_names(save_options *o) {
  for (size_t i = 0; o->names != NULL && i < o->options.transform_count; i++) free(o->names[i]);
  free(o->names);
  o->names = NULL;
  o->options.transforms = NULL;
  o->options.transform_count = 0;
}

static PyObject *set_transforms(dcp_save_options *options, PyObject *names) {
  save_options *o = (save_options *)options;
  PyObject *fast = PySequence_Fast(names, "transforms is a sequence of names");
  if (fast == NULL) return NULL;
  Py_ssize_t count = PySequence_Fast_GET_SIZE(fast);
  free_names(o);
  o->names = calloc((size_t)count + 1, sizeof *o->names);
  for (Py_ssize_t i = 0; o->names != NULL && i < count; i++) {
    const char *name = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(fast, i));
    o->names[i] = name != NULL ? strdup(name) : NULL;
    o->options.transform_count = (size_t)i + 1;
    if (o->names[i] == NULL) {
      if (name != NULL) PyErr_NoMemory();
      free_names(o);
      Py_DECREF(fast);
      return NULL;
    }
  }
  Py_DECREF(fast);
  if (o->names == NULL) return PyErr_NoMemory();
  o->options.transforms = (const char *const *)o->names;
  Py_RETURN_NONE;
}

static PyObject *set_checkpoint_id(dcp_save_options *options, PyObject *text) {
  return set_text(&((save_options *)options)->id, &options->checkpoint_id, text);
}
%}
%extend dcp_save_options {
  dcp_save_options() {
    save_options *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    dcp_save_options_init(&made->options, sizeof made->options);
    return &made->options;
  }
  ~dcp_save_options() {
    save_options *o = (save_options *)$self;
    free_names(o);
    free(o->id);
    free(o);
  }
}
%extend dcp_load_options {
  dcp_load_options() {
    load_options *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    dcp_load_options_init(&made->options, sizeof made->options);
    return &made->options;
  }
  ~dcp_load_options() {
    free(((load_options *)$self)->id);
    free($self);
  }
}
%ignore dcp_load_options_init;
%ignore dcp_load_options::struct_size;
%ignore dcp_load_options::checkpoint_id;
%ignore dcp_save_options_init;
%ignore dcp_save_options::struct_size;
%ignore dcp_save_options::transforms;
%ignore dcp_save_options::transform_count;
%ignore dcp_save_options::checkpoint_id;

/* ---- what hand-written C serves better ---- */

%ignore dcp_error;
%ignore dcp_verify_report;
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_error_";
%rename("$ignore", regextarget=1) "_table$";
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_value_";
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_state_dict_";
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_save_report_";
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_load_report_";
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_verify_report_";
%ignore dcp_tensor_view;
%ignore dcp_tensor_new;
%ignore dcp_tensor_alloc;
%ignore dcp_tensor_from_dlpack;
%ignore dcp_tensor_to_dlpack;
%ignore dcp_tensor_get_view;
%ignore dcp_progress_event;
%ignore dcp_damage;
%ignore dcp_entry_info;
%ignore dcp_chunk_info;
%ignore dcp_string_free;
%ignore dcp_name_sink;
%ignore dcp_byte_sink;
%ignore dcp_buffer;
%ignore dcp_buffers;
%ignore dcp_buffer_sink;
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_buffers_";
%ignore dcp_communicator_local;
%ignore dcp_communicator_new;
%ignore dcp_communicator_from_messages;
%ignore dcp_communicator_from_store;
%ignore dcp_communicator_gather;
%ignore dcp_communicator_scatter;
%ignore dcp_communicator_broadcast;
%ignore dcp_communicator_all_gather;
%ignore dcp_barrier_new;
%ignore dcp_context_register_barrier;
%ignore dcp_commit_hook_new;
%ignore dcp_checkpointer_options::barrier_type;
%ignore dcp_checkpointer_options::barrier_arguments;
%ignore dcp_save_plan;
%ignore dcp_save_plans;
%ignore dcp_load_plan;
%ignore dcp_load_plans;
%ignore dcp_write_item;
%ignore dcp_read_item;
%ignore dcp_metadata;
%ignore dcp_completion;
%ignore dcp_write_request;
%ignore dcp_read_request;
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_(save|load)_plans?_";
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_(metadata|completion)_";
%rename("$ignore", %$isfunction, regextarget=1) "^dcp_(write|read)_request_";
%ignore dcp_save_planner_new;
%ignore dcp_load_planner_new;
%ignore dcp_storage_writer_new;
%ignore dcp_storage_reader_new;
%ignore dcp_context_set_log;
%ignore dcp_context_set_progress;
%ignore dcp_context_set_device;
%ignore dcp_context_add_transform;
%ignore dcp_storage_new;
%ignore dcp_future_on_done;
%ignore dcp_checkpoint_entry;
%ignore dcp_checkpoint_chunk;
%ignore dcp_checkpoint_read;
%ignore dcp_checkpoint_verify;

%include "dcp.h"

/* ---- hand-written C ---- */

%typemap(in) PyObject * { $1 = $input; }
%typemap(out) PyObject * { $result = $1; if ($result == NULL) SWIG_fail; }

%define %by_hand(NAME)
%nothread NAME;
%enddef
%define %makes(NAME)
%nothread NAME;
%newobject NAME;
%exception NAME { $action if (result == NULL) SWIG_fail; }
%enddef

%by_hand(set_transforms)
PyObject *set_transforms(dcp_save_options *options, PyObject *names);
%by_hand(set_load_checkpoint_id)
PyObject *set_load_checkpoint_id(dcp_load_options *options, PyObject *text);
%by_hand(set_checkpoint_id)
PyObject *set_checkpoint_id(dcp_save_options *options, PyObject *text);

%by_hand(pydcp_configure)
PyObject *pydcp_configure(PyObject *hooks);
%by_hand(pydcp_shut)
PyObject *pydcp_shut(double seconds);
%by_hand(pydcp_only_plain_tensors)
PyObject *pydcp_only_plain_tensors(PyObject *mapping, PyObject *types, PyObject *marker);
%makes(pydcp_state_dict)
dcp_state_dict *pydcp_state_dict(PyObject *mapping, int target);
%makes(pydcp_encode)
dcp_value *pydcp_encode(PyObject *object);
%makes(pydcp_encode_state)
dcp_value *pydcp_encode_state(PyObject *object, int target);
%by_hand(pydcp_decode)
PyObject *pydcp_decode(const dcp_value *value);
%makes(pydcp_storage)
dcp_storage *pydcp_storage(PyObject *object, const char *location);
%by_hand(pydcp_add_transform)
PyObject *pydcp_add_transform(dcp_context *context, const char *name, const char *version,
                              PyObject *object);
%makes(pydcp_barrier)
dcp_barrier *pydcp_barrier(PyObject *object);
%makes(pydcp_commit_hook)
dcp_commit_hook *pydcp_commit_hook(PyObject *object);
%makes(pydcp_communicator)
dcp_communicator *pydcp_communicator(PyObject *object, int rank, int world_size);
%makes(pydcp_store_communicator)
dcp_communicator *pydcp_store_communicator(PyObject *object, const char *prefix, int rank,
                                           int world_size);
%by_hand(pydcp_gather)
PyObject *pydcp_gather(dcp_communicator *communicator, PyObject *data, int root,
                       long long timeout_ms);
%by_hand(pydcp_scatter)
PyObject *pydcp_scatter(dcp_communicator *communicator, PyObject *parts, int root,
                        long long timeout_ms);
%by_hand(pydcp_broadcast)
PyObject *pydcp_broadcast(dcp_communicator *communicator, PyObject *data, int root,
                          long long timeout_ms);
%by_hand(pydcp_all_gather)
PyObject *pydcp_all_gather(dcp_communicator *communicator, PyObject *data, long long timeout_ms);
%by_hand(local_communicators)
%{
static PyObject *local_communicators(int world_size) {
  dcp_communicator **made = world_size > 0 ? calloc((size_t)world_size, sizeof *made) : NULL;
  dcp_error *error = NULL;
  dcp_communicator *none = NULL;
  if (world_size > 0 && made == NULL) return PyErr_NoMemory();
  dcp_status status = dcp_communicator_local(world_size, made != NULL ? made : &none, &error);
  PyObject *list = status == DCP_OK ? PyList_New(world_size) : NULL;
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  for (int i = 0; status == DCP_OK && i < world_size; i++) {
    PyObject *proxy = list == NULL ? NULL
                                   : SWIG_NewPointerObj(made[i], SWIGTYPE_p_dcp_communicator,
                                                        SWIG_POINTER_OWN);
    if (proxy == NULL) {
      dcp_communicator_free(made[i]);
      Py_CLEAR(list);
    } else {
      PyList_SET_ITEM(list, i, proxy);
    }
  }
  free(made);
  return list;
}
%}
PyObject *local_communicators(int world_size);
%by_hand(pydcp_set_progress)
PyObject *pydcp_set_progress(dcp_context *context, PyObject *callable);
%by_hand(pydcp_set_log)
PyObject *pydcp_set_log(dcp_context *context, PyObject *callable);
%by_hand(pydcp_on_done)
PyObject *pydcp_on_done(dcp_future *future, PyObject *callable);
%by_hand(pydcp_verify)
PyObject *pydcp_verify(dcp_checkpoint *checkpoint, PyObject *on_damage, dcp_cancel *cancel);
%by_hand(pydcp_save_report)
PyObject *pydcp_save_report(const dcp_save_report *report);
%by_hand(pydcp_load_report)
PyObject *pydcp_load_report(const dcp_load_report *report);
%by_hand(pydcp_names)
PyObject *pydcp_names(const dcp_checkpoint *checkpoint);
%by_hand(pydcp_entry)
PyObject *pydcp_entry(const dcp_checkpoint *checkpoint, size_t index);
%by_hand(pydcp_chunk)
PyObject *pydcp_chunk(const dcp_checkpoint *checkpoint, size_t index, uint64_t chunk);
%by_hand(pydcp_read)
PyObject *pydcp_read(dcp_checkpoint *checkpoint, size_t index, PyObject *offsets, PyObject *steps,
                     PyObject *array, int raw);

/* planners, storage writers and storage readers: plan.c, planner.c, storage_roles.c */
%makes(pydcp_save_planner)
dcp_save_planner *pydcp_save_planner(PyObject *object, PyObject *overridden);
%makes(pydcp_load_planner)
dcp_load_planner *pydcp_load_planner(PyObject *object, PyObject *overridden);
%makes(pydcp_storage_writer)
dcp_storage_writer *pydcp_storage_writer(PyObject *object, const char *location,
                                         PyObject *overridden);
%makes(pydcp_storage_reader)
dcp_storage_reader *pydcp_storage_reader(PyObject *object, const char *location,
                                         PyObject *overridden);
%by_hand(pydcp_plan_new)
PyObject *pydcp_plan_new(void);
%by_hand(pydcp_plan_standard)
PyObject *pydcp_plan_standard(PyObject *lent);
%by_hand(pydcp_plan_count)
PyObject *pydcp_plan_count(PyObject *lent);
%by_hand(pydcp_plan_item)
PyObject *pydcp_plan_item(PyObject *lent, size_t index);
%by_hand(pydcp_plan_add)
PyObject *pydcp_plan_add(PyObject *lent, PyObject *fields);
%by_hand(pydcp_plan_remove)
PyObject *pydcp_plan_remove(PyObject *lent, size_t index);
%by_hand(pydcp_plan_data)
PyObject *pydcp_plan_data(PyObject *lent);
%by_hand(pydcp_plan_set_data)
PyObject *pydcp_plan_set_data(PyObject *lent, PyObject *data);
%by_hand(pydcp_plan_set_path)
PyObject *pydcp_plan_set_path(PyObject *lent, PyObject *name, PyObject *path);
%by_hand(pydcp_plan_found)
PyObject *pydcp_plan_found(PyObject *lent, size_t item);
%by_hand(pydcp_plans_at)
PyObject *pydcp_plans_at(PyObject *lent, size_t rank);
%by_hand(pydcp_plans_dedup)
PyObject *pydcp_plans_dedup(PyObject *lent, int to_lowest_rank);
%by_hand(pydcp_metadata_decode)
PyObject *pydcp_metadata_decode(PyObject *data);
%by_hand(pydcp_metadata_of_plan)
PyObject *pydcp_metadata_of_plan(PyObject *lent);
%by_hand(pydcp_metadata_encode)
PyObject *pydcp_metadata_encode(PyObject *lent, int dialect);
%by_hand(pydcp_metadata_count)
PyObject *pydcp_metadata_count(PyObject *lent);
%by_hand(pydcp_metadata_entry)
PyObject *pydcp_metadata_entry(PyObject *lent, size_t index);
%by_hand(pydcp_metadata_chunk)
PyObject *pydcp_metadata_chunk(PyObject *lent, size_t index, size_t chunk);
%by_hand(pydcp_metadata_place)
PyObject *pydcp_metadata_place(PyObject *lent, int rank, size_t item, const char *file,
                               unsigned long long offset, unsigned long long length);
%by_hand(pydcp_request_plan)
PyObject *pydcp_request_plan(PyObject *lent);
%by_hand(pydcp_request_save_id)
PyObject *pydcp_request_save_id(PyObject *lent);
%by_hand(pydcp_request_value)
PyObject *pydcp_request_value(PyObject *lent, size_t item);
%by_hand(pydcp_request_encode)
PyObject *pydcp_request_encode(PyObject *lent, size_t item, PyObject *write);
%by_hand(pydcp_request_decode)
PyObject *pydcp_request_decode(PyObject *lent, size_t item, PyObject *data);
%by_hand(pydcp_request_tensor)
PyObject *pydcp_request_tensor(PyObject *lent, size_t item);
%by_hand(pydcp_request_commit)
PyObject *pydcp_request_commit(PyObject *lent, size_t item);
%by_hand(pydcp_request_object)
PyObject *pydcp_request_object(PyObject *lent, size_t item, PyObject *object);
%by_hand(pydcp_request_succeed)
PyObject *pydcp_request_succeed(PyObject *lent, PyObject *data);
%by_hand(pydcp_request_fail)
PyObject *pydcp_request_fail(PyObject *lent, PyObject *exception, const char *callback);
%by_hand(pydcp_request_still_here)
PyObject *pydcp_request_still_here(PyObject *lent);

%by_hand(pydcp_array)
%by_hand(pydcp_capsule)
%{
static PyObject *pydcp_array(const dcp_tensor *tensor) { return pydcp_array_of_borrowed(tensor); }

static PyObject *pydcp_capsule(const dcp_tensor *tensor, int versioned) {
  return pydcp_capsule_of_tensor(tensor, versioned);
}
%}
PyObject *pydcp_array(const dcp_tensor *tensor);
PyObject *pydcp_capsule(const dcp_tensor *tensor, int versioned);
