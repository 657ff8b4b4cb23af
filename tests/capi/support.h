/* What the C tests share: temporary folders, tensors made in one line, errors printed. */
#ifndef DCP_TESTS_CAPI_SUPPORT_H_
#define DCP_TESTS_CAPI_SUPPORT_H_

#include <dcp.h>

#include "support/cmocka.h"

/* Fails the test with the error's message unless the status is DCP_OK; frees the error. */
void check_ok(dcp_status status, dcp_error* error, const char* what);
#define OK(call)                     \
  do {                               \
    dcp_error* error = NULL;         \
    dcp_status status_ = (call);     \
    check_ok(status_, error, #call); \
  } while (0)
/* Fails the test unless the call returns this status with an error object whose message holds
 * `part`. */
void check_fails(dcp_status status, dcp_error* error, dcp_status expected, const char* part,
                 const char* what);
#define FAILS(expected, part, call)                         \
  do {                                                      \
    dcp_error* error = NULL;                                \
    dcp_status status_ = (call);                            \
    check_fails(status_, error, (expected), (part), #call); \
  } while (0)

/* A fresh folder under TMPDIR; free the text. remove_tree deletes it and what is in it. */
char* make_temp_dir(void);
void remove_tree(const char* path);
char* join_path(const char* folder, const char* name); /* free the text */
int count_files(const char* folder);                   /* -1 when it cannot be read */

/* A row-major view; `shape` must outlive it. */
dcp_tensor_view view_of(int32_t dtype, int32_t ndim, const int64_t* shape, void* data);
void set_tensor(dcp_state_dict* state, const char* name, const dcp_tensor_view* view);
void set_int(dcp_state_dict* state, const char* name, int64_t value);
dcp_storage* open_storage(const char* where);

#endif
