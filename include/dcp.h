/* dcp.h - the whole public surface of libdcp, the checkpoint engine that reads and writes the
 * format of PyTorch's torch.distributed.checkpoint ("DCP"). Everything else is built on this.
 *
 * status     Fallible calls return dcp_status. Detail goes to *error when the caller passes a
 *            non-NULL dcp_error **; it is then always set, to NULL on success. Free it with
 *            dcp_error_free(). A status that a binding does not know is to be treated as
 *            DCP_INTERNAL.
 * ownership  [owned] the caller frees it with the matching _free(). [borrowed] lives as long as the
 *            object it came from. [taken] passes to libdcp at call entry, whether the call succeeds
 *            or fails. Handles are counted inside: freeing one early is safe while work that needs
 *            it goes on. Every _free() allows NULL, never blocks and may be called on any thread.
 * threads    [any] callable concurrently on one handle. [serial] one call at a time per handle, on
 *            any thread. Handles are [any] unless their type says otherwise.
 * names      Names of tensors and objects are pointer + length: they may hold any bytes, as stock
 *            allows (NUL, lone surrogates as three bytes, the empty name). Paths and messages are
 *            NUL-terminated UTF-8.
 * options    Structs that start with struct_size are filled by their _init function and then
 *            changed; NULL means the defaults. A larger struct from a newer caller is accepted only
 *            when the part the library does not know is zero (DCP_INVALID_ARGUMENT else).
 * tables     Callback tables: struct_size, then members marked *must* or *may* (NULL allowed, with
 *            the effect told). The table is copied. user_data is the first argument of each member,
 *            is [taken], and is given to destroy() exactly once, after the last other call has
 *            returned, on any thread. Members run on libdcp's threads, [any] unless said, and must
 *            return: no C++ exception, Rust panic, Go panic or longjmp may cross this header. A
 *            member that fails returns a status other than DCP_OK and may set *error to a new error
 *            ([taken]), with the host language's exception attached (dcp_error_set_foreign); else
 *            the library writes "callback <name> failed". A callback may call any [any] function.
 * fork       In a forked child every handle of the parent is dead: _free() does nothing and other
 *            calls return DCP_FORKED.
 *
 * There is no global and no thread-local state.
 */
#ifndef DCP_H
#define DCP_H

#include <stddef.h>
#include <stdint.h>

#define DCP_ABI_VERSION 1 /* bumped only when an existing symbol or field changes */
#define DCP_VERSION_MAJOR 0
#define DCP_VERSION_MINOR 1
#define DCP_VERSION_PATCH 0

#if defined(DCP_STATIC)
#define DCP_API
#else
#define DCP_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version ----------------------------------------------------------------------------------
 */

DCP_API uint32_t dcp_abi_version(void);       /* of the library actually loaded */
DCP_API const char *dcp_version_string(void); /* "0.1.0" */
/** One line a part, "name: state", newline separated: crc32, io_uring, zstd, compiler, ... */
DCP_API const char *dcp_build_info(void);

/* ---- status and errors ------------------------------------------------------------------------
 */

/** Statuses travel as int32_t; the enum only names them. A value is never reused. */
typedef int32_t dcp_status;
enum dcp_status_code {
  DCP_OK = 0,
  DCP_INVALID_ARGUMENT = 1, /**< the call itself is wrong */
  DCP_NOT_FOUND = 2,        /**< no such file, checkpoint, entry */
  DCP_ALREADY_EXISTS = 3,   /**< "Checkpoint already exists", and overwrite is off */
  DCP_IO = 4,               /**< the system said no: detail "errno" */
  DCP_CORRUPT = 5, /**< stored bytes do not parse, fail a checksum, or contradict each other */
  DCP_TIMEOUT = 6, /**< a deadline passed */
  DCP_CANCELLED = 7,
  DCP_CALLBACK = 8,     /**< user code failed: see dcp_error_foreign() */
  DCP_RANK_FAILED = 9,  /**< one or more ranks failed: see dcp_error_rank_failure() */
  DCP_INTERNAL = 10,    /**< a defect of libdcp: please report it */
  DCP_UNSUPPORTED = 11, /**< well-formed, but not something this build or version handles */
  DCP_OUT_OF_MEMORY = 12,
  DCP_FORKED = 13,          /**< the handle belongs to the parent process */
  DCP_REPLACED = 14,        /**< the open checkpoint was saved over: open it again */
  DCP_OUTCOME_UNKNOWN = 15, /**< the commit may or may not have happened: read the checkpoint */
  DCP_MISMATCH = 16,        /**< shape, dtype or kind differs from what the checkpoint holds */
  DCP_LIMIT = 17            /**< a cap against hostile or absurd input */
};
/** "CORRUPT" and so on; "UNKNOWN" for values of newer libraries. Static. */
DCP_API const char *dcp_status_name(dcp_status status);

typedef struct dcp_error dcp_error; /* immutable once returned, counted */

/** For callbacks: makes an error to hand back. `message` is copied. Result is [owned]; NULL when
 *  out of memory. */
DCP_API dcp_error *dcp_error_new(dcp_status status, const char *message);
/** Adds a key and a value, both copied. Only before the error is handed over. [serial] */
DCP_API void dcp_error_add_detail(dcp_error *error, const char *key, const char *value);
/** Attaches the host language's own exception. The library calls retain once now (NULL: the
 *  reference is [taken] as it is) and release when the last holder of the error is gone, on any
 *  thread; every waiter sees the same payload. Only before the error is handed over. [serial] */
DCP_API void dcp_error_set_foreign(dcp_error *error, void *payload, void (*retain)(void *payload),
                                   void (*release)(void *payload));
/** [borrowed], or NULL. Retain it by the host's own means to keep it. */
DCP_API void *dcp_error_foreign(const dcp_error *error);
/** Names a rank that failed, and with what: `failure` is [taken]; NULL makes it a rank of which
 *  nothing was heard in time. For callbacks of communicators. Only before the error is handed over.
 *  [serial] */
DCP_API void dcp_error_add_rank_failure(dcp_error *error, int32_t rank, const char *step,
                                        dcp_error *failure);
DCP_API dcp_status dcp_error_status(const dcp_error *error);
DCP_API const char *dcp_error_message(const dcp_error *error); /* [borrowed] UTF-8, never NULL */
/** Details by key: "file", "tensor", "offset", "errno", "global", ... [borrowed]; NULL when absent.
 */
DCP_API const char *dcp_error_detail(const dcp_error *error, const char *key);
DCP_API size_t dcp_error_detail_count(const dcp_error *error);
DCP_API const char *dcp_error_detail_key(const dcp_error *error, size_t index);
DCP_API const char *dcp_error_detail_value(const dcp_error *error, size_t index);
DCP_API size_t dcp_error_rank_failure_count(const dcp_error *error);
/** Failure `index`: its error is [borrowed], `rank` and `step` ("plan", "write", "read",
 * [borrowed]) may be NULL. NULL when out of range. */
DCP_API const dcp_error *dcp_error_rank_failure(const dcp_error *error, size_t index, int32_t *rank,
                                                const char **step);
/** The same error once more, [owned]. */
DCP_API dcp_error *dcp_error_copy(const dcp_error *error);
DCP_API void dcp_error_free(dcp_error *error);

/* ---- cancelling -------------------------------------------------------------------------------
 */

typedef struct dcp_cancel dcp_cancel;

/** A request to stop that can be handed to calls (in their options) and made from another thread.
 *  [owned]; NULL when out of memory. */
DCP_API dcp_cancel *dcp_cancel_new(void);
/** Calls holding it return DCP_CANCELLED within about a second. Safe in a signal handler. */
DCP_API void dcp_cancel_request(dcp_cancel *cancel);
DCP_API int32_t dcp_cancel_requested(const dcp_cancel *cancel);
DCP_API void dcp_cancel_free(dcp_cancel *cancel);

/* ---- context ----------------------------------------------------------------------------------
 */

/** Threads, memory, observers and transforms that calls share. Where a call takes a context, NULL
 *  means a fresh one with the defaults. */
typedef struct dcp_context dcp_context;

typedef struct dcp_context_options {
  uint32_t struct_size;
  int32_t threads;        /**< 0: as many as serve */
  uint64_t memory_budget; /**< bytes of I/O buffers, all calls together; 67108864 */
} dcp_context_options;
DCP_API void dcp_context_options_init(dcp_context_options *options, size_t struct_size);

DCP_API dcp_status dcp_context_new(const dcp_context_options *options, dcp_context **out,
                                   dcp_error **error);
DCP_API void dcp_context_free(dcp_context *context);

enum dcp_log_level {
  DCP_LOG_DEBUG = 10,
  DCP_LOG_INFO = 20,
  DCP_LOG_WARNING = 30,
  DCP_LOG_ERROR = 40
};

typedef struct dcp_log_table {
  uint64_t struct_size;
  /** must. `message` is valid during the call only. */
  void (*log)(void *user_data, int32_t level, const char *message);
  void (*destroy)(void *user_data); /**< may */
} dcp_log_table;
/** Replaces the sink; NULL table: none. Not while calls run on the context. [serial] */
DCP_API dcp_status dcp_context_set_log(dcp_context *context, const dcp_log_table *table,
                                       void *user_data, dcp_error **error);

enum dcp_phase {
  DCP_PHASE_PLAN = 1,
  DCP_PHASE_STAGE = 2,
  DCP_PHASE_WRITE = 3,
  DCP_PHASE_COMMIT = 4,
  DCP_PHASE_READ = 5,
  DCP_PHASE_VERIFY = 6
};

typedef struct dcp_progress_event {
  uint32_t struct_size;
  int32_t phase;
  uint64_t bytes_done;
  uint64_t bytes_total;
  uint64_t items_done;
  uint64_t items_total;
} dcp_progress_event;

typedef struct dcp_progress_table {
  uint64_t struct_size;
  /** must. About ten times a second and at the ends of phases, one call at a time. A status other
   *  than DCP_OK stops the work with that error. */
  dcp_status (*update)(void *user_data, const dcp_progress_event *event, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_progress_table;
/** Replaces the sink; NULL table: none. Not while calls run on the context. [serial] */
DCP_API dcp_status dcp_context_set_progress(dcp_context *context, const dcp_progress_table *table,
                                            void *user_data, dcp_error **error);

/** Copies between the host and devices, for tensors that are not on the CPU. */
typedef struct dcp_device_table {
  uint64_t struct_size;
  /** must. 1 when the table serves this device (DLPack's device type and index). */
  int32_t (*handles)(void *user_data, int32_t device_type, int32_t device_index);
  /** must. Both return when the bytes are there. */
  dcp_status (*to_host)(void *user_data, int32_t device_type, int32_t device_index,
                        const void *from, void *to, size_t size, dcp_error **error);
  dcp_status (*to_device)(void *user_data, int32_t device_type, int32_t device_index,
                          const void *from, void *to, size_t size, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_device_table;
/** Not while calls run on the context. [serial] */
DCP_API dcp_status dcp_context_set_device(dcp_context *context, const dcp_device_table *table,
                                          void *user_data, dcp_error **error);

/** Waits until the background saves started on this context have ended. DCP_TIMEOUT when some go
 *  on after `timeout_ms` (negative: no deadline); they are not cancelled. */
DCP_API dcp_status dcp_context_drain(dcp_context *context, int64_t timeout_ms, dcp_error **error);

/* ---- dtypes -----------------------------------------------------------------------------------
 */

/** torch's element types. Appended to, never renumbered. */
enum dcp_dtype {
  DCP_FLOAT32 = 1,
  DCP_FLOAT64 = 2,
  DCP_FLOAT16 = 3,
  DCP_BFLOAT16 = 4,
  DCP_INT8 = 5,
  DCP_INT16 = 6,
  DCP_INT32 = 7,
  DCP_INT64 = 8,
  DCP_UINT8 = 9,
  DCP_BOOL = 10,
  DCP_COMPLEX64 = 11,
  DCP_COMPLEX128 = 12,
  DCP_COMPLEX32 = 13,
  DCP_UINT16 = 14,
  DCP_UINT32 = 15,
  DCP_UINT64 = 16,
  DCP_FLOAT8_E4M3FN = 17,
  DCP_FLOAT8_E4M3FNUZ = 18,
  DCP_FLOAT8_E5M2 = 19,
  DCP_FLOAT8_E5M2FNUZ = 20,
  DCP_FLOAT8_E8M0FNU = 21,
  DCP_FLOAT4_E2M1FN_X2 = 22, /**< one byte holds two values */
  DCP_BITS8 = 23,
  DCP_BITS16 = 24,
  DCP_BITS1X8 = 25,
  DCP_BITS2X4 = 26,
  DCP_BITS4X2 = 27,
  DCP_QINT8 = 28,
  DCP_QUINT8 = 29,
  DCP_QINT32 = 30,
  DCP_QUINT4X2 = 31,
  DCP_QUINT2X4 = 32
};
/** "float32", or NULL for a number that is no dtype. Static. */
DCP_API const char *dcp_dtype_name(int32_t dtype);
/** From "float32" or "torch.float32"; 0 when unknown. */
DCP_API int32_t dcp_dtype_from_name(const char *name);
/** Bytes an element; 0 for a number that is no dtype. */
DCP_API int32_t dcp_dtype_size(int32_t dtype);

/* ---- tensors ----------------------------------------------------------------------------------
 */

/** Someone's memory, described. Borrowed for as long as the call that takes it says. */
typedef struct dcp_tensor_view {
  uint32_t struct_size; /**< sizeof(dcp_tensor_view) */
  int32_t dtype;
  int32_t ndim;        /**< 0 to 64 */
  int32_t device_type; /**< DLPack's numbers; 1 is the CPU, and so is 0 */
  int32_t device_index;
  int32_t flags;          /**< DCP_TENSOR_* */
  void *data;             /**< element [0, 0, ...]; may be NULL when there are no elements */
  const int64_t *shape;   /**< ndim sizes */
  const int64_t *strides; /**< ndim strides in elements, >= 0; NULL: row-major */
} dcp_tensor_view;
enum dcp_tensor_flags {
  DCP_TENSOR_REQUIRES_GRAD = 1, /**< recorded in the metadata, as stock does */
  DCP_TENSOR_READ_ONLY = 2      /**< set on views of mapped files */
};

typedef struct dcp_tensor dcp_tensor; /* memory with a counted owner */

/** Wraps memory. `owner` is [taken]; release(owner) runs when the last user is gone (both may be
 *  NULL: then the memory must outlive every use). */
DCP_API dcp_status dcp_tensor_new(const dcp_tensor_view *view, void *owner,
                                  void (*release)(void *owner), dcp_tensor **out,
                                  dcp_error **error);
/** Fresh row-major host memory, 64-byte aligned, not initialised. */
DCP_API dcp_status dcp_tensor_alloc(int32_t dtype, int32_t ndim, const int64_t *shape,
                                    dcp_tensor **out, dcp_error **error);
/** From DLPack: `managed` is a DLManagedTensorVersioned * (versioned != 0) or a DLManagedTensor *,
 *  [taken]; its deleter runs when the last user is gone. */
DCP_API dcp_status dcp_tensor_from_dlpack(void *managed, int32_t versioned, dcp_tensor **out,
                                          dcp_error **error);
/** To DLPack: *managed is [owned], freed by its own deleter, and shares the memory.
 *  DCP_UNSUPPORTED for dtypes DLPack has no code for. */
DCP_API dcp_status dcp_tensor_to_dlpack(const dcp_tensor *tensor, int32_t versioned, void **managed,
                                        dcp_error **error);
/** Fills *view (struct_size set by the caller); its pointers are [borrowed] from the tensor. */
DCP_API dcp_status dcp_tensor_get_view(const dcp_tensor *tensor, dcp_tensor_view *view,
                                       dcp_error **error);
DCP_API void dcp_tensor_free(dcp_tensor *tensor);

/* ---- values -----------------------------------------------------------------------------------
 */

/** A Python object as plain data. Immutable, counted; parts may be shared, never cyclic. */
typedef struct dcp_value dcp_value;

enum dcp_value_kind {
  DCP_VALUE_NONE = 1,
  DCP_VALUE_BOOL = 2,
  DCP_VALUE_INT = 3, /**< of any size */
  DCP_VALUE_FLOAT = 4,
  DCP_VALUE_COMPLEX = 5,
  DCP_VALUE_STRING = 6, /**< UTF-8; lone surrogates as three bytes */
  DCP_VALUE_BYTES = 7,
  DCP_VALUE_BYTEARRAY = 8,
  DCP_VALUE_LIST = 9,
  DCP_VALUE_TUPLE = 10,
  DCP_VALUE_DICT = 11,
  DCP_VALUE_ORDERED_DICT = 12,
  DCP_VALUE_SET = 13,
  DCP_VALUE_FROZENSET = 14,
  DCP_VALUE_SIZE = 15,          /**< torch.Size */
  DCP_VALUE_DTYPE = 16,         /**< text is "float32" */
  DCP_VALUE_DEVICE = 17,        /**< text is "cpu", "cuda:0" */
  DCP_VALUE_LAYOUT = 18,        /**< text is "torch.strided" */
  DCP_VALUE_MEMORY_FORMAT = 19, /**< text is "torch.contiguous_format" */
  DCP_VALUE_TENSOR = 20,
  DCP_VALUE_SHARDED_TENSOR = 21, /**< this rank's chunks of a tensor; only in state dicts */
  DCP_VALUE_OPAQUE = 22,         /**< an object kept byte for byte, not understood */
  DCP_VALUE_PATH = 23,           /**< a pathlib path: text is the path, global the class */
  DCP_VALUE_NUMPY_ARRAY = 24,
  DCP_VALUE_NUMPY_SCALAR = 25,
  DCP_VALUE_CONSTRUCTED = 26 /**< a call of a known plain constructor: global, arguments, state */
};

DCP_API int32_t dcp_value_kind_of(const dcp_value *value); /* 0 for NULL */

/* Makers. *out is [owned]; parts given are counted, the caller keeps its own handles. */
DCP_API dcp_status dcp_value_none(dcp_value **out, dcp_error **error);
DCP_API dcp_status dcp_value_bool(int32_t boolean, dcp_value **out, dcp_error **error);
DCP_API dcp_status dcp_value_int(int64_t integer, dcp_value **out, dcp_error **error);
/** Two's complement, little-endian, any length; no bytes is 0. */
DCP_API dcp_status dcp_value_big_int(const void *bytes, size_t size, dcp_value **out,
                                     dcp_error **error);
DCP_API dcp_status dcp_value_float(double real, dcp_value **out, dcp_error **error);
DCP_API dcp_status dcp_value_complex(double real, double imaginary, dcp_value **out,
                                     dcp_error **error);
/** STRING, BYTES, BYTEARRAY, DTYPE, DEVICE, LAYOUT or MEMORY_FORMAT of these bytes, copied. */
DCP_API dcp_status dcp_value_text(int32_t kind, const void *bytes, size_t size, dcp_value **out,
                                  dcp_error **error);
/** A pathlib path; `global_name` is for example "pathlib.PosixPath". */
DCP_API dcp_status dcp_value_path(const char *global_name, const char *path, size_t size,
                                  dcp_value **out, dcp_error **error);
/** LIST, TUPLE, SET or FROZENSET of `count` values. */
DCP_API dcp_status dcp_value_sequence(int32_t kind, const dcp_value *const *items, size_t count,
                                      dcp_value **out, dcp_error **error);
/** DICT or ORDERED_DICT; keys[i] maps to values[i]. */
DCP_API dcp_status dcp_value_dict(int32_t kind, const dcp_value *const *keys,
                                  const dcp_value *const *values, size_t count, dcp_value **out,
                                  dcp_error **error);
DCP_API dcp_status dcp_value_size(const int64_t *sizes, size_t count, dcp_value **out,
                                  dcp_error **error);
/** TENSOR, NUMPY_ARRAY or NUMPY_SCALAR (0-d). The tensor's memory is shared. */
DCP_API dcp_status dcp_value_tensor(int32_t kind, const dcp_tensor *tensor, dcp_value **out,
                                    dcp_error **error);
/** This rank's `count` chunks of a tensor of `ndim` global sizes: chunk i is shards[i], placed at
 *  offsets[i * ndim .. + ndim). With no chunks `dtype` says the element type. */
DCP_API dcp_status dcp_value_sharded_tensor(int32_t dtype, int32_t ndim,
                                            const int64_t *global_shape,
                                            const dcp_tensor *const *shards, const int64_t *offsets,
                                            size_t count, dcp_value **out, dcp_error **error);
/** An object pickled elsewhere: `pickled` is a whole torch.save blob, copied. `global_name` is for
 *  messages ("module.Class"). */
DCP_API dcp_status dcp_value_opaque(const char *global_name, const void *pickled, size_t size,
                                    dcp_value **out, dcp_error **error);
/** `arguments` is a tuple, or NULL for the global by itself; `state` may be NULL. DCP_UNSUPPORTED
 *  unless the global is on the list in docs/format.md: plain constructors, and numpy's
 *  _reconstruct and scalar, for arrays of types that torch lacks. */
DCP_API dcp_status dcp_value_constructed(const char *global_name, const dcp_value *arguments,
                                         const dcp_value *state, dcp_value **out,
                                         dcp_error **error);

/* Readers. The wrong kind is DCP_INVALID_ARGUMENT. */
DCP_API dcp_status dcp_value_get_bool(const dcp_value *value, int32_t *out, dcp_error **error);
/** DCP_LIMIT when it does not fit: then dcp_value_get_text gives the bytes. */
DCP_API dcp_status dcp_value_get_int(const dcp_value *value, int64_t *out, dcp_error **error);
DCP_API dcp_status dcp_value_get_float(const dcp_value *value, double *out, dcp_error **error);
DCP_API dcp_status dcp_value_get_complex(const dcp_value *value, double *real, double *imaginary,
                                         dcp_error **error);
/** STRING, BYTES, BYTEARRAY, INT (two's complement), DTYPE, DEVICE, LAYOUT, MEMORY_FORMAT, PATH;
 *  OPAQUE: its pickled bytes. [borrowed], not NUL-terminated. */
DCP_API dcp_status dcp_value_get_text(const dcp_value *value, const char **bytes, size_t *size,
                                      dcp_error **error);
/** OPAQUE, PATH, CONSTRUCTED: "module.name". [borrowed] */
DCP_API dcp_status dcp_value_get_global(const dcp_value *value, const char **out,
                                        dcp_error **error);
/** Items of sequences and sets, entries of dicts, dimensions of sizes, chunks of sharded tensors,
 *  what was added to CONSTRUCTED values; 0 for other kinds. */
DCP_API size_t dcp_value_count(const dcp_value *value);
/** Item of a sequence or set, value of a dict's entry. *out is [owned]. */
DCP_API dcp_status dcp_value_at(const dcp_value *value, size_t index, dcp_value **out,
                                dcp_error **error);
DCP_API dcp_status dcp_value_key_at(const dcp_value *value, size_t index, dcp_value **out,
                                    dcp_error **error);
/** A dict's value under a string key; DCP_NOT_FOUND. *out is [owned]. */
DCP_API dcp_status dcp_value_find(const dcp_value *value, const char *key, size_t key_size,
                                  dcp_value **out, dcp_error **error);
/** SIZE and SHARDED_TENSOR (its global shape): `*sizes` [borrowed], `*count` of them. */
DCP_API dcp_status dcp_value_get_sizes(const dcp_value *value, const int64_t **sizes, size_t *count,
                                       dcp_error **error);
/** TENSOR, NUMPY_ARRAY, NUMPY_SCALAR; chunk `index` of a SHARDED_TENSOR. *out is [owned]. */
DCP_API dcp_status dcp_value_get_tensor(const dcp_value *value, size_t index, dcp_tensor **out,
                                        dcp_error **error);
/** SHARDED_TENSOR: its element type, which it has without chunks too. */
DCP_API dcp_status dcp_value_get_dtype(const dcp_value *value, int32_t *out, dcp_error **error);
/** SHARDED_TENSOR: where chunk `index` lies in it; `*offsets` [borrowed], `*count` of them. */
DCP_API dcp_status dcp_value_get_offsets(const dcp_value *value, size_t index,
                                         const int64_t **offsets, size_t *count, dcp_error **error);
/** CONSTRUCTED: [owned]; *arguments is NULL for a global by itself, *state when there is none. What
 *  was added after the call are the value's items, or entries with keys. */
DCP_API dcp_status dcp_value_get_constructed(const dcp_value *value, dcp_value **arguments,
                                             dcp_value **state, dcp_error **error);
/** 1 when kind, shape and content are equal; tensors bit for bit, NaN equal to itself. */
DCP_API int32_t dcp_value_equal(const dcp_value *a, const dcp_value *b);
/** Python-like text for people, at most a few KiB. *out is [owned] by dcp_string_free. */
DCP_API dcp_status dcp_value_to_string(const dcp_value *value, char **out, dcp_error **error);
DCP_API void dcp_value_free(dcp_value *value);
DCP_API void dcp_string_free(char *string);

/* ---- state dict -------------------------------------------------------------------------------
 */

/** What is saved, or loaded into: names and values, in insertion order. [serial] */
typedef struct dcp_state_dict dcp_state_dict;

DCP_API dcp_status dcp_state_dict_new(dcp_state_dict **out, dcp_error **error);
/** Sets or replaces. Values that are dicts, and lists that hold tensors, are flattened by
 * upstream's rules when saved: "model" -> {"weight": t} becomes "model.weight". The value is
 * counted. */
DCP_API dcp_status dcp_state_dict_set(dcp_state_dict *state, const char *name, size_t name_size,
                                      const dcp_value *value, dcp_error **error);
/** Same for a tensor in the caller's memory, which must stay valid and unchanged while the state
 *  dict is in use by a call (dcp_save_async copies it before it returns). */
DCP_API dcp_status dcp_state_dict_set_tensor(dcp_state_dict *state, const char *name,
                                             size_t name_size, const dcp_tensor_view *view,
                                             dcp_error **error);
DCP_API size_t dcp_state_dict_count(const dcp_state_dict *state);
/** `*name` is [borrowed] until the state dict changes, `*value` [owned]; each may be NULL. */
DCP_API dcp_status dcp_state_dict_at(const dcp_state_dict *state, size_t index, const char **name,
                                     size_t *name_size, dcp_value **value, dcp_error **error);
DCP_API void dcp_state_dict_free(dcp_state_dict *state);

/* ---- storage ----------------------------------------------------------------------------------
 */

/** One checkpoint's folder, wherever it lives. */
typedef struct dcp_storage dcp_storage;

typedef struct dcp_storage_options {
  uint32_t struct_size;
  int32_t allow_symlinks; /**< 0; 1 follows links inside the folder, to regular files only */
  int32_t io_uring;       /**< 1; 0 never uses it */
  int32_t direct;         /**< 1; 0 never uses O_DIRECT */
} dcp_storage_options;
DCP_API void dcp_storage_options_init(dcp_storage_options *options, size_t struct_size);

/** By path ("ckpt/step_100") or URL ("file:///ckpt/step_100"). The folder need not exist yet.
 *  DCP_UNSUPPORTED names an unknown scheme. */
DCP_API dcp_status dcp_storage_open(const char *where, const dcp_storage_options *options,
                                    dcp_storage **out, dcp_error **error);
/** Files in memory, gone with the last user. */
DCP_API dcp_status dcp_storage_memory(dcp_storage **out, dcp_error **error);
DCP_API void dcp_storage_free(dcp_storage *storage);
/** For messages: the folder's path or URL. [borrowed] */
DCP_API const char *dcp_storage_location(const dcp_storage *storage);

/** Receives names from dcp_storage_table.list; `name` is copied. */
typedef void (*dcp_name_sink)(void *sink, const char *name);

/** A store of the caller's own. Paths are relative to the checkpoint's folder, checked before they
 *  get here: no "..", not absolute, not empty. Members are [any]; one `file` is used by one thread
 *  at a time when writing, by any when reading. */
typedef struct dcp_storage_table {
  uint64_t struct_size;
  /** must. Makes the folder and its parents if missing. */
  dcp_status (*make_root)(void *user_data, dcp_error **error);
  /** must. Creates or truncates; *file is passed to the members below. `expected_size` is a hint,
   *  0 unknown. */
  dcp_status (*create)(void *user_data, const char *path, uint64_t expected_size, void **file,
                       dcp_error **error);
  /** must. Stores data at offset; ranges never overlap, and come in ascending order. */
  dcp_status (*write)(void *user_data, void *file, uint64_t offset, const void *data, size_t size,
                      dcp_error **error);
  /** must. Sets the size, makes the data durable when asked, closes: `file` is gone, also on
   *  failure. */
  dcp_status (*finish)(void *user_data, void *file, uint64_t size, int32_t durable,
                       dcp_error **error);
  /** must. Closes an unfinished file, on failure of the save; the library then calls remove. */
  void (*abort)(void *user_data, void *file);
  /** must. DCP_NOT_FOUND when missing. What it shows may not change when the name is renamed over.
   */
  dcp_status (*open)(void *user_data, const char *path, void **file, uint64_t *size,
                     dcp_error **error);
  /** must. Fills `data` wholly; too few bytes is DCP_CORRUPT. */
  dcp_status (*read)(void *user_data, void *file, uint64_t offset, void *data, size_t size,
                     dcp_error **error);
  /** must. Ends reading. */
  void (*close)(void *user_data, void *file);
  /** must. Atomic: readers see the old file or the new one. */
  dcp_status (*rename)(void *user_data, const char *from, const char *to, dcp_error **error);
  /** must. DCP_NOT_FOUND when missing. */
  dcp_status (*remove)(void *user_data, const char *path, dcp_error **error);
  /** must. Calls add(sink, name) for each file in the folder. A missing folder is DCP_NOT_FOUND. */
  dcp_status (*list)(void *user_data, dcp_name_sink add, void *sink, dcp_error **error);
  /** may. Makes creations, renames and removals durable; NULL: they are at once. */
  dcp_status (*sync_folder)(void *user_data, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_storage_table;
/** `location` is for messages and the default checkpoint id, copied. */
DCP_API dcp_status dcp_storage_new(const dcp_storage_table *table, void *user_data,
                                   const char *location, dcp_storage **out, dcp_error **error);

/* ---- transforms -------------------------------------------------------------------------------
 */

/** Receives transformed bytes. Returns DCP_OK or a status to be handed on. */
typedef dcp_status (*dcp_byte_sink)(void *sink, const void *data, size_t size);

enum dcp_transform_direction { DCP_ENCODE = 1, DCP_DECODE = 2 };

/** A stream transform: upstream's stream extensions. Items carry its "<name>/<version>". */
typedef struct dcp_transform_table {
  uint64_t struct_size;
  /** must. Begins one item. `version` is what the file says (decoding) or the registered one. */
  dcp_status (*start)(void *user_data, int32_t direction, const char *version, void **stream,
                      dcp_error **error);
  /** must. Takes input in any split, gives output through write(sink, ...), now or later. */
  dcp_status (*push)(void *user_data, void *stream, const void *data, size_t size,
                     dcp_byte_sink write, void *sink, dcp_error **error);
  /** must. Gives what is left. DCP_CORRUPT when decoding an incomplete stream. */
  dcp_status (*finish)(void *user_data, void *stream, dcp_byte_sink write, void *sink,
                       dcp_error **error);
  /** must. Ends the stream, finished or not. */
  void (*end)(void *user_data, void *stream);
  void (*destroy)(void *user_data); /**< may */
} dcp_transform_table;
/** Registers "name" ("stream.rot13") at "version" ("1"). DCP_ALREADY_EXISTS for a taken name. Not
 *  while calls run on the context. [serial] */
DCP_API dcp_status dcp_context_add_transform(dcp_context *context, const char *name,
                                             const char *version, const dcp_transform_table *table,
                                             void *user_data, dcp_error **error);

/* ---- communicators ----------------------------------------------------------------------------
 */

/** How the ranks of one group talk; those of a save or load. Collective: every rank makes the same
 *  calls in the same order, one at a time. Handles are [serial].
 *
 *  Each call has a timeout in milliseconds: how long a rank may say nothing before it counts as
 *  missing; negative waits for ever. A rank that is missing or cannot be heard is named:
 * DCP_TIMEOUT (or DCP_RANK_FAILED) with a failure for each, see dcp_error_rank_failure(). Where the
 * ranks talk by messages or through a key-value store, a rank that still writes says so and is
 * waited for, and one that was late hears what the others did without it. */
typedef struct dcp_communicator dcp_communicator;

/** Rank 0 of 1. */
DCP_API dcp_status dcp_communicator_single(dcp_communicator **out, dcp_error **error);
/** The ranks of one process, each used by a thread of its own: fills out[0] to out[world_size - 1],
 *  each [owned]. At most 4096. A rank whose handle was freed is missing at once. */
DCP_API dcp_status dcp_communicator_local(int32_t world_size, dcp_communicator **out,
                                          dcp_error **error);

/** Receives a buffer, copied: `rank`'s where there are several. */
typedef void (*dcp_buffer_sink)(void *sink, int32_t rank, const void *data, size_t size);

typedef struct dcp_buffer {
  const void *data;
  size_t size;
} dcp_buffer;

/** Collective calls of the caller's own. Members are called one at a time, but for still_here. A
 *  rank that does not come within `timeout_ms` is DCP_TIMEOUT, and is named by
 *  dcp_error_add_rank_failure where it is known. */
typedef struct dcp_communicator_table {
  uint64_t struct_size;
  /** must. On `root`: give(sink, rank, ...) for every rank that came, also when others did not. */
  dcp_status (*gather)(void *user_data, const void *data, size_t size, int32_t root,
                       int64_t timeout_ms, dcp_buffer_sink give, void *sink, dcp_error **error);
  /** must. `parts`: on `root` one a rank, elsewhere NULL. give() this rank's. */
  dcp_status (*scatter)(void *user_data, const dcp_buffer *parts, int32_t root, int64_t timeout_ms,
                        dcp_buffer_sink give, void *sink, dcp_error **error);
  /** must. `data` is read on `root` only. give() it on every other rank. */
  dcp_status (*broadcast)(void *user_data, const void *data, size_t size, int32_t root,
                          int64_t timeout_ms, dcp_buffer_sink give, void *sink, dcp_error **error);
  /** may. give() every rank's on every rank. NULL: a gather and a broadcast. */
  dcp_status (*all_gather)(void *user_data, const void *data, size_t size, int64_t timeout_ms,
                           dcp_buffer_sink give, void *sink, dcp_error **error);
  /** may. NULL: an all_gather of nothing. */
  dcp_status (*barrier)(void *user_data, int64_t timeout_ms, dcp_error **error);
  /** may. Between two calls, on any thread: this rank is at work. `root` tells all, others tell
   *  `root`. Called often: it does something a few times per `timeout_ms`. */
  void (*still_here)(void *user_data, int32_t root, int64_t timeout_ms);
  void (*destroy)(void *user_data); /**< may */
} dcp_communicator_table;
DCP_API dcp_status dcp_communicator_new(const dcp_communicator_table *table, void *user_data,
                                        int32_t rank, int32_t world_size, dcp_communicator **out,
                                        dcp_error **error);

/** Messages between two ranks, reliable and in order; the library makes the collective calls of
 *  them. Members are called one at a time, on any thread. */
typedef struct dcp_message_table {
  uint64_t struct_size;
  /** must. May return before it is received. A receiver that does not take it holds the sender up
   *  for `timeout_ms` at most. */
  dcp_status (*send)(void *user_data, int32_t to, const void *data, size_t size, int64_t timeout_ms,
                     dcp_error **error);
  /** must. give() the next message of `from` once; DCP_TIMEOUT when none comes in time. 0: what is
   *  there already. */
  dcp_status (*receive)(void *user_data, int32_t from, int64_t timeout_ms, dcp_buffer_sink give,
                        void *sink, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_message_table;
DCP_API dcp_status dcp_communicator_from_messages(const dcp_message_table *table, void *user_data,
                                                  int32_t rank, int32_t world_size,
                                                  dcp_communicator **out, dcp_error **error);

/** A key-value store that all ranks reach. Members are called one at a time, on any thread. */
typedef struct dcp_key_value_table {
  uint64_t struct_size;
  /** must. Values are of up to 4 MiB and a few bytes. */
  dcp_status (*set)(void *user_data, const char *key, const void *data, size_t size,
                    int64_t timeout_ms, dcp_error **error);
  /** must. give() the value once; DCP_TIMEOUT when the key does not come in time. 0: what is there
   *  already. */
  dcp_status (*get)(void *user_data, const char *key, int64_t timeout_ms, dcp_buffer_sink give,
                    void *sink, dcp_error **error);
  /** must. A key that is not there is no failure. */
  dcp_status (*remove)(void *user_data, const char *key, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_key_value_table;
/** `prefix` of all keys: this group's own, never used in the store before. Copied. */
DCP_API dcp_status dcp_communicator_from_store(const dcp_key_value_table *table, void *user_data,
                                               const char *prefix, int32_t rank, int32_t world_size,
                                               dcp_communicator **out, dcp_error **error);

DCP_API int32_t dcp_communicator_rank(const dcp_communicator *communicator);
DCP_API int32_t dcp_communicator_world_size(const dcp_communicator *communicator);

/** Buffers, in the order of ranks. */
typedef struct dcp_buffers dcp_buffers;
DCP_API size_t dcp_buffers_count(const dcp_buffers *buffers);
DCP_API const void *dcp_buffers_at(const dcp_buffers *buffers, size_t index,
                                   size_t *size); /* [borrowed]; NULL when out of range */
DCP_API void dcp_buffers_free(dcp_buffers *buffers);

/** The collective calls. *out is [owned]. Gather: all on `root`, none elsewhere; when ranks are
 *  missing it fails, but the others' are given. */
DCP_API dcp_status dcp_communicator_gather(dcp_communicator *communicator, const void *data,
                                           size_t size, int32_t root, int64_t timeout_ms,
                                           dcp_buffers **out, dcp_error **error);
/** `parts` is read on `root` only: one a rank. *out has one buffer. */
DCP_API dcp_status dcp_communicator_scatter(dcp_communicator *communicator, const dcp_buffer *parts,
                                            size_t part_count, int32_t root, int64_t timeout_ms,
                                            dcp_buffers **out, dcp_error **error);
/** *out has one buffer. */
DCP_API dcp_status dcp_communicator_broadcast(dcp_communicator *communicator, const void *data,
                                              size_t size, int32_t root, int64_t timeout_ms,
                                              dcp_buffers **out, dcp_error **error);
DCP_API dcp_status dcp_communicator_all_gather(dcp_communicator *communicator, const void *data,
                                               size_t size, int64_t timeout_ms, dcp_buffers **out,
                                               dcp_error **error);
DCP_API dcp_status dcp_communicator_barrier(dcp_communicator *communicator, int64_t timeout_ms,
                                            dcp_error **error);
/** Between two calls: this rank is at work and is to be waited for. `root` tells all others, others
 *  tell `root`. Cheap when called often. */
DCP_API void dcp_communicator_still_here(dcp_communicator *communicator, int32_t root,
                                         int64_t timeout_ms);
DCP_API void dcp_communicator_free(dcp_communicator *communicator);

/* ---- plans ------------------------------------------------------------------------------------
 */

enum dcp_write_kind {
  DCP_WRITE_TENSOR = 1, /**< a whole tensor: one chunk */
  DCP_WRITE_SHARD = 2,  /**< a chunk of a tensor that ranks share */
  DCP_WRITE_BYTES = 3   /**< an object */
};

/** One item of a save plan: upstream's WriteItem. Pointers are [borrowed] from the plan until it
 *  changes; when adding they are copied. */
typedef struct dcp_write_item {
  uint32_t struct_size; /**< set by the caller */
  int32_t kind;
  const char *name;
  size_t name_size;
  int32_t dtype; /**< 0 for objects, and so the next five */
  int32_t ndim;
  const int64_t *global_sizes; /**< of the whole tensor, as the next two: ndim numbers */
  const int64_t *offsets;
  const int64_t *sizes;
  int32_t requires_grad;
  int32_t reserved; /**< 0 */
  int64_t source;   /**< which item of its rank's own local plan it is; -1: one that was added. Keep
                         it when copying items between the plans of one rank */
} dcp_write_item;

/** What a rank is to write, in this order. Plans given to callbacks are [borrowed] for the call.
 *  [serial] */
typedef struct dcp_save_plan dcp_save_plan;

/** Empty; *out is [owned]. */
DCP_API dcp_status dcp_save_plan_new(dcp_save_plan **out, dcp_error **error);
DCP_API void dcp_save_plan_free(dcp_save_plan *plan); /* of those made by dcp_save_plan_new */
/** In create_local_plan: makes it what the library would plan (upstream's DefaultSavePlanner).
 *  DCP_INVALID_ARGUMENT elsewhere. */
DCP_API dcp_status dcp_save_plan_standard(dcp_save_plan *plan, dcp_error **error);
DCP_API size_t dcp_save_plan_count(const dcp_save_plan *plan);
DCP_API dcp_status dcp_save_plan_item(const dcp_save_plan *plan, size_t index, dcp_write_item *item,
                                      dcp_error **error);
DCP_API dcp_status dcp_save_plan_add(dcp_save_plan *plan, const dcp_write_item *item,
                                     dcp_error **error);
DCP_API dcp_status dcp_save_plan_remove(dcp_save_plan *plan, size_t index, dcp_error **error);
/** Where `name` stands in the nested state dict: a tuple of strings and integers. Recorded in the
 *  metadata (upstream's planner_data). */
DCP_API dcp_status dcp_save_plan_set_path(dcp_save_plan *plan, const char *name, size_t name_size,
                                          const dcp_value *path, dcp_error **error);
/** In resolve_data: what the state dict holds for item `item`, the one that is asked for. *out is
 *  [owned]; NULL when it holds nothing of the kind. DCP_INVALID_ARGUMENT elsewhere. */
DCP_API dcp_status dcp_save_plan_found(const dcp_save_plan *plan, size_t item, dcp_value **out,
                                       dcp_error **error);
/** What a storage writer has to say of a plan (upstream's storage_data): from prepare_local_plan to
 *  prepare_global_plan on the coordinator, and from there to write_data. [borrowed] */
DCP_API const void *dcp_save_plan_data(const dcp_save_plan *plan, size_t *size);
DCP_API dcp_status dcp_save_plan_set_data(dcp_save_plan *plan, const void *data, size_t size,
                                          dcp_error **error);

/** All ranks' save plans, [borrowed] for the call. */
typedef struct dcp_save_plans dcp_save_plans;
DCP_API size_t dcp_save_plans_count(const dcp_save_plans *plans);
DCP_API dcp_save_plan *dcp_save_plans_at(dcp_save_plans *plans, size_t rank); /* [borrowed] */
/** Leaves what several ranks hold to one of them: the one with the least to write so far, as
 *  upstream, or the lowest. What the library does where no planner plans globally. */
DCP_API dcp_status dcp_save_plans_dedup(dcp_save_plans *plans, int32_t to_lowest_rank,
                                        dcp_error **error);

/** One item of a load plan: upstream's ReadItem. Pointers as above. */
typedef struct dcp_read_item {
  uint32_t struct_size; /**< set by the caller */
  int32_t kind;         /**< dcp_entry_kind */
  const char *name;     /**< of the checkpoint's entry */
  size_t name_size;
  uint64_t chunk; /**< number of the entry's chunk */
  int32_t ndim;
  int32_t reserved;               /**< 0 */
  const int64_t *storage_offsets; /**< in the chunk; ndim numbers, as the next two */
  const int64_t *dest_offsets;    /**< in the target */
  const int64_t *lengths;
  int64_t target; /**< which part of its rank's state dict it is for, in the order of the state dict
                       (chunks of sharded tensors count one by one); -1: resolve_tensor or
                       load_bytes tells */
} dcp_read_item;

/** What a rank is to read. [borrowed] for the call. [serial] */
typedef struct dcp_load_plan dcp_load_plan;

/** In create_local_plan: makes it what the library would plan (upstream's DefaultLoadPlanner), or
 *  fails as that does: DCP_NOT_FOUND, DCP_MISMATCH. */
DCP_API dcp_status dcp_load_plan_standard(dcp_load_plan *plan, dcp_error **error);
DCP_API size_t dcp_load_plan_count(const dcp_load_plan *plan);
DCP_API dcp_status dcp_load_plan_item(const dcp_load_plan *plan, size_t index, dcp_read_item *item,
                                      dcp_error **error);
DCP_API dcp_status dcp_load_plan_add(dcp_load_plan *plan, const dcp_read_item *item,
                                     dcp_error **error);
DCP_API dcp_status dcp_load_plan_remove(dcp_load_plan *plan, size_t index, dcp_error **error);
/** What a storage reader has to say of a plan. [borrowed] */
DCP_API const void *dcp_load_plan_data(const dcp_load_plan *plan, size_t *size);
DCP_API dcp_status dcp_load_plan_set_data(dcp_load_plan *plan, const void *data, size_t size,
                                          dcp_error **error);

/** All ranks' load plans, [borrowed] for the call. */
typedef struct dcp_load_plans dcp_load_plans;
DCP_API size_t dcp_load_plans_count(const dcp_load_plans *plans);
DCP_API dcp_load_plan *dcp_load_plans_at(dcp_load_plans *plans, size_t rank); /* [borrowed] */

/** What `.metadata` says: entries, chunks, and where they lie. [serial] */
typedef struct dcp_metadata dcp_metadata;

/** From the bytes of a `.metadata` file. *out is [owned]. */
DCP_API dcp_status dcp_metadata_decode(const void *data, size_t size, dcp_metadata **out,
                                       dcp_error **error);
/** Of one rank's plan, by itself, with nothing said of where the items lie: upstream's default
 *  local metadata. Each item is a chunk, also of other ranks. *out is [owned]. */
DCP_API dcp_status dcp_metadata_of_plan(const dcp_save_plan *plan, dcp_metadata **out,
                                        dcp_error **error);
/** The bytes of a `.metadata` file that stock reads: a BYTES value, [owned]. */
DCP_API dcp_status dcp_metadata_encode(const dcp_metadata *metadata, int32_t dialect,
                                       dcp_value **out, dcp_error **error);
/** In a storage writer's finish, or of metadata made of a plan (rank 0's): item `item` of the plan
 * of rank `rank` lies in `file` at `offset`, `length` bytes. */
DCP_API dcp_status dcp_metadata_place(dcp_metadata *metadata, int32_t rank, size_t item,
                                      const char *file, uint64_t offset, uint64_t length,
                                      dcp_error **error);
DCP_API void dcp_metadata_free(dcp_metadata *metadata);

/* ---- planners, storage writers and storage readers of the caller's own --------------------------
 */

/** Chooses what a save writes: upstream's SavePlanner. A failure of any member is the rank's
 *  failure of the step "plan" (finish_plan and what follows: "write"), and reaches all ranks.
 *  Members are called one at a time unless marked [any]. */
typedef struct dcp_save_planner_table {
  uint64_t struct_size;
  /** may. First, on every rank. `state` is the state dict as a DICT, [borrowed]. */
  dcp_status (*set_up)(void *user_data, const dcp_value *state, int32_t is_coordinator,
                       dcp_error **error);
  /** may. `plan` is empty; NULL: dcp_save_plan_standard. */
  dcp_status (*create_local_plan)(void *user_data, dcp_save_plan *plan, dcp_error **error);
  /** may. On the coordinator: leaves each rank what it is to write. Metadata is then made of the
   *  plans and validated. NULL: dcp_save_plans_dedup. Set on all ranks or on none. */
  dcp_status (*create_global_plan)(void *user_data, dcp_save_plans *plans, dcp_error **error);
  /** may. This rank's part of the global plan, on its way to be written. Its items may not become
   *  others. */
  dcp_status (*finish_plan)(void *user_data, dcp_save_plan *plan, dcp_error **error);
  /** may. [any] What item `item` holds, when its turn comes: *out is [taken]; a TENSOR of the
   *  item's dtype and sizes, or any value for objects. NULL: the two members below, and what the
   *  state dict holds where they are NULL too. */
  dcp_status (*resolve_data)(void *user_data, const dcp_save_plan *plan, size_t item,
                             dcp_value **out, dcp_error **error);
  /** may. [any] What the state dict holds for an item, looked up by the planner's own means. */
  dcp_status (*lookup_object)(void *user_data, const dcp_write_item *item, dcp_value **out,
                              dcp_error **error);
  /** may. [any] `object`, which was looked up, as it is to be written. */
  dcp_status (*transform_object)(void *user_data, const dcp_write_item *item,
                                 const dcp_value *object, dcp_value **out, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_save_planner_table;
typedef struct dcp_save_planner dcp_save_planner; /* of one save at a time */
DCP_API dcp_status dcp_save_planner_new(const dcp_save_planner_table *table, void *user_data,
                                        dcp_save_planner **out, dcp_error **error);
DCP_API void dcp_save_planner_free(dcp_save_planner *planner);

/** Chooses what a load reads and where it goes: upstream's LoadPlanner. Failures as above; from
 *  finish_plan on the step is "read". Members are called one at a time. */
typedef struct dcp_load_planner_table {
  uint64_t struct_size;
  /** may. After the metadata was read, on every rank. Both [borrowed] until the load ends. */
  dcp_status (*set_up)(void *user_data, const dcp_value *state, const dcp_metadata *metadata,
                       int32_t is_coordinator, dcp_error **error);
  /** may. `plan` is empty; NULL: dcp_load_plan_standard. */
  dcp_status (*create_local_plan)(void *user_data, dcp_load_plan *plan, dcp_error **error);
  /** may. On the coordinator, with all ranks' plans. Set on all ranks or on none. */
  dcp_status (*create_global_plan)(void *user_data, dcp_load_plans *plans, dcp_error **error);
  /** may. */
  dcp_status (*finish_plan)(void *user_data, dcp_load_plan *plan, dcp_error **error);
  /** may. An object that was read for item `item`, [borrowed]. *taken = 1: the planner has it; 0
   *  (as it is): it stands in the load's report. */
  dcp_status (*load_bytes)(void *user_data, const dcp_load_plan *plan, size_t item,
                           const dcp_value *value, int32_t *taken, dcp_error **error);
  /** may. Where item `item` is to be read to. `found`: the part of the state dict it is for; NULL
   *  when it has no target. *out is [taken], has the item's lengths, and may be `found`'s copy or
   *  memory of the planner's own. NULL: `found`. */
  dcp_status (*resolve_tensor)(void *user_data, const dcp_load_plan *plan, size_t item,
                               const dcp_tensor *found, dcp_tensor **out, dcp_error **error);
  /** may. It is there now. Called for what resolve_tensor gave. */
  dcp_status (*commit_tensor)(void *user_data, const dcp_load_plan *plan, size_t item,
                              const dcp_tensor *tensor, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_load_planner_table;
typedef struct dcp_load_planner dcp_load_planner; /* of one load at a time */
DCP_API dcp_status dcp_load_planner_new(const dcp_load_planner_table *table, void *user_data,
                                        dcp_load_planner **out, dcp_error **error);
DCP_API void dcp_load_planner_free(dcp_load_planner *planner);

/** The end of work that goes on after a callback has returned: upstream's Future. Given to a
 *  callback, [owned] by the host, which ends it once and frees it; freed before its end it is a
 *  failure, and so is silence for the save's or load's timeout. [any] */
typedef struct dcp_completion dcp_completion;
/** `data` is copied: what a storage writer's finish is to get from this rank. */
DCP_API void dcp_completion_succeed(dcp_completion *completion, const void *data, size_t size);
/** `failure` is [taken]; NULL is a failure without a text. */
DCP_API void dcp_completion_fail(dcp_completion *completion, dcp_error *failure);
/** Still at work: this rank is to be waited for. */
DCP_API void dcp_completion_still_here(dcp_completion *completion);
DCP_API void dcp_completion_free(dcp_completion *completion);

/** What a storage writer is to write. [borrowed] until the completion is freed; after the save has
 *  ended its calls are DCP_INVALID_ARGUMENT. [any] */
typedef struct dcp_write_request dcp_write_request;
/** With the storage data that prepare_global_plan left. [borrowed] */
DCP_API const dcp_save_plan *dcp_write_request_plan(const dcp_write_request *request);
DCP_API const char *dcp_write_request_save_id(const dcp_write_request *request); /* [borrowed] */
/** What an item holds: TENSOR, or an object's value. [owned] */
DCP_API dcp_status dcp_write_request_value(const dcp_write_request *request, size_t item,
                                           dcp_value **out, dcp_error **error);
/** The item as stock's data files have it, in pieces. */
DCP_API dcp_status dcp_write_request_encode(const dcp_write_request *request, size_t item,
                                            dcp_byte_sink write, void *sink, dcp_error **error);

/** Stores what a save writes: upstream's StorageWriter. Failures as a planner's; of write_data and
 *  finish the step is "write". Members are called one at a time. */
typedef struct dcp_storage_writer_table {
  uint64_t struct_size;
  /** may. Before reset, where the save was given a checkpoint_id: *valid, 1 before, set to 0 says
   *  that this storage has no such id. This rank then fails with DCP_INVALID_ARGUMENT in the step
   *  "plan". Upstream's validate_checkpoint_id. */
  dcp_status (*validate_id)(void *user_data, const char *checkpoint_id, int32_t *valid,
                            dcp_error **error);
  /** may. At the beginning of each save, with its checkpoint_id, or NULL. */
  dcp_status (*reset)(void *user_data, const char *checkpoint_id, dcp_error **error);
  /** may. */
  dcp_status (*set_up)(void *user_data, int32_t rank, int32_t world_size, int32_t is_coordinator,
                       int32_t use_collectives, dcp_error **error);
  /** may. May set the plan's storage data. */
  dcp_status (*prepare_local_plan)(void *user_data, dcp_save_plan *plan, dcp_error **error);
  /** may. On the coordinator: may set the storage data of each plan; items stay. */
  dcp_status (*prepare_global_plan)(void *user_data, dcp_save_plans *plans, dcp_error **error);
  /** must. Begins to write, or writes: fails at once, or ends `completion`, now or later, on any
   *  thread. `completion` is [owned] by the host also when this fails. */
  dcp_status (*write_data)(void *user_data, const dcp_write_request *request,
                           dcp_completion *completion, dcp_error **error);
  /** must. On the coordinator (without collectives on every rank): commits. `results` are what the
   *  completions brought, by rank. dcp_metadata_place says where items lie, dcp_metadata_encode
   *  gives the file. */
  dcp_status (*finish)(void *user_data, dcp_metadata *metadata, const dcp_buffers *results,
                       dcp_error **error);
  /** may. After a failure, on every rank that wrote: what write_data left may go. */
  void (*abandon)(void *user_data);
  void (*destroy)(void *user_data); /**< may */
} dcp_storage_writer_table;
typedef struct dcp_storage_writer dcp_storage_writer; /* of one save at a time */
/** `location` is for messages, copied. */
DCP_API dcp_status dcp_storage_writer_new(const dcp_storage_writer_table *table, void *user_data,
                                          const char *location, dcp_storage_writer **out,
                                          dcp_error **error);
DCP_API void dcp_storage_writer_free(dcp_storage_writer *writer);

/** What a storage reader is to read. Lifetime as dcp_write_request's; its calls are made one at a
 *  time. Each item is to be given once: decode, commit or object. */
typedef struct dcp_read_request dcp_read_request;
DCP_API const dcp_load_plan *dcp_read_request_plan(const dcp_read_request *request);
/** Gives an item, or the chunk that holds it, as stock's data files have it: decoded, checked, cast
 *  and put where it goes. */
DCP_API dcp_status dcp_read_request_decode(dcp_read_request *request, size_t item, const void *data,
                                           size_t size, dcp_error **error);
/** Where an item's tensor goes: fill it and commit it. [owned] */
DCP_API dcp_status dcp_read_request_tensor(dcp_read_request *request, size_t item, dcp_tensor **out,
                                           dcp_error **error);
DCP_API dcp_status dcp_read_request_commit(dcp_read_request *request, size_t item,
                                           dcp_error **error);
/** Gives what was read for an item that is not a tensor. */
DCP_API dcp_status dcp_read_request_object(dcp_read_request *request, size_t item,
                                           const dcp_value *value, dcp_error **error);

/** Reads what a load asks for: upstream's StorageReader. Failures as a planner's; of read_data the
 *  step is "read". Members are called one at a time. */
typedef struct dcp_storage_reader_table {
  uint64_t struct_size;
  /** may. As a storage writer's. */
  dcp_status (*validate_id)(void *user_data, const char *checkpoint_id, int32_t *valid,
                            dcp_error **error);
  /** may. At the beginning of each load, with its checkpoint_id, or NULL. */
  dcp_status (*reset)(void *user_data, const char *checkpoint_id, dcp_error **error);
  /** must. On every rank: *out is [taken]. */
  dcp_status (*read_metadata)(void *user_data, dcp_metadata **out, dcp_error **error);
  /** may. `metadata` is [borrowed] until the load ends. */
  dcp_status (*set_up)(void *user_data, const dcp_metadata *metadata, int32_t rank,
                       int32_t world_size, int32_t is_coordinator, dcp_error **error);
  /** may. May set the plan's storage data. */
  dcp_status (*prepare_local_plan)(void *user_data, dcp_load_plan *plan, dcp_error **error);
  /** may. On the coordinator, with all ranks' plans. Set on all ranks or on none. */
  dcp_status (*prepare_global_plan)(void *user_data, dcp_load_plans *plans, dcp_error **error);
  /** must. As write_data; what the completion brings is not looked at. */
  dcp_status (*read_data)(void *user_data, dcp_read_request *request, dcp_completion *completion,
                          dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_storage_reader_table;
typedef struct dcp_storage_reader dcp_storage_reader; /* of one load at a time */
DCP_API dcp_status dcp_storage_reader_new(const dcp_storage_reader_table *table, void *user_data,
                                          const char *location, dcp_storage_reader **out,
                                          dcp_error **error);
DCP_API void dcp_storage_reader_free(dcp_storage_reader *reader);

/* ---- save -------------------------------------------------------------------------------------
 */

enum dcp_dialect {
  DCP_DIALECT_DEFAULT = 0,  /**< read by torch 2.4 to 2.15 */
  DCP_DIALECT_TORCH_2_1 = 1 /**< 2.1's classes, read by every version */
};

/** What saves of one family of checkpoints keep from one to the next: plans, and where items lie.
 *  While the layout stays (names, kinds, shapes, parts, dtypes and other properties of tensors),
 *  plans travel as 32 bytes, are not made again, and `.metadata` is written over in memory. What
 *  changes is planned anew, what another rank has forgotten is told again: the checkpoint is the
 *  same as without. Upstream's enable_plan_caching, but dtypes and properties count, and it is not
 *  shared between families: one per family of checkpoints and per rank. It serves saves one after
 *  another, also in the background; a second one at the same time fails with DCP_INVALID_ARGUMENT.
 *  Any thread. */
typedef struct dcp_plan_cache dcp_plan_cache;
/** *out is [owned]. DCP_UNSUPPORTED where the library was built without libcrypto. */
DCP_API dcp_status dcp_plan_cache_new(dcp_plan_cache **out, dcp_error **error);
/** NULL is fine. A save that uses it goes on. */
DCP_API void dcp_plan_cache_free(dcp_plan_cache *cache);

typedef struct dcp_save_options {
  uint32_t struct_size;
  int32_t overwrite; /**< 1; 0 makes an existing checkpoint DCP_ALREADY_EXISTS */
  int32_t durable;   /**< 1: on return the checkpoint survives a power cut */
  int32_t flatten;   /**< 1; 0 keeps the top level's names and stores nested values as objects */
  int32_t files;     /**< 1: data files a rank (upstream's thread_count) */
  int32_t file_per_item;          /**< 0; 1 is upstream's single_file_per_rank=False */
  int32_t dialect;                /**< DCP_DIALECT_DEFAULT */
  int32_t block_checksums;        /**< 1: lets slices be checked; ignored by stock */
  int64_t timeout_ms;             /**< 600000: silence of another rank; negative waits for ever */
  const char *const *transforms;  /**< NULL; names ("stream.zstd") from the context's registry */
  size_t transform_count;         /**< 0 */
  const char *checkpoint_id;      /**< NULL: the storage's location */
  dcp_cancel *cancel;             /**< NULL */
  dcp_communicator *communicator; /**< NULL: this rank alone. Used until the save ends */
  int32_t coordinator;            /**< 0: the rank that plans and commits */
  int32_t dedup_to_lowest_rank;   /**< 0: what several ranks hold is written by the one with the
                                       least to write, as upstream; 1: by the lowest */
  int32_t use_collectives;        /**< 1; 0: plans and results stay on their ranks, each of which
                                       writes all it has and commits it as `__{rank}.metadata`. No
                                       rank's metadata is put in place before all have written */
  int32_t reserved;               /**< 0 */
  dcp_save_planner *planner; /**< NULL: the library's own. Used until the save ends, as the next */
  dcp_storage_writer *storage_writer; /**< NULL: the library's own, into the storage given */
  dcp_plan_cache *plan_cache; /**< NULL: none. On all ranks or on none. DCP_UNSUPPORTED with a
                                 planner or storage writer above, or without collectives */
} dcp_save_options;
DCP_API void dcp_save_options_init(dcp_save_options *options, size_t struct_size);

typedef struct dcp_save_report dcp_save_report;
DCP_API const char *dcp_save_report_save_id(const dcp_save_report *report); /* [borrowed] */
DCP_API uint64_t dcp_save_report_bytes(const dcp_save_report *report); /* written by this rank */
DCP_API uint64_t dcp_save_report_items(const dcp_save_report *report);
DCP_API uint64_t dcp_save_report_files(const dcp_save_report *report);
/** 1: by a plan cache, this rank's plan and what it was to write were those of the last save; on
 * the coordinator: every rank's were, and nothing was planned. Else 0. */
DCP_API int32_t dcp_save_report_plan_reused(const dcp_save_report *report);
DCP_API size_t dcp_save_report_warning_count(const dcp_save_report *report);
DCP_API const char *dcp_save_report_warning(const dcp_save_report *report, size_t index);
DCP_API void dcp_save_report_free(dcp_save_report *report);

/** Saves and commits. At every instant a reader finds the old checkpoint or the new one; after an
 *  error the old one, and no half files. `storage` may be NULL where options name a storage writer.
 *  `report` may be NULL, else *report is [owned]. */
DCP_API dcp_status dcp_save(dcp_context *context, dcp_storage *storage, const dcp_state_dict *state,
                            const dcp_save_options *options, dcp_save_report **report,
                            dcp_error **error);

typedef struct dcp_future dcp_future;

/** Copies every tensor of `state`, then saves in the background: all arguments may change or go
 * once this returns. */
DCP_API dcp_status dcp_save_async(dcp_context *context, dcp_storage *storage,
                                  const dcp_state_dict *state, const dcp_save_options *options,
                                  dcp_future **out, dcp_error **error);
/** Waits for the end and gives the save's own status and error, again and again. DCP_TIMEOUT after
 *  `timeout_ms` (negative: no deadline) leaves the work running. `report` as in dcp_save. */
DCP_API dcp_status dcp_future_wait(dcp_future *future, int64_t timeout_ms, dcp_save_report **report,
                                   dcp_error **error);
DCP_API int32_t dcp_future_done(const dcp_future *future);
/** A request; the future then ends with DCP_CANCELLED unless the commit was already made. */
DCP_API void dcp_future_cancel(dcp_future *future);
/** Calls done(user_data) exactly once, when the save has ended: on its thread, or at once on this
 *  one when it already has. user_data is [taken]; destroy (may be NULL) follows the call. */
DCP_API dcp_status dcp_future_on_done(dcp_future *future, void (*done)(void *user_data),
                                      void *user_data, void (*destroy)(void *user_data),
                                      dcp_error **error);
DCP_API void dcp_future_free(dcp_future *future); /* detaches: never cancels, never blocks */

/* ---- load -------------------------------------------------------------------------------------
 */

typedef struct dcp_load_options {
  uint32_t struct_size;
  int32_t allow_partial; /**< 0; 1 leaves what is missing as it was, and reports it */
  int32_t allow_cast;    /**< 1 as upstream, reported; 0 makes another dtype DCP_MISMATCH */
  int32_t verify;        /**< 1: check every checksum over what is read */
  int32_t flatten;       /**< 1: the state dict is flattened, as when saved */
  int32_t coordinator;   /**< 0: the rank that failures are told to, and tells them */
  int64_t timeout_ms;    /**< 600000: silence of another rank; negative waits for ever */
  dcp_cancel *cancel;    /**< NULL */
  dcp_communicator *communicator;     /**< NULL: this rank alone */
  dcp_load_planner *planner;          /**< NULL: the library's own */
  dcp_storage_reader *storage_reader; /**< NULL: the library's own, from the storage given */
  const char *checkpoint_id;          /**< NULL; what the storage reader is reset with */
} dcp_load_options;
DCP_API void dcp_load_options_init(dcp_load_options *options, size_t struct_size);

/** What a load did, what upstream does without a word included. */
typedef struct dcp_load_report dcp_load_report;
enum dcp_load_list {
  DCP_LOADED = 1,
  DCP_MISSING = 2,    /**< asked for, not in the checkpoint */
  DCP_UNEXPECTED = 3, /**< in the checkpoint, not asked for */
  DCP_CAST = 4,       /**< "name: float32 -> bfloat16" */
  DCP_UNCOVERED = 5   /**< "name: 12 of 24 elements": no chunk holds them; they kept their values */
};
DCP_API size_t dcp_load_report_count(const dcp_load_report *report, int32_t list);
/** Line `index` of a list, `*text` [borrowed] with its length. */
DCP_API dcp_status dcp_load_report_at(const dcp_load_report *report, int32_t list, size_t index,
                                      const char **text, size_t *size, dcp_error **error);
/** Objects read for leaves of the state dict that are not tensors. */
DCP_API size_t dcp_load_report_object_count(const dcp_load_report *report);
/** Flat name [borrowed]; path (tuple of strings and integers from the root) and value [owned]; each
 *  out pointer may be NULL. */
DCP_API dcp_status dcp_load_report_object(const dcp_load_report *report, size_t index,
                                          const char **name, size_t *name_size, dcp_value **path,
                                          dcp_value **value, dcp_error **error);
DCP_API uint64_t dcp_load_report_bytes_read(const dcp_load_report *report);
DCP_API uint64_t dcp_load_report_bytes_unverified(const dcp_load_report *report);
DCP_API void dcp_load_report_free(dcp_load_report *report);

/** Fills the tensors of `state` in place, from whatever chunks the checkpoint was cut into. After
 * an error they may be partly filled. `storage` may be NULL where options name a storage reader.
 * `report` may be NULL, else *report is [owned]. */
DCP_API dcp_status dcp_load(dcp_context *context, dcp_storage *storage, const dcp_state_dict *state,
                            const dcp_load_options *options, dcp_load_report **report,
                            dcp_error **error);

/* ---- open for reading -------------------------------------------------------------------------
 */

/** A checkpoint open for reading. Remembers its metadata; opens data files when first needed. */
typedef struct dcp_checkpoint dcp_checkpoint;

typedef struct dcp_open_options {
  uint32_t struct_size;
  int32_t verify;     /**< 1: check every checksum over what is read */
  dcp_cancel *cancel; /**< NULL */
} dcp_open_options;
DCP_API void dcp_open_options_init(dcp_open_options *options, size_t struct_size);

DCP_API dcp_status dcp_checkpoint_open(dcp_context *context, dcp_storage *storage,
                                       const dcp_open_options *options, dcp_checkpoint **out,
                                       dcp_error **error);
DCP_API void dcp_checkpoint_free(dcp_checkpoint *checkpoint);

enum dcp_entry_kind { DCP_ENTRY_TENSOR = 1, DCP_ENTRY_OBJECT = 2 };

/** One name of a checkpoint. Pointers are [borrowed] from the checkpoint. */
typedef struct dcp_entry_info {
  uint32_t struct_size; /**< set by the caller */
  int32_t kind;
  const char *name;
  size_t name_size;
  const char *dtype_name; /**< "float32"; NULL for objects */
  const int64_t *shape;   /**< ndim global sizes */
  int32_t ndim;
  int32_t dtype;         /**< 0: an object, or a dtype the library does not know */
  uint64_t bytes;        /**< of the whole tensor; objects: of the item */
  uint64_t stored_bytes; /**< of its items in the data files, after transforms */
  uint64_t chunk_count;
} dcp_entry_info;

/** One chunk of a tensor, or the one item of an object. Pointers are [borrowed]. */
typedef struct dcp_chunk_info {
  uint32_t struct_size; /**< set by the caller */
  int32_t ndim;
  const int64_t *offsets; /**< in the global tensor */
  const int64_t *sizes;
  const char *file;       /**< NULL when the metadata says nothing of where it is */
  uint64_t offset;        /**< of the item in the file */
  uint64_t length;        /**< of the item in the file, after transforms */
  const char *transforms; /**< descriptors, comma separated; "" for none */
} dcp_chunk_info;

/** The same of metadata by itself. */
DCP_API size_t dcp_metadata_count(const dcp_metadata *metadata);
DCP_API dcp_status dcp_metadata_entry(const dcp_metadata *metadata, size_t index,
                                      dcp_entry_info *info, dcp_error **error);
DCP_API dcp_status dcp_metadata_chunk(const dcp_metadata *metadata, size_t index, uint64_t chunk,
                                      dcp_chunk_info *info, dcp_error **error);

DCP_API size_t dcp_checkpoint_count(const dcp_checkpoint *checkpoint);
/** Index of a name; DCP_NOT_FOUND, the message tells near names. */
DCP_API dcp_status dcp_checkpoint_find(const dcp_checkpoint *checkpoint, const char *name,
                                       size_t name_size, size_t *index, dcp_error **error);
DCP_API dcp_status dcp_checkpoint_entry(const dcp_checkpoint *checkpoint, size_t index,
                                        dcp_entry_info *info, dcp_error **error);
DCP_API dcp_status dcp_checkpoint_chunk(const dcp_checkpoint *checkpoint, size_t index,
                                        uint64_t chunk, dcp_chunk_info *info, dcp_error **error);
/** The way from the root of the nested state dict: a tuple of strings and integers, [owned]. Of the
 *  name alone when the checkpoint does not say. */
DCP_API dcp_status dcp_checkpoint_path(const dcp_checkpoint *checkpoint, size_t index,
                                       dcp_value **out, dcp_error **error);

enum dcp_property {
  DCP_PROPERTY_CHECKPOINT_ID = 1,
  DCP_PROPERTY_SAVE_ID = 2,
  DCP_PROPERTY_VERSION = 3,    /**< "1.0.0" */
  DCP_PROPERTY_CHECKSUMMED = 4 /**< "1" when `.metadata` itself carries a checksum that matched */
};
/** [borrowed]; NULL when the checkpoint does not say. */
DCP_API const char *dcp_checkpoint_property(const dcp_checkpoint *checkpoint, int32_t property);
/** What the metadata holds beside what is used: strays, unknown globals. One line each. */
DCP_API size_t dcp_checkpoint_note_count(const dcp_checkpoint *checkpoint);
DCP_API const char *dcp_checkpoint_note(const dcp_checkpoint *checkpoint, size_t index);

/** The whole tensor in fresh memory, put together from its chunks. *out is [owned]. */
DCP_API dcp_status dcp_checkpoint_tensor(dcp_checkpoint *checkpoint, size_t index, dcp_tensor **out,
                                         dcp_error **error);
/** Elements offsets[d] + i * steps[d] of each dimension, i < dest->shape[d], into `dest`; another
 *  dtype is cast as torch casts. steps NULL: 1. `unverified_bytes` (may be NULL): how many of the
 *  bytes had no checksum to check. */
DCP_API dcp_status dcp_checkpoint_read(dcp_checkpoint *checkpoint, size_t index,
                                       const int64_t *offsets, const int64_t *steps,
                                       const dcp_tensor_view *dest, uint64_t *unverified_bytes,
                                       dcp_error **error);
/** A read-only view of one chunk in the mapped file, no copy, nothing verified. DCP_UNSUPPORTED,
 *  with the reason, where the bytes cannot be used in place. Invalid when another program truncates
 *  the file; our own saves never do. */
DCP_API dcp_status dcp_checkpoint_map(dcp_checkpoint *checkpoint, size_t index, uint64_t chunk,
                                      dcp_tensor **out, dcp_error **error);
/** An object's value, OPAQUE when its classes are not on the list in docs/format.md. [owned] */
DCP_API dcp_status dcp_checkpoint_object(dcp_checkpoint *checkpoint, size_t index, dcp_value **out,
                                         dcp_error **error);
/** The item as torch.save wrote it, transforms undone: BYTES value, [owned]. */
DCP_API dcp_status dcp_checkpoint_item(dcp_checkpoint *checkpoint, size_t index, uint64_t chunk,
                                       dcp_value **out, dcp_error **error);
/** Everything, read now: a dict, nested by the saved paths (nested != 0) or flat. [owned] */
DCP_API dcp_status dcp_checkpoint_read_all(dcp_checkpoint *checkpoint, int32_t nested,
                                           dcp_value **out, dcp_error **error);

/* ---- verify -----------------------------------------------------------------------------------
 */

/** One damaged place. Pointers are [borrowed] from the report, or valid during the callback. */
typedef struct dcp_damage {
  uint64_t struct_size;
  const char *name; /**< of the tensor or object; "" for a file as a whole */
  size_t name_size;
  const char *file; /**< "" when no file is meant */
  uint64_t offset;  /**< of the item in the file */
  const dcp_error *error;
} dcp_damage;

typedef struct dcp_verify_table {
  uint64_t struct_size;
  /** must. As damage is found, one call at a time. */
  void (*on_damage)(void *user_data, const dcp_damage *damage);
  void (*destroy)(void *user_data); /**< may */
} dcp_verify_table;

typedef struct dcp_verify_report dcp_verify_report;
DCP_API uint64_t dcp_verify_report_items(const dcp_verify_report *report);
/** Items whose writer left no checksum: read, and found well-formed only. */
DCP_API uint64_t dcp_verify_report_unchecked(const dcp_verify_report *report);
DCP_API uint64_t dcp_verify_report_bytes(const dcp_verify_report *report);
DCP_API size_t dcp_verify_report_damage_count(const dcp_verify_report *report);
DCP_API dcp_status dcp_verify_report_damage(const dcp_verify_report *report, size_t index,
                                            dcp_damage *out, dcp_error **error);
/** Items behind a transform that the context does not know, and without a checksum of the bytes in
 *  the file: nothing can be said about them. Counted neither as items nor as damage. */
DCP_API size_t dcp_verify_report_unreadable_count(const dcp_verify_report *report);
DCP_API dcp_status dcp_verify_report_unreadable(const dcp_verify_report *report, size_t index,
                                                dcp_damage *out, dcp_error **error);
DCP_API size_t dcp_verify_report_note_count(const dcp_verify_report *report);
DCP_API const char *dcp_verify_report_note(const dcp_verify_report *report, size_t index);
DCP_API void dcp_verify_report_free(dcp_verify_report *report);

/** Reads every item and checks every checksum there is; goes on after damage. DCP_CORRUPT when
 *  there was any; else DCP_UNSUPPORTED when items could not be read because their transform is not
 *  known; *report (may be NULL, [owned]) is set in these cases too. `table` and `cancel` may be
 *  NULL. */
DCP_API dcp_status dcp_checkpoint_verify(dcp_checkpoint *checkpoint, const dcp_verify_table *table,
                                         void *user_data, dcp_cancel *cancel,
                                         dcp_verify_report **report, dcp_error **error);

/* ---- copy -------------------------------------------------------------------------------------
 */

/** Saves an open checkpoint somewhere else, with other options: number of files, transforms,
 *  dialect. Streams: memory stays within the context's budget and the largest object. Every
 *  checksum is checked on the way. */
DCP_API dcp_status dcp_checkpoint_copy(dcp_checkpoint *checkpoint, dcp_storage *destination,
                                       const dcp_save_options *options, dcp_save_report **report,
                                       dcp_error **error);

/* ---- rank-local checkpoints -------------------------------------------------------------------
 */

/* Each rank writes its state as one file, `checkpoint_{rank}.pt`, that torch.load reads with its
 * defaults; nothing is planned, and no rank sees another's tensors. What upstream keeps in
 * torch.distributed.checkpoint._experimental: docs/rank_local.md tells the differences. */

/** Where the ranks of a save meet when each has written its file. Executed by one call at a time;
 *  otherwise [any]. */
typedef struct dcp_barrier dcp_barrier;

/** Of a group's ranks; those that do not come are named. The communicator is counted, and is used
 *  while the barrier executes. */
DCP_API dcp_status dcp_barrier_from_communicator(dcp_communicator *communicator, dcp_barrier **out,
                                                 dcp_error **error);

typedef struct dcp_barrier_table {
  uint64_t struct_size;
  /** must. Returns DCP_OK when every rank has come. DCP_TIMEOUT after `timeout_ms` (negative: no
   *  end), with dcp_error_add_rank_failure for the ranks that are known to be missing. One call at
   *  a time, on any thread. */
  dcp_status (*execute)(void *user_data, int64_t timeout_ms, dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_barrier_table;
DCP_API dcp_status dcp_barrier_new(const dcp_barrier_table *table, void *user_data,
                                   dcp_barrier **out, dcp_error **error);

/** Makes barriers of one type, for dcp_barrier_from_config(). */
typedef struct dcp_barrier_factory_table {
  uint64_t struct_size;
  /** must. `arguments` is a DICT or NULL, [borrowed] during the call. *out becomes a new barrier,
   *  [taken] by the library. Several calls at a time. */
  dcp_status (*make)(void *user_data, const dcp_value *arguments, dcp_barrier **out,
                     dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_barrier_factory_table;
/** Adds a type of barrier to this context. DCP_ALREADY_EXISTS for a name that is taken, those that
 *  are built in included. */
DCP_API dcp_status dcp_context_register_barrier(dcp_context *context, const char *type,
                                                const dcp_barrier_factory_table *table,
                                                void *user_data, dcp_error **error);
/** A barrier by the name of its type: one that was registered with `context` (may be NULL), or
 *
 *    "single"  of one rank; without arguments
 *    "local"   of ranks that are threads of this process and share `context`: "group" (STRING),
 *              "global_rank" and "global_world_size" (INT). A group's name is free again when each
 *              of its ranks has got its barrier.
 *
 *  `type` NULL gives NULL, no barrier, as upstream. `arguments` is a DICT or NULL. An unknown type
 *  is DCP_INVALID_ARGUMENT. *out is [owned]. */
DCP_API dcp_status dcp_barrier_from_config(dcp_context *context, const char *type,
                                           const dcp_value *arguments, dcp_barrier **out,
                                           dcp_error **error);
/** Waits for all ranks. The timeout holds whatever the barrier does: one that goes on for half a
 *  second longer is left behind on a thread of its own, and fails with DCP_TIMEOUT until that call
 *  has ended. A communicator's rank waits for `timeout_ms` for the others, and as long again to
 *  hear from the rank that counts them. `cancel` may be NULL. */
DCP_API dcp_status dcp_barrier_execute(dcp_barrier *barrier, int64_t timeout_ms, dcp_cancel *cancel,
                                       dcp_error **error);
DCP_API void dcp_barrier_free(dcp_barrier *barrier);

/** What the host does around a commit. */
typedef struct dcp_commit_hook dcp_commit_hook;

/** Members are called on the thread that writes, one at a time per writer. `path` is the storage's
 *  location; `extra` is what the write was given, or NULL; both [borrowed] during the call. */
typedef struct dcp_commit_hook_table {
  uint64_t struct_size;
  /** may. This rank's file is whole and, unless the options say otherwise, durable. A failure ends
   *  the write: this rank does not come to the barrier. */
  dcp_status (*pre_commit)(void *user_data, const char *path, const dcp_value *extra,
                           dcp_error **error);
  /** may. Every rank has come to the barrier. */
  dcp_status (*post_commit)(void *user_data, const char *path, const dcp_value *extra,
                            dcp_error **error);
  void (*destroy)(void *user_data); /**< may */
} dcp_commit_hook_table;
DCP_API dcp_status dcp_commit_hook_new(const dcp_commit_hook_table *table, void *user_data,
                                       dcp_commit_hook **out, dcp_error **error);
DCP_API void dcp_commit_hook_free(dcp_commit_hook *hook);

typedef struct dcp_rank_writer_options {
  uint32_t struct_size;
  int32_t rank;                 /**< 0: this process, in the file's name */
  int32_t world_size;           /**< 1 */
  int32_t durable;              /**< 1: before pre_commit the file survives a power cut */
  double barrier_timeout_secs;  /**< 600: upstream's write_barrier_timeout_secs; negative: no end */
  dcp_barrier *barrier;         /**< NULL: the ranks do not wait for each other. Counted */
  dcp_commit_hook *commit_hook; /**< NULL. Counted */
} dcp_rank_writer_options;
DCP_API void dcp_rank_writer_options_init(dcp_rank_writer_options *options, size_t struct_size);

/** Writes a rank's files. [serial], but for close. */
typedef struct dcp_rank_writer dcp_rank_writer;

/** `context` may be NULL. Counted. */
DCP_API dcp_status dcp_rank_writer_new(dcp_context *context, const dcp_rank_writer_options *options,
                                       dcp_rank_writer **out, dcp_error **error);
/** Writes `state`, any value, in this order: the file, under another name until it is whole, so
 *  that an older one stays until then; pre_commit; the barrier; post_commit. The first that fails
 *  is the error, and nothing after it is done; detail "step" is "write", "pre_commit", "barrier"
 *  or "post_commit". Tensors on devices are copied to the host first. Ranks that did not come to
 *  the barrier are named (dcp_error_rank_failure). `extra` (for the hook), `cancel` and `report`
 *  may be NULL, else *report is [owned]; its save id is "". */
DCP_API dcp_status dcp_rank_writer_write(dcp_rank_writer *writer, dcp_storage *storage,
                                         const dcp_value *state, const dcp_value *extra,
                                         dcp_cancel *cancel, dcp_save_report **report,
                                         dcp_error **error);
/** Lets go of barrier and hook; writes then fail. Again and again, on any thread. */
DCP_API dcp_status dcp_rank_writer_close(dcp_rank_writer *writer, dcp_error **error);
DCP_API void dcp_rank_writer_free(dcp_rank_writer *writer);

/** A state dict as one DICT value, for the calls of this section. *out is [owned]. */
DCP_API dcp_status dcp_state_dict_to_value(const dcp_state_dict *state, dcp_value **out,
                                           dcp_error **error);

/** Reads the file of one rank. */
typedef struct dcp_rank_reader dcp_rank_reader;

DCP_API dcp_status dcp_rank_reader_new(int32_t rank, int32_t world_size, dcp_rank_reader **out,
                                       dcp_error **error);
/** `target` NULL: the whole file. Else only what `target` has, as upstream: dicts by the target's
 *  keys, lists by their places, a NONE takes whatever is there; what the file lacks stays as it
 *  is, and its key ("model.weight") is in *missing. Tensors are filled in place, whatever their
 *  strides, in the file and in the target; storages that no tensor needs are not read. *out is the
 *  target with the values that were read, *missing a LIST of STRING, both [owned]; `missing` may
 *  be NULL. DCP_NOT_FOUND without a file; DCP_MISMATCH for a value of another type, or a tensor of
 *  another size or dtype; DCP_UNSUPPORTED for a target that is not in host memory. Every CRC32 of
 *  what is read is checked. After an error tensors may be partly filled. */
DCP_API dcp_status dcp_rank_reader_read(const dcp_rank_reader *reader, const dcp_storage *storage,
                                        const dcp_value *target, dcp_value **out,
                                        dcp_value **missing, dcp_error **error);
DCP_API void dcp_rank_reader_free(dcp_rank_reader *reader);

typedef struct dcp_checkpointer_options {
  uint32_t struct_size;
  int32_t asynchronous;     /**< 0; 1: saves go on in the background */
  const char *barrier_type; /**< NULL; dcp_barrier_from_config makes the barrier of it when the
                                 writer's options have none */
  const dcp_value *barrier_arguments; /**< NULL */
} dcp_checkpointer_options;
DCP_API void dcp_checkpointer_options_init(dcp_checkpointer_options *options, size_t struct_size);

/** A rank's writer and reader; upstream's SyncCheckpointer, AsyncCheckpointer and their builder.
 *  Freed, it leaves a save in the background to end by itself. [serial] */
typedef struct dcp_checkpointer dcp_checkpointer;

/** `context`, `writer` and `options` may be NULL. */
DCP_API dcp_status dcp_checkpointer_new(dcp_context *context, const dcp_rank_writer_options *writer,
                                        const dcp_checkpointer_options *options,
                                        dcp_checkpointer **out, dcp_error **error);
/** Writes as dcp_rank_writer_write(). Asynchronous: first waits for the save before; when that
 *  failed, and neither save nor close has told so yet, its error is returned and nothing is saved
 *  (cancelled is not failed). Else copies every tensor, returns, and writes on a thread of its own.
 *  The barrier is then executed there, so that it must be the checkpointer's own. `extra`, `cancel`
 *  and `out` may be NULL; *out is [owned], and NULL when not asynchronous. */
DCP_API dcp_status dcp_checkpointer_save(dcp_checkpointer *checkpointer, dcp_storage *storage,
                                         const dcp_value *state, const dcp_value *extra,
                                         dcp_cancel *cancel, dcp_future **out, dcp_error **error);
/** Asynchronous saves keep the memory of their copies for the next one, so that its pages need not
 *  be made anew. This gives it back, when no save uses it any more. */
DCP_API dcp_status dcp_checkpointer_release_staging(dcp_checkpointer *checkpointer,
                                                    dcp_error **error);
/** Reads as dcp_rank_reader_read(). `strict`: missing keys are DCP_MISMATCH, "Checkpoint at ... is
 *  missing keys: [...]". */
DCP_API dcp_status dcp_checkpointer_load(dcp_checkpointer *checkpointer, const dcp_storage *storage,
                                         const dcp_value *target, int32_t strict, dcp_value **out,
                                         dcp_value **missing, dcp_error **error);
/** Waits for a save in the background and closes the writer; saves then fail, loads do not. The
 *  error is that save's, unless it has been told. DCP_TIMEOUT after `timeout_ms` (negative: no end)
 *  leaves all as it is. Again and again. */
DCP_API dcp_status dcp_checkpointer_close(dcp_checkpointer *checkpointer, int64_t timeout_ms,
                                          dcp_error **error);
DCP_API void dcp_checkpointer_free(dcp_checkpointer *checkpointer);

#ifdef __cplusplus
}
#endif
#endif /* DCP_H */
