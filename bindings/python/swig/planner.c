/* Planners: tables filled by a Python object (libdcp._planner's adapters), which is called with
 * what the library lends. Members whose methods are not in `overridden` stay NULL. */
#include <stdlib.h>

#include "pydcp.h"

int pydcp_overrides(PyObject* overridden, const char* name) {
  PyObject* text = PyUnicode_FromString(name);
  int found = text != NULL ? PySet_Contains(overridden, text) : -1;
  Py_XDECREF(text);
  return found;
}

/* Calls `name` with `lent`, which is taken, and whose loan ends here. */
dcp_status pydcp_call_lent(PyObject* object, const char* name, PyObject* lent, dcp_error** error) {
  PyObject* result = lent != NULL ? PyObject_CallMethod(object, name, "O", lent) : NULL;
  pydcp_lent_end(lent);
  return pydcp_settle(result, name, 0, error);
}

/* ---- of saves ---- */

static dcp_status save_set_up(void* self, const dcp_value* state, int32_t is_coordinator,
                              dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* tree = pydcp_decode(state);
  PyObject* result =
      tree != NULL ? PyObject_CallMethod(self, "set_up_planner", "Ni", tree, (int)is_coordinator)
                   : NULL;
  dcp_status status = pydcp_settle(result, "set_up_planner", 0, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status save_create_local_plan(void* self, dcp_save_plan* plan, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status =
      pydcp_call_lent(self, "create_local_plan", pydcp_lent(PYDCP_SAVE_PLAN, plan, 0, NULL), error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status save_create_global_plan(void* self, dcp_save_plans* plans, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self, "create_global_plan",
                                      pydcp_lent(PYDCP_SAVE_PLANS, plans, 0, NULL), error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status save_finish_plan(void* self, dcp_save_plan* plan, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  dcp_status status =
      pydcp_call_lent(self, "finish_plan", pydcp_lent(PYDCP_SAVE_PLAN, plan, 0, NULL), error);
  pydcp_leave(&gil);
  return status;
}

/* A method's result as a value. Takes `result`. */
static dcp_status give_value(PyObject* result, const char* name, dcp_value** out,
                             dcp_error** error) {
  *out = result != NULL ? pydcp_encode(result) : NULL;
  Py_XDECREF(result);
  return *out != NULL ? DCP_OK : pydcp_fail(name, 0, error);
}

static dcp_status save_resolve_data(void* self, const dcp_save_plan* plan, size_t item,
                                    dcp_value** out, dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* lent = pydcp_lent(PYDCP_SAVE_PLAN, plan, 1, NULL);
  PyObject* result =
      lent != NULL ? PyObject_CallMethod(self, "resolve_data", "On", lent, (Py_ssize_t)item) : NULL;
  pydcp_lent_end(lent);
  dcp_status status = give_value(result, "resolve_data", out, error);
  pydcp_leave(&gil);
  return status;
}

static dcp_status save_transform_object(void* self, const dcp_write_item* item,
                                        const dcp_value* object, dcp_value** out,
                                        dcp_error** error) {
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  PyObject* fields = pydcp_write_item(item);
  PyObject* found = fields != NULL ? pydcp_decode(object) : NULL;
  PyObject* result =
      found != NULL ? PyObject_CallMethod(self, "transform_object", "OO", fields, found) : NULL;
  Py_XDECREF(fields);
  Py_XDECREF(found);
  dcp_status status = give_value(result, "transform_object", out, error);
  pydcp_leave(&gil);
  return status;
}

dcp_save_planner* pydcp_save_planner(PyObject* object, PyObject* overridden) {
  dcp_save_planner_table table = {0};
  table.struct_size = sizeof table;
  if (pydcp_overrides(overridden, "set_up_planner") > 0) table.set_up = save_set_up;
  if (pydcp_overrides(overridden, "create_local_plan") > 0) {
    table.create_local_plan = save_create_local_plan;
  }
  if (pydcp_overrides(overridden, "create_global_plan") > 0) {
    table.create_global_plan = save_create_global_plan;
  }
  if (pydcp_overrides(overridden, "finish_plan") > 0) table.finish_plan = save_finish_plan;
  if (pydcp_overrides(overridden, "resolve_data") > 0) {
    table.resolve_data = save_resolve_data;
  } else if (pydcp_overrides(overridden, "transform_object") > 0) {
    table.transform_object = save_transform_object;
  }
  table.destroy = pydcp_drop;
  if (PyErr_Occurred()) return NULL;
  dcp_save_planner* planner = NULL;
  dcp_error* error = NULL;
  Py_INCREF(object);
  dcp_status status = dcp_save_planner_new(&table, object, &planner, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return planner;
}

/* ---- of loads ---- */

/* With the metadata that set_up was given, which is lent during the calls that follow. */
typedef struct load_planner {
  PyObject* object;
  PyObject* metadata; /* a handle, or NULL */
  const dcp_metadata* lent;
} load_planner;

static int load_enter(load_planner* self, pydcp_gil* gil) {
  if (!pydcp_enter(gil)) return 0;
  pydcp_lend_again(self->metadata, self->lent);
  return 1;
}

static void load_leave(load_planner* self, pydcp_gil* gil) {
  pydcp_lend_again(self->metadata, NULL);
  pydcp_leave(gil);
}

static void load_destroy(void* user_data) {
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (pydcp_enter(&gil)) {
    Py_XDECREF(self->metadata);
    Py_DECREF(self->object);
    pydcp_leave(&gil);
  }
  free(self);
}

static dcp_status load_set_up(void* user_data, const dcp_value* state, const dcp_metadata* metadata,
                              int32_t is_coordinator, dcp_error** error) {
  (void)state; /* the adapter has the very tree */
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (!pydcp_enter(&gil)) return pydcp_exiting(error);
  pydcp_lent_end(self->metadata);
  self->lent = metadata;
  self->metadata = pydcp_lent(PYDCP_METADATA, metadata, 1, NULL);
  PyObject* result = self->metadata != NULL
                         ? PyObject_CallMethod(self->object, "set_up_planner", "Oi", self->metadata,
                                               (int)is_coordinator)
                         : NULL;
  dcp_status status = pydcp_settle(result, "set_up_planner", 0, error);
  load_leave(self, &gil);
  return status;
}

static dcp_status load_create_local_plan(void* user_data, dcp_load_plan* plan, dcp_error** error) {
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (!load_enter(self, &gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self->object, "create_local_plan",
                                      pydcp_lent(PYDCP_LOAD_PLAN, plan, 0, NULL), error);
  load_leave(self, &gil);
  return status;
}

static dcp_status load_create_global_plan(void* user_data, dcp_load_plans* plans,
                                          dcp_error** error) {
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (!load_enter(self, &gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self->object, "create_global_plan",
                                      pydcp_lent(PYDCP_LOAD_PLANS, plans, 0, NULL), error);
  load_leave(self, &gil);
  return status;
}

static dcp_status load_finish_plan(void* user_data, dcp_load_plan* plan, dcp_error** error) {
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (!load_enter(self, &gil)) return pydcp_exiting(error);
  dcp_status status = pydcp_call_lent(self->object, "finish_plan",
                                      pydcp_lent(PYDCP_LOAD_PLAN, plan, 0, NULL), error);
  load_leave(self, &gil);
  return status;
}

/* Calls `name` with the plan, the item's number and `argument`, which is taken. */
static PyObject* of_item(load_planner* self, const char* name, const dcp_load_plan* plan,
                         size_t item, PyObject* argument) {
  PyObject* lent = argument != NULL ? pydcp_lent(PYDCP_LOAD_PLAN, plan, 1, NULL) : NULL;
  PyObject* result = lent != NULL ? PyObject_CallMethod(self->object, name, "OnO", lent,
                                                        (Py_ssize_t)item, argument)
                                  : NULL;
  pydcp_lent_end(lent);
  Py_XDECREF(argument);
  return result;
}

static dcp_status load_bytes(void* user_data, const dcp_load_plan* plan, size_t item,
                             const dcp_value* value, int32_t* taken, dcp_error** error) {
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (!load_enter(self, &gil)) return pydcp_exiting(error);
  PyObject* result = of_item(self, "load_bytes", plan, item, pydcp_decode(value));
  int truth = result != NULL ? PyObject_IsTrue(result) : -1;
  if (truth < 0) Py_CLEAR(result);
  *taken = truth > 0;
  dcp_status status = pydcp_settle(result, "load_bytes", 0, error);
  load_leave(self, &gil);
  return status;
}

static dcp_status load_resolve_tensor(void* user_data, const dcp_load_plan* plan, size_t item,
                                      const dcp_tensor* found, dcp_tensor** out,
                                      dcp_error** error) {
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (!load_enter(self, &gil)) return pydcp_exiting(error);
  PyObject* place = found != NULL ? pydcp_array_of_borrowed(found) : Py_NewRef(Py_None);
  PyObject* result = of_item(self, "resolve_tensor", plan, item, place);
  *out = result != NULL ? pydcp_tensor_to_fill(result) : NULL;
  if (*out == NULL) Py_CLEAR(result);
  dcp_status status = pydcp_settle(result, "resolve_tensor", 0, error);
  load_leave(self, &gil);
  return status;
}

static dcp_status load_commit_tensor(void* user_data, const dcp_load_plan* plan, size_t item,
                                     const dcp_tensor* tensor, dcp_error** error) {
  load_planner* self = user_data;
  PYDCP_GIL(gil);
  if (!load_enter(self, &gil)) return pydcp_exiting(error);
  PyObject* result = of_item(self, "commit_tensor", plan, item, pydcp_array_of_borrowed(tensor));
  dcp_status status = pydcp_settle(result, "commit_tensor", 0, error);
  load_leave(self, &gil);
  return status;
}

dcp_load_planner* pydcp_load_planner(PyObject* object, PyObject* overridden) {
  dcp_load_planner_table table = {0};
  table.struct_size = sizeof table;
  if (pydcp_overrides(overridden, "set_up_planner") > 0) table.set_up = load_set_up;
  if (pydcp_overrides(overridden, "create_local_plan") > 0) {
    table.create_local_plan = load_create_local_plan;
  }
  if (pydcp_overrides(overridden, "create_global_plan") > 0) {
    table.create_global_plan = load_create_global_plan;
  }
  if (pydcp_overrides(overridden, "finish_plan") > 0) table.finish_plan = load_finish_plan;
  if (pydcp_overrides(overridden, "load_bytes") > 0) table.load_bytes = load_bytes;
  if (pydcp_overrides(overridden, "resolve_tensor") > 0) table.resolve_tensor = load_resolve_tensor;
  if (pydcp_overrides(overridden, "commit_tensor") > 0) table.commit_tensor = load_commit_tensor;
  table.destroy = load_destroy;
  if (PyErr_Occurred()) return NULL;
  load_planner* self = calloc(1, sizeof *self);
  if (self == NULL) {
    PyErr_NoMemory();
    return NULL;
  }
  self->object = Py_NewRef(object);
  dcp_load_planner* planner = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_load_planner_new(&table, self, &planner, &error);
  if (status != DCP_OK) pydcp_raise(status, error, NULL);
  return planner;
}
