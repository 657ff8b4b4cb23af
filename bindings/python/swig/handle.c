/* What the library lends to a callback, as Python holds it: an object that knows whether the loan
 * goes on. Its pointer is looked at and taken away with the GIL held. */
#include "pydcp.h"

typedef struct handle {
  PyObject_HEAD void* pointer; /* NULL: the loan is over */
  enum pydcp_kind kind;
  int read_only;
  PyObject* parent; /* a handle whose loan this one's ends with, or NULL */
  void* owned;      /* goes with the object; may be NULL */
  void (*free_owned)(void*);
} handle;

static void handle_dealloc(PyObject* self) {
  handle* h = (handle*)self;
  void* owned = h->owned;
  void (*free_owned)(void*) = h->free_owned;
  Py_XDECREF(h->parent);
  Py_TYPE(self)->tp_free(self);
  if (owned != NULL) free_owned(owned);
}

static PyTypeObject handle_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "libdcp._dcp_raw.Lent",
    .tp_basicsize = sizeof(handle),
    .tp_dealloc = handle_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A plan, metadata or a request that libdcp lends to a callback.",
};

static const char* name_of(enum pydcp_kind kind) {
  switch (kind) {
    case PYDCP_SAVE_PLAN:
    case PYDCP_LOAD_PLAN:
      return "plan";
    case PYDCP_SAVE_PLANS:
    case PYDCP_LOAD_PLANS:
      return "list of plans";
    case PYDCP_METADATA:
      return "metadata";
    default:
      return "request";
  }
}

static void refuse(const char* format, enum pydcp_kind kind) {
  char message[192];
  PyOS_snprintf(message, sizeof message, format, name_of(kind));
  pydcp_raise(DCP_INVALID_ARGUMENT, dcp_error_new(DCP_INVALID_ARGUMENT, message), NULL);
}

PyObject* pydcp_lent(enum pydcp_kind kind, const void* pointer, int read_only, PyObject* parent) {
  if (PyType_Ready(&handle_type) != 0) return NULL;
  handle* h = PyObject_New(handle, &handle_type);
  if (h == NULL) return NULL;
  h->pointer = (void*)pointer;
  h->kind = kind;
  h->read_only = read_only;
  h->parent = Py_XNewRef(parent);
  h->owned = NULL;
  h->free_owned = NULL;
  return (PyObject*)h;
}

PyObject* pydcp_lent_with(enum pydcp_kind kind, const void* pointer, void* owned,
                          void (*free_owned)(void*)) {
  PyObject* made = pydcp_lent(kind, pointer, 0, NULL);
  if (made == NULL) {
    free_owned(owned);
    return NULL;
  }
  ((handle*)made)->owned = owned;
  ((handle*)made)->free_owned = free_owned;
  return made;
}

void pydcp_lend_again(PyObject* lent, const void* pointer) {
  if (lent != NULL) ((handle*)lent)->pointer = (void*)pointer;
}

void pydcp_lent_end(PyObject* lent) {
  if (lent == NULL) return;
  ((handle*)lent)->pointer = NULL;
  Py_DECREF(lent);
}

static int is_handle(PyObject* object) {
  if (Py_IS_TYPE(object, &handle_type)) return 1;
  PyErr_Format(PyExc_TypeError, "expected what libdcp lends, not %s", Py_TYPE(object)->tp_name);
  return 0;
}

enum pydcp_kind pydcp_lent_kind(PyObject* lent) {
  return is_handle(lent) ? ((handle*)lent)->kind : PYDCP_NOTHING;
}

void* pydcp_borrow(PyObject* lent, enum pydcp_kind kind) {
  if (!is_handle(lent)) return NULL;
  handle* h = (handle*)lent;
  if (h->kind != kind) {
    PyErr_Format(PyExc_TypeError, "expected a %s of another kind", name_of(kind));
    return NULL;
  }
  if (h->pointer == NULL || (h->parent != NULL && ((handle*)h->parent)->pointer == NULL)) {
    refuse("the %s was lent to a callback that has returned: copy what is to be kept", kind);
    return NULL;
  }
  return h->pointer;
}

void* pydcp_borrow_to_change(PyObject* lent, enum pydcp_kind kind) {
  void* pointer = pydcp_borrow(lent, kind);
  if (pointer == NULL || !((handle*)lent)->read_only) return pointer;
  refuse("this %s is settled, and to be read only", kind);
  return NULL;
}

void* pydcp_take(PyObject* lent, enum pydcp_kind kind) {
  void* pointer = pydcp_borrow(lent, kind);
  if (pointer == NULL) return NULL;
  handle* h = (handle*)lent;
  if (h->owned != pointer) {
    refuse("the %s is on loan, and cannot be given away", kind);
    return NULL;
  }
  h->owned = NULL;
  h->pointer = NULL;
  return pointer;
}

void* pydcp_lent_owned(PyObject* lent) { return ((handle*)lent)->owned; }
