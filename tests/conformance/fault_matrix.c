#include "conformance/fault_matrix.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3, COLUMNS = 5, TIMEOUT_MS = 60000 };

/* Where a rank fails. */
typedef enum place {
  NOWHERE,
  VALIDATE_ID,
  ID_REFUSED,
  RESET,
  WRITER_SET_UP,
  WRITER_LOCAL_PLAN,
  WRITER_GLOBAL_PLAN,
  WRITE_DATA,
  WRITE_DATA_LATER,
  FINISH,
  READER_SET_UP,
  READ_METADATA,
  READER_LOCAL_PLAN,
  READER_GLOBAL_PLAN,
  READ_DATA,
  READ_DATA_LATER,
  PLANNER_SET_UP,
  PLANNER_LOCAL_PLAN,
  PLANNER_GLOBAL_PLAN,
  PLANNER_FINISH_PLAN,
  RESOLVE_DATA,
  COMMIT_TENSOR
} place;

typedef struct fault_case {
  place where;
  int coordinator;
  unsigned bad; /* a bit a rank */
  const char* step;
} fault_case;

#define RANK(n) (1u << (n))
static const fault_case save_cases[] = {
    {NOWHERE, 0, 0, NULL},
    {NOWHERE, 2, 0, NULL},
    {WRITER_SET_UP, 0, RANK(0), "plan"},
    {WRITER_GLOBAL_PLAN, 0, RANK(0), "plan"},
    {WRITER_LOCAL_PLAN, 0, RANK(0), "plan"},
    {WRITE_DATA, 0, RANK(2), "write"},
    {WRITE_DATA_LATER, 0, RANK(3), "write"},
    {FINISH, 0, RANK(0), "write"},
    {WRITER_SET_UP, 1, RANK(1), "plan"},
    {FINISH, 1, RANK(1), "write"},
    /* Upstream's are those above; several ranks, and planners. */
    {WRITER_SET_UP, 2, RANK(0) | RANK(1) | RANK(3), "plan"},
    {WRITE_DATA, 3, RANK(0) | RANK(1) | RANK(2) | RANK(3), "write"},
    {WRITE_DATA_LATER, 1, RANK(1) | RANK(2), "write"},
    {PLANNER_SET_UP, 0, RANK(3), "plan"},
    {PLANNER_LOCAL_PLAN, 1, RANK(0) | RANK(2), "plan"},
    {PLANNER_GLOBAL_PLAN, 2, RANK(2), "plan"},
    {PLANNER_FINISH_PLAN, 0, RANK(1), "write"},
    {RESOLVE_DATA, 0, RANK(0) | RANK(3), "write"},
    {VALIDATE_ID, 0, RANK(1), "plan"},
    {ID_REFUSED, 1, RANK(2), "plan"},
    {ID_REFUSED, 0, RANK(0) | RANK(1) | RANK(2) | RANK(3), "plan"},
    {RESET, 3, RANK(0) | RANK(3), "plan"},
};
static const fault_case load_cases[] = {
    {NOWHERE, 0, 0, NULL},
    {NOWHERE, 3, 0, NULL},
    {READER_SET_UP, 0, RANK(0), "plan"},
    {READER_SET_UP, 3, RANK(0), "plan"},
    {READER_GLOBAL_PLAN, 0, RANK(0), "plan"},
    {READER_GLOBAL_PLAN, 1, RANK(1), "plan"},
    {READ_METADATA, 0, RANK(0), "plan"},
    {READ_METADATA, 1, RANK(3), "plan"},
    {READER_LOCAL_PLAN, 0, RANK(1), "plan"},
    {READ_DATA, 0, RANK(3), "read"},
    {READ_DATA, 2, RANK(0), "read"},
    {READ_DATA_LATER, 0, RANK(1), "read"},
    {READ_DATA_LATER, 3, RANK(2), "read"},
    {READ_METADATA, 2, RANK(0) | RANK(1), "plan"},
    {READ_DATA, 1, RANK(0) | RANK(2) | RANK(3), "read"},
    {PLANNER_SET_UP, 0, RANK(2), "plan"},
    {PLANNER_LOCAL_PLAN, 3, RANK(0) | RANK(1), "plan"},
    {PLANNER_GLOBAL_PLAN, 1, RANK(1), "plan"},
    {PLANNER_FINISH_PLAN, 0, RANK(2), "read"},
    {COMMIT_TENSOR, 0, RANK(1) | RANK(3), "read"},
    {VALIDATE_ID, 2, RANK(0), "plan"},
    {ID_REFUSED, 0, RANK(3), "plan"},
    {ID_REFUSED, 1, RANK(0) | RANK(1) | RANK(2) | RANK(3), "plan"},
    {RESET, 0, RANK(1) | RANK(2), "plan"},
};
static const fault_case alone_saves[] = {
    {NOWHERE, 0, 0, NULL},
    {WRITER_SET_UP, 0, RANK(0), "plan"},
    {FINISH, 0, RANK(0), "write"},
    {WRITER_GLOBAL_PLAN, 0, RANK(0), "plan"},
    {WRITER_LOCAL_PLAN, 0, RANK(0), "plan"},
    {WRITE_DATA, 0, RANK(0), "write"},
    {WRITE_DATA_LATER, 0, RANK(0), "write"},
    {RESOLVE_DATA, 0, RANK(0), "write"},
    {VALIDATE_ID, 0, RANK(0), "plan"},
    {ID_REFUSED, 0, RANK(0), "plan"},
    {RESET, 0, RANK(0), "plan"},
};
static const fault_case alone_loads[] = {
    {NOWHERE, 0, 0, NULL},
    {READER_SET_UP, 0, RANK(0), "plan"},
    {READ_METADATA, 0, RANK(0), "plan"},
    {READER_LOCAL_PLAN, 0, RANK(0), "plan"},
    {READER_GLOBAL_PLAN, 0, RANK(0), "plan"},
    {READ_DATA, 0, RANK(0), "read"},
    {READ_DATA_LATER, 0, RANK(0), "read"},
    {COMMIT_TENSOR, 0, RANK(0), "read"},
    {VALIDATE_ID, 0, RANK(0), "plan"},
    {ID_REFUSED, 0, RANK(0), "plan"},
    {RESET, 0, RANK(0), "plan"},
};

/* One rank's matrix; also the user data of every table. */
typedef struct matrix {
  dcp_communicator* comm;
  int rank;
  int size;
  const fault_case* now;
  int calls[COMMIT_TENSOR + 1];
  int exception; /* its address stands for the host's own */
  char* wrong;
  size_t wrong_size;
  int failed;
} matrix;

static int fail(matrix* m, const char* format, ...) {
  if (m->failed) return 1;
  m->failed = 1;
  int used = snprintf(
      m->wrong, m->wrong_size, "rank %d of %d, failing in %d with coordinator %d: ", m->rank,
      m->size, m->now == NULL ? -1 : (int)m->now->where, m->now == NULL ? -1 : m->now->coordinator);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(m->wrong + used, m->wrong_size - (size_t)used, format, arguments);
  va_end(arguments);
  return 1;
}

static int is_bad(const matrix* m) { return (m->now->bad & RANK(m->rank)) != 0; }

static dcp_error* fault_of(matrix* m) {
  char text[64];
  snprintf(text, sizeof text, "rank fail %d", m->rank);
  dcp_error* error = dcp_error_new(DCP_INVALID_ARGUMENT, text);
  dcp_error_set_foreign(error, &m->exception, NULL, NULL);
  return error;
}

/* What a callback at `where` returns. */
static dcp_status at(void* user_data, place where, dcp_error** error) {
  matrix* m = user_data;
  m->calls[where]++;
  if (m->now->where != where || !is_bad(m)) return DCP_OK;
  *error = fault_of(m);
  return DCP_INVALID_ARGUMENT;
}

/* ---- how both storages begin ---- */

static const char id[] = "step-7";

static dcp_status validate_id(void* user, const char* given, int32_t* valid, dcp_error** error) {
  matrix* m = user;
  if (*valid != 1 || strcmp(given, id) != 0) fail(m, "asked about the id '%s'", given);
  *valid = m->now->where != ID_REFUSED || !is_bad(m);
  return at(user, VALIDATE_ID, error);
}

static dcp_status reset(void* user, const char* given, dcp_error** error) {
  matrix* m = user;
  if (m->calls[VALIDATE_ID] != (given != NULL)) fail(m, "reset before the id was looked at");
  if (given != NULL && strcmp(given, id) != 0) fail(m, "reset with the id '%s'", given);
  return at(user, RESET, error);
}

/* The id of a run; some have none. */
static const char* id_of(const fault_case* now) {
  return now->where == NOWHERE && now->coordinator != 0 ? NULL : id;
}

/* ---- the storage writer ---- */

static dcp_status writer_set_up(void* user, int32_t rank, int32_t world_size, int32_t coordinator,
                                int32_t use_collectives, dcp_error** error) {
  matrix* m = user;
  if (rank != m->rank || world_size != m->size || !use_collectives ||
      coordinator != (rank == m->now->coordinator)) {
    fail(m, "set up as rank %d of %d", rank, world_size);
  }
  return at(user, WRITER_SET_UP, error);
}

static dcp_status writer_local(void* user, dcp_save_plan* plan, dcp_error** error) {
  matrix* m = user;
  if (dcp_save_plan_set_data(plan, &m->rank, sizeof m->rank, error) != DCP_OK) return DCP_INTERNAL;
  return at(user, WRITER_LOCAL_PLAN, error);
}

/* Each rank gets back what it said, plus one. */
static dcp_status writer_global(void* user, dcp_save_plans* plans, dcp_error** error) {
  matrix* m = user;
  if (dcp_save_plans_count(plans) != (size_t)m->size) fail(m, "plans of other ranks are missing");
  for (size_t i = 0; i < dcp_save_plans_count(plans); i++) {
    dcp_save_plan* plan = dcp_save_plans_at(plans, i);
    size_t size = 0;
    int said = -1;
    const void* data = dcp_save_plan_data(plan, &size);
    if (size == sizeof said) memcpy(&said, data, size);
    if (said != (int)i) fail(m, "rank %zu said %d of its plan", i, said);
    said++;
    dcp_save_plan_set_data(plan, &said, sizeof said, NULL);
  }
  return at(user, WRITER_GLOBAL_PLAN, error);
}

typedef struct later {
  matrix* m;
  dcp_completion* completion;
  int fails;
} later;

static void* end_later(void* argument) {
  later* work = argument;
  dcp_completion_still_here(work->completion);
  if (work->fails) {
    dcp_completion_fail(work->completion, fault_of(work->m));
  } else {
    dcp_completion_succeed(work->completion, &work->m->rank, sizeof work->m->rank);
  }
  dcp_completion_free(work->completion);
  free(work);
  return NULL;
}

/* Ends it on a thread of its own. */
static void start(matrix* m, dcp_completion* completion, place where) {
  later* work = malloc(sizeof *work);
  pthread_t thread;
  *work = (later){m, completion, m->now->where == where && is_bad(m)};
  m->calls[where]++;
  if (pthread_create(&thread, NULL, end_later, work) != 0) abort();
  pthread_detach(thread);
}

static dcp_status count_bytes(void* sink, const void* data, size_t size) {
  (void)data;
  *(size_t*)sink += size;
  return DCP_OK;
}

static dcp_status write_data(void* user, const dcp_write_request* request,
                             dcp_completion* completion, dcp_error** error) {
  matrix* m = user;
  const dcp_save_plan* plan = dcp_write_request_plan(request);
  dcp_status status = at(user, WRITE_DATA, error);
  int said = -1;
  size_t size = 0;
  const void* data = dcp_save_plan_data(plan, &size);
  if (size == sizeof said) memcpy(&said, data, size);
  if (said != m->rank + 1) fail(m, "the coordinator said %d of the plan", said);
  for (size_t i = 0; status == DCP_OK && i < dcp_save_plan_count(plan); i++) {
    size_t bytes = 0;
    status = dcp_write_request_encode(request, i, count_bytes, &bytes, error);
    if (status == DCP_OK && bytes < 100) fail(m, "an item of %zu bytes", bytes);
  }
  if (status != DCP_OK) {
    dcp_completion_free(completion);
    return status;
  }
  start(m, completion, WRITE_DATA_LATER);
  return DCP_OK;
}

static dcp_status finish(void* user, dcp_metadata* metadata, const dcp_buffers* results,
                         dcp_error** error) {
  matrix* m = user;
  if (dcp_buffers_count(results) != (size_t)m->size) fail(m, "results of ranks are missing");
  for (size_t i = 0; i < dcp_buffers_count(results); i++) {
    size_t size = 0;
    int said = -1;
    const void* data = dcp_buffers_at(results, i, &size);
    if (size == sizeof said) memcpy(&said, data, size);
    if (said != (int)i) fail(m, "rank %zu brought %d", i, said);
    dcp_status placed = dcp_metadata_place(metadata, (int32_t)i, 0, "all", i * 1000, 1000, error);
    if (placed != DCP_OK) return placed;
  }
  dcp_value* bytes = NULL;
  dcp_status status = dcp_metadata_encode(metadata, DCP_DIALECT_DEFAULT, &bytes, error);
  dcp_value_free(bytes);
  return status == DCP_OK ? at(user, FINISH, error) : status;
}

/* ---- planners ---- */

static dcp_status save_planner_set_up(void* user, const dcp_value* state, int32_t coordinator,
                                      dcp_error** error) {
  matrix* m = user;
  if (dcp_value_kind_of(state) != DCP_VALUE_DICT || dcp_value_count(state) != 2 ||
      coordinator != (m->rank == m->now->coordinator)) {
    fail(m, "the planner was set up with another state");
  }
  return at(user, PLANNER_SET_UP, error);
}

static dcp_status save_planner_local(void* user, dcp_save_plan* plan, dcp_error** error) {
  matrix* m = user;
  if (dcp_save_plan_count(plan) != 0) fail(m, "a plan that is not empty");
  dcp_status status = dcp_save_plan_standard(plan, error);
  return status == DCP_OK ? at(user, PLANNER_LOCAL_PLAN, error) : status;
}

static dcp_status save_planner_global(void* user, dcp_save_plans* plans, dcp_error** error) {
  dcp_status status = dcp_save_plans_dedup(plans, 1, error);
  return status == DCP_OK ? at(user, PLANNER_GLOBAL_PLAN, error) : status;
}

static dcp_status save_planner_finish(void* user, dcp_save_plan* plan, dcp_error** error) {
  (void)plan;
  return at(user, PLANNER_FINISH_PLAN, error);
}

static dcp_status save_planner_transform(void* user, const dcp_write_item* item,
                                         const dcp_value* object, dcp_value** out,
                                         dcp_error** error) {
  dcp_status status = at(user, RESOLVE_DATA, error);
  if (status != DCP_OK) return status;
  dcp_tensor* tensor = NULL;
  if (item->kind == DCP_WRITE_BYTES) return dcp_value_int(7, out, error);
  status = dcp_value_get_tensor(object, 0, &tensor, error);
  if (status == DCP_OK) status = dcp_value_tensor(DCP_VALUE_TENSOR, tensor, out, error);
  dcp_tensor_free(tensor);
  return status;
}

static dcp_status load_planner_set_up(void* user, const dcp_value* state,
                                      const dcp_metadata* metadata, int32_t coordinator,
                                      dcp_error** error) {
  matrix* m = user;
  if (dcp_value_count(state) != 1 || dcp_metadata_count(metadata) != 1 ||
      coordinator != (m->rank == m->now->coordinator)) {
    fail(m, "the planner was set up with another state");
  }
  return at(user, PLANNER_SET_UP, error);
}

static dcp_status load_planner_local(void* user, dcp_load_plan* plan, dcp_error** error) {
  dcp_status status = dcp_load_plan_standard(plan, error);
  return status == DCP_OK ? at(user, PLANNER_LOCAL_PLAN, error) : status;
}

static dcp_status load_planner_global(void* user, dcp_load_plans* plans, dcp_error** error) {
  matrix* m = user;
  if (dcp_load_plans_count(plans) != (size_t)m->size) fail(m, "plans of other ranks are missing");
  return at(user, PLANNER_GLOBAL_PLAN, error);
}

static dcp_status load_planner_finish(void* user, dcp_load_plan* plan, dcp_error** error) {
  (void)plan;
  return at(user, PLANNER_FINISH_PLAN, error);
}

static dcp_status load_planner_commit(void* user, const dcp_load_plan* plan, size_t item,
                                      const dcp_tensor* tensor, dcp_error** error) {
  (void)plan, (void)item, (void)tensor;
  return at(user, COMMIT_TENSOR, error);
}

/* ---- the storage reader ---- */

static dcp_status read_metadata(void* user, dcp_metadata** out, dcp_error** error) {
  const int64_t sizes[2] = {ROWS, COLUMNS}, offsets[2] = {0, 0};
  dcp_save_plan* plan = NULL;
  dcp_write_item item = {0};
  item.struct_size = sizeof item;
  item.kind = DCP_WRITE_TENSOR;
  item.name = "weight";
  item.name_size = 6;
  item.dtype = DCP_FLOAT32;
  item.ndim = 2;
  item.global_sizes = item.sizes = sizes;
  item.offsets = offsets;
  item.source = -1;
  dcp_status status = at(user, READ_METADATA, error);
  if (status == DCP_OK) status = dcp_save_plan_new(&plan, error);
  if (status == DCP_OK) status = dcp_save_plan_add(plan, &item, error);
  if (status == DCP_OK) status = dcp_metadata_of_plan(plan, out, error);
  if (status == DCP_OK) status = dcp_metadata_place(*out, 0, 0, "all", 0, 1000, error);
  dcp_save_plan_free(plan);
  return status;
}

static dcp_status reader_set_up(void* user, const dcp_metadata* metadata, int32_t rank,
                                int32_t world_size, int32_t coordinator, dcp_error** error) {
  matrix* m = user;
  if (rank != m->rank || world_size != m->size || dcp_metadata_count(metadata) != 1 ||
      coordinator != (rank == m->now->coordinator)) {
    fail(m, "set up as rank %d of %d", rank, world_size);
  }
  return at(user, READER_SET_UP, error);
}

static dcp_status reader_local(void* user, dcp_load_plan* plan, dcp_error** error) {
  matrix* m = user;
  dcp_load_plan_set_data(plan, &m->rank, sizeof m->rank, NULL);
  return at(user, READER_LOCAL_PLAN, error);
}

static dcp_status reader_global(void* user, dcp_load_plans* plans, dcp_error** error) {
  matrix* m = user;
  for (size_t i = 0; i < dcp_load_plans_count(plans); i++) {
    size_t size = 0;
    int said = -1;
    const void* data = dcp_load_plan_data(dcp_load_plans_at(plans, i), &size);
    if (size == sizeof said) memcpy(&said, data, size);
    if (said != (int)i) fail(m, "rank %zu said %d of its plan", i, said);
  }
  return at(user, READER_GLOBAL_PLAN, error);
}

static dcp_status read_data(void* user, dcp_read_request* request, dcp_completion* completion,
                            dcp_error** error) {
  matrix* m = user;
  const dcp_load_plan* plan = dcp_read_request_plan(request);
  dcp_status status = at(user, READ_DATA, error);
  for (size_t i = 0; status == DCP_OK && i < dcp_load_plan_count(plan); i++) {
    dcp_tensor* tensor = NULL;
    dcp_tensor_view view;
    view.struct_size = sizeof view;
    status = dcp_read_request_tensor(request, i, &tensor, error);
    if (status != DCP_OK) break;
    dcp_tensor_get_view(tensor, &view, NULL);
    for (int n = 0; n < ROWS * COLUMNS; n++) ((float*)view.data)[n] = (float)n;
    dcp_tensor_free(tensor);
    status = dcp_read_request_commit(request, i, error);
  }
  if (status != DCP_OK) {
    dcp_completion_free(completion);
    return status;
  }
  start(m, completion, READ_DATA_LATER);
  return DCP_OK;
}

/* ---- what came out ---- */

static void check_outcome(matrix* m, dcp_status status, dcp_error* error) {
  const fault_case* now = m->now;
  if (now->bad == 0) {
    if (status != DCP_OK) fail(m, "%s", error == NULL ? "failed" : dcp_error_message(error));
    dcp_error_free(error);
    return;
  }
  size_t bad = 0;
  for (int rank = 0; rank < m->size; rank++) bad += (now->bad >> rank) & 1;
  if (status != (m->size == 1 ? DCP_INVALID_ARGUMENT : DCP_RANK_FAILED) || error == NULL) {
    fail(m, "status %d: %s", status, error == NULL ? "" : dcp_error_message(error));
  } else if (dcp_error_rank_failure_count(error) != bad) {
    fail(m, "%zu failures of %zu: %s", dcp_error_rank_failure_count(error), bad,
         dcp_error_message(error));
  }
  for (size_t i = 0; !m->failed && i < bad; i++) {
    int32_t rank = -1;
    const char* step = NULL;
    char text[64];
    const dcp_error* failure = dcp_error_rank_failure(error, i, &rank, &step);
    snprintf(text, sizeof text, "rank fail %d", rank);
    if (now->where == ID_REFUSED) snprintf(text, sizeof text, "'%s' is no checkpoint id", id);
    if (rank < 0 || (now->bad >> rank & 1) == 0) {
      fail(m, "rank %d is named", rank);
    } else if (strcmp(step, now->step) != 0) {
      fail(m, "rank %d failed in '%s', not '%s'", rank, step, now->step);
    } else if (dcp_error_status(failure) != DCP_INVALID_ARGUMENT ||
               strstr(dcp_error_message(failure), text) == NULL) {
      fail(m, "rank %d failed with %d: %s", rank, dcp_error_status(failure),
           dcp_error_message(failure));
    } else if ((dcp_error_foreign(failure) == &m->exception) !=
               (rank == m->rank && now->where != ID_REFUSED)) {
      fail(m, "the exception of rank %d is %p here", rank, dcp_error_foreign(failure));
    }
  }
  dcp_error_free(error);
}

static dcp_state_dict* new_state(matrix* m, float* memory, int with_object) {
  const int64_t shape[2] = {ROWS, COLUMNS};
  dcp_tensor_view view = {0};
  dcp_state_dict* state = NULL;
  view.struct_size = sizeof view;
  view.dtype = DCP_FLOAT32;
  view.ndim = 2;
  view.data = memory;
  view.shape = shape;
  if (with_object) {
    /* Each rank has a shard, so that each has something to write. */
    dcp_tensor* tensor = NULL;
    dcp_value* shard = NULL;
    dcp_value* number = NULL;
    const int64_t whole[2] = {(int64_t)ROWS * m->size, COLUMNS};
    const int64_t offsets[2] = {(int64_t)ROWS * m->rank, 0};
    dcp_tensor_new(&view, NULL, NULL, &tensor, NULL);
    dcp_value_sharded_tensor(DCP_FLOAT32, 2, whole, (const dcp_tensor* const*)&tensor, offsets, 1,
                             &shard, NULL);
    dcp_value_int(3, &number, NULL);
    dcp_state_dict_new(&state, NULL);
    dcp_state_dict_set(state, "weight", 6, shard, NULL);
    dcp_state_dict_set(state, "step", 4, number, NULL);
    dcp_value_free(number);
    dcp_value_free(shard);
    dcp_tensor_free(tensor);
  } else {
    dcp_state_dict_new(&state, NULL);
    dcp_state_dict_set_tensor(state, "weight", 6, &view, NULL);
  }
  return state;
}

static int with_planner(const fault_case* now) { return now->where >= PLANNER_SET_UP; }

static void run_save(matrix* m, const fault_case* now, int in_background) {
  float memory[ROWS * COLUMNS] = {0};
  dcp_storage_writer* writer = NULL;
  dcp_save_planner* planner = NULL;
  dcp_error* error = NULL;
  dcp_save_options options;
  dcp_storage_writer_table table = {0};
  dcp_save_planner_table planner_table = {0};
  m->now = now;
  memset(m->calls, 0, sizeof m->calls);
  table.struct_size = sizeof table;
  table.validate_id = validate_id;
  table.reset = reset;
  table.set_up = writer_set_up;
  table.prepare_local_plan = writer_local;
  table.prepare_global_plan = writer_global;
  table.write_data = write_data;
  table.finish = finish;
  planner_table.struct_size = sizeof planner_table;
  planner_table.set_up = save_planner_set_up;
  planner_table.create_local_plan = save_planner_local;
  planner_table.create_global_plan = save_planner_global;
  planner_table.finish_plan = save_planner_finish;
  planner_table.transform_object = save_planner_transform;
  dcp_storage_writer_new(&table, m, "nowhere", &writer, NULL);
  dcp_save_planner_new(&planner_table, m, &planner, NULL);
  dcp_save_options_init(&options, sizeof options);
  options.communicator = m->comm;
  options.coordinator = now->coordinator;
  options.timeout_ms = TIMEOUT_MS;
  options.storage_writer = writer;
  options.checkpoint_id = id_of(now);
  options.planner = with_planner(now) ? planner : NULL;
  dcp_state_dict* state = new_state(m, memory, 1);
  dcp_status status;
  if (in_background) {
    dcp_future* future = NULL;
    status = dcp_save_async(NULL, NULL, state, &options, &future, &error);
    if (status == DCP_OK) status = dcp_future_wait(future, -1, NULL, &error);
    dcp_future_free(future);
  } else {
    status = dcp_save(NULL, NULL, state, &options, NULL, &error);
  }
  check_outcome(m, status, error);
  const int coordinator = m->rank == now->coordinator;
  if (now->bad == 0 &&
      (m->calls[WRITER_SET_UP] != 1 || m->calls[WRITE_DATA] != 1 ||
       m->calls[WRITER_GLOBAL_PLAN] != coordinator || m->calls[FINISH] != coordinator)) {
    fail(m, "a role was called too often, or not at all");
  }
  if (now->bad != 0 && now->where != FINISH && m->calls[FINISH] != 0) fail(m, "it was finished");
  if (now->where == ID_REFUSED && is_bad(m) && m->calls[RESET] + m->calls[WRITE_DATA] != 0) {
    fail(m, "it went on with an id that was refused");
  }
  dcp_state_dict_free(state);
  dcp_save_planner_free(planner);
  dcp_storage_writer_free(writer);
}

static void run_load(matrix* m, const fault_case* now) {
  float memory[ROWS * COLUMNS] = {0};
  dcp_storage_reader* reader = NULL;
  dcp_load_planner* planner = NULL;
  dcp_error* error = NULL;
  dcp_load_options options;
  dcp_storage_reader_table table = {0};
  dcp_load_planner_table planner_table = {0};
  m->now = now;
  memset(m->calls, 0, sizeof m->calls);
  table.struct_size = sizeof table;
  table.validate_id = validate_id;
  table.reset = reset;
  table.read_metadata = read_metadata;
  table.set_up = reader_set_up;
  table.prepare_local_plan = reader_local;
  table.prepare_global_plan = reader_global;
  table.read_data = read_data;
  planner_table.struct_size = sizeof planner_table;
  planner_table.set_up = load_planner_set_up;
  planner_table.create_local_plan = load_planner_local;
  planner_table.create_global_plan = load_planner_global;
  planner_table.finish_plan = load_planner_finish;
  planner_table.commit_tensor = load_planner_commit;
  dcp_storage_reader_new(&table, m, "nowhere", &reader, NULL);
  dcp_load_planner_new(&planner_table, m, &planner, NULL);
  dcp_load_options_init(&options, sizeof options);
  options.communicator = m->comm;
  options.coordinator = now->coordinator;
  options.timeout_ms = TIMEOUT_MS;
  options.storage_reader = reader;
  options.checkpoint_id = id_of(now);
  options.planner = with_planner(now) ? planner : NULL;
  dcp_state_dict* state = new_state(m, memory, 0);
  dcp_status status = dcp_load(NULL, NULL, state, &options, NULL, &error);
  check_outcome(m, status, error);
  if (now->where == ID_REFUSED && is_bad(m) && m->calls[RESET] + m->calls[READ_METADATA] != 0) {
    fail(m, "it went on with an id that was refused");
  }
  for (int n = 0; now->bad == 0 && n < ROWS * COLUMNS; n++) {
    if (memory[n] != (float)n) {
      fail(m, "element %d was not loaded", n);
      break;
    }
  }
  dcp_state_dict_free(state);
  dcp_load_planner_free(planner);
  dcp_storage_reader_free(reader);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int fault_matrix(dcp_communicator* comm, int* runs, char* wrong, size_t wrong_size) {
  matrix m = {0};
  m.comm = comm;
  m.rank = dcp_communicator_rank(comm);
  m.size = dcp_communicator_world_size(comm);
  m.wrong = wrong;
  m.wrong_size = wrong_size;
  *runs = 0;
  if (m.size != 1 && m.size != 4) return fail(&m, "the matrix is for 1 or 4 ranks");
  const int alone = m.size == 1;
  const fault_case* saves = alone ? alone_saves : save_cases;
  const fault_case* loads = alone ? alone_loads : load_cases;
  const size_t save_count = alone ? COUNT(alone_saves) : COUNT(save_cases);
  const size_t load_count = alone ? COUNT(alone_loads) : COUNT(load_cases);
  for (int in_background = 0; in_background <= 1; in_background++) {
    for (size_t i = 0; i < save_count; i++, ++*runs) run_save(&m, &saves[i], in_background);
  }
  for (size_t i = 0; i < load_count; i++, ++*runs) run_load(&m, &loads[i]);
  return m.failed;
}
