/* Rank-local checkpoints through dcp.h: the order of a save, failures of callbacks, ranks that do
 * not come, reading into a target, checkpointers, barriers by name. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_storage.h"
#include "support.h"

enum { RANKS = 3 };
static const int64_t shape[2] = {3, 4};

/* What hook and barrier were called for, "b1000" being a barrier of that timeout. */
typedef struct recorder {
  char lines[256];
  const char* fail; /* the call that fails; NULL none */
  void* payload;    /* of that failure */
  int released;
  int destroyed;
} recorder;

static void note(recorder* r, const char* what) {
  snprintf(r->lines + strlen(r->lines), sizeof r->lines - strlen(r->lines), "%s ", what);
}

static void release_payload(void* payload) {
  __atomic_add_fetch(&((recorder*)payload)->released, 1, __ATOMIC_SEQ_CST);
}

static dcp_status outcome(recorder* r, const char* call, dcp_error** error) {
  if (r->fail == NULL || strcmp(r->fail, call) != 0) return DCP_OK;
  if (error != NULL) {
    *error = dcp_error_new(DCP_CALLBACK, "not today");
    dcp_error_set_foreign(*error, r->payload, NULL, release_payload);
  }
  return DCP_CALLBACK;
}

static dcp_status record_hook(recorder* r, const char* call, const char* path,
                              const dcp_value* extra, dcp_error** problem) {
  const char* text = "-";
  size_t size = 1;
  char line[64];
  if (extra != NULL) OK(dcp_value_get_text(extra, &text, &size, &error));
  snprintf(line, sizeof line, "%s(%s,%.*s)", call, path, (int)size, text);
  note(r, line);
  return outcome(r, call, problem);
}

static dcp_status on_pre(void* self, const char* path, const dcp_value* extra, dcp_error** error) {
  return record_hook(self, "pre", path, extra, error);
}

static dcp_status on_post(void* self, const char* path, const dcp_value* extra, dcp_error** error) {
  return record_hook(self, "post", path, extra, error);
}

static dcp_status on_barrier(void* self, int64_t timeout_ms, dcp_error** error) {
  char line[64];
  snprintf(line, sizeof line, "b%lld", (long long)timeout_ms);
  note(self, line);
  return outcome(self, "barrier", error);
}

static void on_destroy(void* self) {
  __atomic_add_fetch(&((recorder*)self)->destroyed, 1, __ATOMIC_SEQ_CST);
}

static dcp_commit_hook* hook_of(recorder* r) {
  dcp_commit_hook_table table = {0};
  dcp_commit_hook* hook = NULL;
  table.struct_size = sizeof table;
  table.pre_commit = on_pre;
  table.post_commit = on_post;
  table.destroy = on_destroy;
  OK(dcp_commit_hook_new(&table, r, &hook, &error));
  return hook;
}

static dcp_barrier* barrier_of(recorder* r) {
  dcp_barrier_table table = {0};
  dcp_barrier* barrier = NULL;
  table.struct_size = sizeof table;
  table.execute = on_barrier;
  table.destroy = on_destroy;
  OK(dcp_barrier_new(&table, r, &barrier, &error));
  return barrier;
}

static dcp_value* text_value(const char* text) {
  dcp_value* value = NULL;
  OK(dcp_value_text(DCP_VALUE_STRING, text, strlen(text), &value, &error));
  return value;
}

/* {"weight": 3 x 4 floats from `first` on, "step": step} */
static dcp_value* state_of(float* data, float first, int64_t step) {
  dcp_state_dict* state = NULL;
  dcp_value* value = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, 2, shape, data);
  for (int i = 0; i < 12; ++i) data[i] = first + (float)i;
  OK(dcp_state_dict_new(&state, &error));
  set_tensor(state, "weight", &view);
  set_int(state, "step", step);
  OK(dcp_state_dict_to_value(state, &value, &error));
  dcp_state_dict_free(state);
  return value;
}

static int64_t step_of(const dcp_value* value) {
  dcp_value* step = NULL;
  int64_t number = -1;
  OK(dcp_value_find(value, "step", 4, &step, &error));
  OK(dcp_value_get_int(step, &number, &error));
  dcp_value_free(step);
  return number;
}

/* The step in rank's file; -1 without one. */
static int64_t step_in(const dcp_storage* storage, int32_t rank) {
  dcp_rank_reader* reader = NULL;
  dcp_value* value = NULL;
  dcp_error* problem = NULL;
  int64_t step = -1;
  dcp_status status;
  OK(dcp_rank_reader_new(rank, RANKS, &reader, &error));
  status = dcp_rank_reader_read(reader, storage, NULL, &value, NULL, &problem);
  if (status == DCP_OK) step = step_of(value);
  if (status != DCP_OK) assert_int_equal(status, DCP_NOT_FOUND);
  dcp_error_free(problem);
  dcp_value_free(value);
  dcp_rank_reader_free(reader);
  return step;
}

static void the_order_of_a_write(void** unused) {
  recorder r = {0};
  float data[12];
  dcp_storage* storage = NULL;
  dcp_rank_writer* writer = NULL;
  dcp_rank_writer_options options;
  dcp_save_report* report = NULL;
  dcp_value *extra = text_value("value"), *state = state_of(data, 0, 7);
  (void)unused;
  OK(dcp_storage_memory(&storage, &error));
  dcp_rank_writer_options_init(&options, sizeof options);
  assert_int_equal(options.rank, 0);
  assert_int_equal(options.world_size, 1);
  assert_int_equal(options.durable, 1);
  assert_true(options.barrier_timeout_secs == 600);
  options.rank = 1;
  options.world_size = RANKS;
  options.barrier_timeout_secs = 300;
  options.barrier = barrier_of(&r);
  options.commit_hook = hook_of(&r);
  OK(dcp_rank_writer_new(NULL, &options, &writer, &error));
  dcp_barrier_free(options.barrier); /* counted: these stay with the writer */
  dcp_commit_hook_free(options.commit_hook);
  OK(dcp_rank_writer_write(writer, storage, state, extra, NULL, &report, &error));
  assert_string_equal(r.lines, "pre(memory://,value) b300000 post(memory://,value) ");
  assert_int_equal(dcp_save_report_items(report), 1);
  assert_true(dcp_save_report_bytes(report) > sizeof data);
  dcp_save_report_free(report);
  assert_int_equal(step_in(storage, 1), 7);
  assert_int_equal(step_in(storage, 0), -1);

  assert_int_equal(r.destroyed, 0);
  OK(dcp_rank_writer_close(writer, &error));
  OK(dcp_rank_writer_close(writer, &error));
  assert_int_equal(r.destroyed, 2);
  FAILS(DCP_INVALID_ARGUMENT, "closed",
        dcp_rank_writer_write(writer, storage, state, NULL, NULL, NULL, &error));
  dcp_rank_writer_free(writer);
  dcp_value_free(extra);
  dcp_value_free(state);
  dcp_storage_free(storage);
}

static void a_failure_ends_the_write(void** unused) {
  static const struct {
    const char *fail, *step, *lines;
  } cases[] = {{"pre", "pre_commit", "pre(memory://,-) "},
               {"barrier", "barrier", "pre(memory://,-) b600000 "},
               {"post", "post_commit", "pre(memory://,-) b600000 post(memory://,-) "}};
  float data[12];
  dcp_value* state = state_of(data, 0, 7);
  (void)unused;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    recorder r = {0};
    dcp_storage* storage = NULL;
    dcp_rank_writer* writer = NULL;
    dcp_rank_writer_options options;
    dcp_error *problem = NULL, *again = NULL;
    r.fail = cases[i].fail;
    r.payload = &r;
    OK(dcp_storage_memory(&storage, &error));
    dcp_rank_writer_options_init(&options, sizeof options);
    options.barrier = barrier_of(&r);
    options.commit_hook = hook_of(&r);
    OK(dcp_rank_writer_new(NULL, &options, &writer, &error));
    assert_int_equal(dcp_rank_writer_write(writer, storage, state, NULL, NULL, NULL, &problem),
                     DCP_CALLBACK);
    assert_string_equal(r.lines, cases[i].lines);
    assert_string_equal(dcp_error_detail(problem, "step"), cases[i].step);
    assert_ptr_equal(dcp_error_foreign(problem), &r);
    again = dcp_error_copy(problem);
    dcp_error_free(problem);
    assert_int_equal(r.released, 0);
    dcp_error_free(again);
    assert_int_equal(r.released, 1);
    dcp_barrier_free(options.barrier);
    dcp_commit_hook_free(options.commit_hook);
    dcp_rank_writer_free(writer);
    dcp_storage_free(storage);
  }
  dcp_value_free(state);
}

/* A store of the caller's that fails: nobody is called, and the older file stays. */
static void nothing_is_called_before_the_file_is_whole(void** unused) {
  memory_storage s = {0};
  dcp_storage_table table;
  dcp_storage* storage = NULL;
  recorder r = {0};
  float data[12];
  dcp_rank_writer* writer = NULL;
  dcp_rank_writer_options options;
  dcp_value* state = state_of(data, 0, 7);
  int whole = 0;
  (void)unused;
  memory_storage_table(&table);
  OK(dcp_storage_new(&table, &s, "m", &storage, &error));
  dcp_rank_writer_options_init(&options, sizeof options);
  options.commit_hook = hook_of(&r);
  OK(dcp_rank_writer_new(NULL, &options, &writer, &error));
  OK(dcp_rank_writer_write(writer, storage, state, NULL, NULL, NULL, &error));
  dcp_value_free(state);
  state = state_of(data, 0, 8);
  for (int at = 1; !whole; ++at) {
    dcp_error* problem = NULL;
    dcp_status status;
    s.calls = 0;
    s.fail_at = at;
    s.fail_with = DCP_IO;
    r.lines[0] = '\0';
    status = dcp_rank_writer_write(writer, storage, state, NULL, NULL, NULL, &problem);
    s.fail_at = 0;
    whole = status == DCP_OK;
    if (whole) {
      assert_true(at > 4); /* all its steps failed once */
      assert_string_equal(r.lines, "pre(m,-) post(m,-) ");
    } else {
      assert_int_equal(status, DCP_IO);
      assert_string_equal(dcp_error_detail(problem, "step"), "write");
      assert_string_equal(r.lines, "");
      assert_true(step_in(storage, 0) >= 7);
    }
    assert_int_equal(s.live_files, 0);
    assert_int_equal(memory_storage_count(&s), 1);
    dcp_error_free(problem);
  }
  assert_int_equal(step_in(storage, 0), 8);
  dcp_rank_writer_free(writer);
  dcp_commit_hook_free(options.commit_hook);
  dcp_value_free(state);
  dcp_storage_free(storage);
  assert_int_equal(memory_storage_destroyed(&s), 1);
  memory_storage_clear(&s);
}

typedef struct rank_thread {
  pthread_t thread;
  dcp_communicator* comm;
  dcp_storage* storage;
  recorder r;
  dcp_status status;
  dcp_error* error;
} rank_thread;

static void* write_as_rank(void* opaque) {
  rank_thread* me = opaque;
  float data[12];
  dcp_rank_writer* writer = NULL;
  dcp_rank_writer_options options;
  dcp_value* state;
  dcp_rank_writer_options_init(&options, sizeof options);
  options.rank = dcp_communicator_rank(me->comm);
  options.world_size = RANKS;
  options.barrier_timeout_secs = 1;
  options.commit_hook = hook_of(&me->r);
  OK(dcp_barrier_from_communicator(me->comm, &options.barrier, &error));
  OK(dcp_rank_writer_new(NULL, &options, &writer, &error));
  state = state_of(data, 0, options.rank);
  me->status = dcp_rank_writer_write(writer, me->storage, state, NULL, NULL, NULL, &me->error);
  dcp_value_free(state);
  dcp_rank_writer_free(writer);
  dcp_barrier_free(options.barrier);
  dcp_commit_hook_free(options.commit_hook);
  return NULL;
}

static void ranks_meet_or_are_named(void** unused) {
  (void)unused;
  for (int32_t absent = -1; absent < RANKS; ++absent) {
    dcp_communicator* comms[RANKS];
    dcp_storage* storage = NULL;
    rank_thread ranks[RANKS];
    memset(ranks, 0, sizeof ranks);
    OK(dcp_storage_memory(&storage, &error));
    OK(dcp_communicator_local(RANKS, comms, &error));
    for (int32_t rank = 0; rank < RANKS; ++rank) {
      ranks[rank].comm = comms[rank];
      ranks[rank].storage = storage;
      if (rank == absent) continue;
      assert_int_equal(pthread_create(&ranks[rank].thread, NULL, write_as_rank, &ranks[rank]), 0);
    }
    for (int32_t rank = 0; rank < RANKS; ++rank) {
      int32_t named = -1;
      if (rank == absent) continue;
      pthread_join(ranks[rank].thread, NULL);
      assert_int_equal(step_in(storage, rank), rank);
      if (absent < 0) {
        OK((error = ranks[rank].error, ranks[rank].status));
        assert_string_equal(ranks[rank].r.lines, "pre(memory://,-) post(memory://,-) ");
      } else {
        assert_int_equal(ranks[rank].status, DCP_TIMEOUT);
        assert_string_equal(dcp_error_detail(ranks[rank].error, "step"), "barrier");
        assert_int_equal(dcp_error_rank_failure_count(ranks[rank].error), 1);
        assert_non_null(dcp_error_rank_failure(ranks[rank].error, 0, &named, NULL));
        assert_int_equal(named, absent);
        assert_string_equal(ranks[rank].r.lines, "pre(memory://,-) ");
        dcp_error_free(ranks[rank].error);
      }
    }
    for (int32_t rank = 0; rank < RANKS; ++rank) dcp_communicator_free(comms[rank]);
    dcp_storage_free(storage);
  }
}

/* {"weight": 3 x 4 in memory of 4 x 3, "absent": None, "step": None} */
static dcp_value* target_of(float* data) {
  static const int64_t strides[2] = {1, 3};
  dcp_state_dict* state = NULL;
  dcp_value *value = NULL, *none = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, 2, shape, data);
  view.strides = strides;
  OK(dcp_value_none(&none, &error));
  OK(dcp_state_dict_new(&state, &error));
  set_tensor(state, "weight", &view);
  OK(dcp_state_dict_set(state, "absent", 6, none, &error));
  OK(dcp_state_dict_set(state, "step", 4, none, &error));
  OK(dcp_state_dict_to_value(state, &value, &error));
  dcp_state_dict_free(state);
  dcp_value_free(none);
  return value;
}

static void into_a_target(void** unused) {
  static const int64_t other[1] = {12};
  float data[12], filled[12] = {0};
  dcp_storage* storage = NULL;
  dcp_rank_writer* writer = NULL;
  dcp_rank_reader* reader = NULL;
  dcp_value *state = state_of(data, 5, 7), *target = target_of(filled);
  dcp_value *out = NULL, *missing = NULL, *name = NULL;
  dcp_state_dict* wrong = NULL;
  dcp_tensor_view view = view_of(DCP_FLOAT32, 1, other, filled);
  const char* text = NULL;
  size_t size = 0;
  (void)unused;
  OK(dcp_storage_memory(&storage, &error));
  OK(dcp_rank_writer_new(NULL, NULL, &writer, &error));
  OK(dcp_rank_writer_write(writer, storage, state, NULL, NULL, NULL, &error));
  OK(dcp_rank_reader_new(0, 1, &reader, &error));
  OK(dcp_rank_reader_read(reader, storage, target, &out, &missing, &error));
  assert_int_equal(dcp_value_count(missing), 1);
  OK(dcp_value_at(missing, 0, &name, &error));
  OK(dcp_value_get_text(name, &text, &size, &error));
  assert_int_equal(size, 6);
  assert_memory_equal(text, "absent", 6);
  assert_int_equal(step_of(out), 7);
  assert_int_equal(dcp_value_count(out), 3);
  for (int row = 0; row < 3; ++row) {
    for (int column = 0; column < 4; ++column) {
      assert_true(filled[row + 3 * column] == data[4 * row + column]);
    }
  }
  dcp_value_free(name);
  dcp_value_free(missing);
  dcp_value_free(out);
  dcp_value_free(target);

  OK(dcp_state_dict_new(&wrong, &error));
  set_tensor(wrong, "weight", &view);
  OK(dcp_state_dict_to_value(wrong, &target, &error));
  FAILS(DCP_MISMATCH, "for key weight",
        dcp_rank_reader_read(reader, storage, target, &out, &missing, &error));
  assert_null(out);
  assert_null(missing);
  dcp_rank_reader_free(reader);
  FAILS(DCP_INVALID_ARGUMENT, "rank 3 of 3", dcp_rank_reader_new(3, 3, &reader, &error));
  dcp_value_free(target);
  dcp_state_dict_free(wrong);
  dcp_value_free(state);
  dcp_rank_writer_free(writer);
  dcp_storage_free(storage);
}

static dcp_checkpointer* checkpointer_of(recorder* r, int32_t asynchronous) {
  dcp_rank_writer_options writer;
  dcp_checkpointer_options options;
  dcp_checkpointer* made = NULL;
  dcp_rank_writer_options_init(&writer, sizeof writer);
  dcp_checkpointer_options_init(&options, sizeof options);
  assert_int_equal(options.asynchronous, 0);
  options.asynchronous = asynchronous;
  writer.barrier = barrier_of(r);
  OK(dcp_checkpointer_new(NULL, &writer, &options, &made, &error));
  dcp_barrier_free(writer.barrier);
  return made;
}

static void checkpointers_save_and_load(void** unused) {
  (void)unused;
  for (int32_t asynchronous = 0; asynchronous < 2; ++asynchronous) {
    recorder r = {0};
    float data[12], filled[12];
    dcp_storage* storage = NULL;
    dcp_checkpointer* checkpointer = checkpointer_of(&r, asynchronous);
    dcp_value *out = NULL, *missing = NULL, *target = target_of(filled);
    OK(dcp_storage_memory(&storage, &error));
    for (int64_t step = 1; step <= 3; ++step) {
      dcp_future* future = NULL;
      dcp_value* state = state_of(data, (float)step, step);
      OK(dcp_checkpointer_save(checkpointer, storage, state, NULL, NULL, &future, &error));
      assert_int_equal(future != NULL, asynchronous);
      for (int i = 0; i < 12; ++i) data[i] = -1;
      dcp_value_free(state);
      if (future != NULL) OK(dcp_future_wait(future, -1, NULL, &error));
      dcp_future_free(future);
      if (step == 2) OK(dcp_checkpointer_release_staging(checkpointer, &error));
      OK(dcp_checkpointer_load(checkpointer, storage, target, 0, &out, &missing, &error));
      assert_int_equal(step_of(out), step);
      assert_int_equal(dcp_value_count(missing), 1);
      assert_true(filled[3 * 2 + 1] == (float)(step + 4 * 1 + 2));
      dcp_value_free(out);
      dcp_value_free(missing);
    }
    FAILS(DCP_MISMATCH, "Checkpoint at memory:// is missing keys: ['absent']",
          dcp_checkpointer_load(checkpointer, storage, target, 1, &out, NULL, &error));
    assert_string_equal(r.lines, "b600000 b600000 b600000 ");
    OK(dcp_checkpointer_close(checkpointer, -1, &error));
    OK(dcp_checkpointer_close(checkpointer, -1, &error));
    FAILS(DCP_INVALID_ARGUMENT, "closed",
          dcp_checkpointer_save(checkpointer, storage, target, NULL, NULL, NULL, &error));
    dcp_checkpointer_free(checkpointer);
    dcp_value_free(target);
    dcp_storage_free(storage);
    assert_int_equal(r.destroyed, 1);
  }
}

static void failures_in_the_background_are_told(void** unused) {
  static recorder r; /* the saves' threads may let go of the payload after close */
  float data[12];
  dcp_storage *storage = NULL, *untouched = NULL;
  dcp_checkpointer* checkpointer = checkpointer_of(&r, 1);
  dcp_value* state = state_of(data, 0, 1);
  dcp_error* problem = NULL;
  (void)unused;
  r.fail = "barrier";
  r.payload = &r;
  OK(dcp_storage_memory(&storage, &error));
  OK(dcp_storage_memory(&untouched, &error));
  OK(dcp_checkpointer_save(checkpointer, storage, state, NULL, NULL, NULL, &error));
  assert_int_equal(
      dcp_checkpointer_save(checkpointer, untouched, state, NULL, NULL, NULL, &problem),
      DCP_CALLBACK);
  assert_ptr_equal(dcp_error_foreign(problem), &r);
  assert_non_null(strstr(dcp_error_message(problem), "the save before failed"));
  dcp_error_free(problem);
  assert_int_equal(step_in(untouched, 0), -1);
  OK(dcp_checkpointer_save(checkpointer, storage, state, NULL, NULL, NULL, &error));
  FAILS(DCP_CALLBACK, "not today", dcp_checkpointer_close(checkpointer, -1, &error));
  OK(dcp_checkpointer_close(checkpointer, -1, &error));
  dcp_checkpointer_free(checkpointer);
  dcp_value_free(state);
  dcp_storage_free(untouched);
  dcp_storage_free(storage);
}

/* ---- barriers by name ---- */

typedef struct factory {
  recorder* r;
  int give_nothing;
  int destroyed;
} factory;

static dcp_status make_barrier(void* self, const dcp_value* arguments, dcp_barrier** out,
                               dcp_error** error) {
  factory* f = self;
  (void)error;
  note(f->r, arguments == NULL ? "made" : "made-with");
  if (!f->give_nothing) *out = barrier_of(f->r);
  return DCP_OK;
}

static void destroy_factory(void* self) { ++((factory*)self)->destroyed; }

static dcp_value* local_arguments(int64_t rank, int64_t size) {
  dcp_value *keys[3], *values[3], *dict = NULL;
  keys[0] = text_value("group");
  keys[1] = text_value("global_rank");
  keys[2] = text_value("global_world_size");
  values[0] = text_value("trainers");
  OK(dcp_value_int(rank, &values[1], &error));
  OK(dcp_value_int(size, &values[2], &error));
  OK(dcp_value_dict(DCP_VALUE_DICT, (const dcp_value* const*)keys, (const dcp_value* const*)values,
                    3, &dict, &error));
  for (int i = 0; i < 3; ++i) {
    dcp_value_free(keys[i]);
    dcp_value_free(values[i]);
  }
  return dict;
}

static void barriers_by_name(void** unused) {
  recorder r = {0};
  factory f = {0}, late = {0};
  dcp_context* context = NULL;
  dcp_barrier_factory_table table = {0};
  dcp_barrier *barrier = NULL, *other = NULL;
  dcp_checkpointer_options options;
  dcp_checkpointer* checkpointer = NULL;
  dcp_value* arguments = local_arguments(0, 2);
  (void)unused;
  f.r = late.r = &r;
  OK(dcp_context_new(NULL, &context, &error));
  table.struct_size = sizeof table;
  table.make = make_barrier;
  table.destroy = destroy_factory;
  OK(dcp_context_register_barrier(context, "mine", &table, &f, &error));
  FAILS(DCP_ALREADY_EXISTS, "'mine'",
        dcp_context_register_barrier(context, "mine", &table, &late, &error));
  assert_int_equal(late.destroyed, 1);
  FAILS(DCP_ALREADY_EXISTS, "'single'",
        dcp_context_register_barrier(context, "single", &table, &late, &error));

  OK(dcp_barrier_from_config(context, "mine", arguments, &barrier, &error));
  OK(dcp_barrier_execute(barrier, 250, NULL, &error));
  assert_string_equal(r.lines, "made-with b250 ");
  dcp_barrier_free(barrier);
  f.give_nothing = 1;
  FAILS(DCP_CALLBACK, "no barrier",
        dcp_barrier_from_config(context, "mine", NULL, &barrier, &error));
  f.give_nothing = 0;
  assert_null(barrier);
  OK(dcp_barrier_from_config(context, NULL, NULL, &barrier, &error));
  assert_null(barrier);
  FAILS(DCP_INVALID_ARGUMENT,
        "Unknown barrier type: x. Available types: ['local', 'mine', 'single']",
        dcp_barrier_from_config(context, "x", NULL, &barrier, &error));
  FAILS(DCP_INVALID_ARGUMENT, "Available types: ['local', 'single']",
        dcp_barrier_from_config(NULL, "mine", NULL, &barrier, &error));
  FAILS(DCP_INVALID_ARGUMENT, "needs the argument 'group'",
        dcp_barrier_from_config(context, "local", NULL, &barrier, &error));
  FAILS(DCP_INVALID_ARGUMENT, "takes no argument",
        dcp_barrier_from_config(context, "single", arguments, &barrier, &error));
  OK(dcp_barrier_from_config(NULL, "single", NULL, &barrier, &error));
  OK(dcp_barrier_execute(barrier, 0, NULL, &error));
  dcp_barrier_free(barrier);

  /* A rank of a group once; the group's name again when all ranks were made. */
  for (int round = 0; round < 2; ++round) {
    dcp_value* second = local_arguments(1, 2);
    OK(dcp_barrier_from_config(context, "local", arguments, &barrier, &error));
    FAILS(DCP_ALREADY_EXISTS, "rank 0 of the group 'trainers'",
          dcp_barrier_from_config(context, "local", arguments, &other, &error));
    OK(dcp_barrier_from_config(context, "local", second, &other, &error));
    FAILS(DCP_TIMEOUT, "rank 1 of 2", dcp_barrier_execute(barrier, 50, NULL, &error));
    dcp_barrier_free(barrier);
    dcp_barrier_free(other);
    dcp_value_free(second);
  }

  dcp_checkpointer_options_init(&options, sizeof options);
  options.barrier_type = "mine";
  r.lines[0] = '\0';
  OK(dcp_checkpointer_new(context, NULL, &options, &checkpointer, &error));
  assert_string_equal(r.lines, "made ");
  options.barrier_type = "x";
  dcp_checkpointer_free(checkpointer);
  FAILS(DCP_INVALID_ARGUMENT, "Unknown barrier type: x",
        dcp_checkpointer_new(context, NULL, &options, &checkpointer, &error));
  dcp_value_free(arguments);
  dcp_context_free(context);
  assert_int_equal(f.destroyed, 1);
}

/* ---- what ends in time ---- */

typedef struct deaf_barrier {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int go;
} deaf_barrier;

static dcp_status deaf_execute(void* self, int64_t timeout_ms, dcp_error** error) {
  deaf_barrier* deaf = self;
  (void)timeout_ms;
  (void)error;
  pthread_mutex_lock(&deaf->mutex);
  while (!deaf->go) pthread_cond_wait(&deaf->changed, &deaf->mutex);
  pthread_mutex_unlock(&deaf->mutex);
  return DCP_OK;
}

static void deaf_destroy(void* self) {
  deaf_barrier* deaf = self;
  pthread_mutex_lock(&deaf->mutex);
  deaf->go = 2;
  pthread_cond_broadcast(&deaf->changed);
  pthread_mutex_unlock(&deaf->mutex);
}

static void a_deaf_barrier_is_left_behind(void** unused) {
  deaf_barrier deaf = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  dcp_barrier_table table = {0};
  dcp_barrier* barrier = NULL;
  dcp_cancel* cancel = dcp_cancel_new();
  (void)unused;
  table.struct_size = sizeof table;
  table.execute = deaf_execute;
  table.destroy = deaf_destroy;
  OK(dcp_barrier_new(&table, &deaf, &barrier, &error));
  dcp_cancel_request(cancel);
  FAILS(DCP_CANCELLED, "cancelled", dcp_barrier_execute(barrier, -1, cancel, &error));
  FAILS(DCP_TIMEOUT, "an earlier call", dcp_barrier_execute(barrier, 10, NULL, &error));
  dcp_barrier_free(barrier);
  dcp_cancel_free(cancel);
  pthread_mutex_lock(&deaf.mutex);
  deaf.go = 1;
  pthread_cond_broadcast(&deaf.changed);
  while (deaf.go != 2) pthread_cond_wait(&deaf.changed, &deaf.mutex); /* destroyed by its thread */
  pthread_mutex_unlock(&deaf.mutex);

  deaf.go = 0;
  OK(dcp_barrier_new(&table, &deaf, &barrier, &error));
  FAILS(DCP_TIMEOUT, "has not ended after 0.05 s", dcp_barrier_execute(barrier, 50, NULL, &error));
  dcp_barrier_free(barrier);
  pthread_mutex_lock(&deaf.mutex);
  deaf.go = 1;
  pthread_cond_broadcast(&deaf.changed);
  while (deaf.go != 2) pthread_cond_wait(&deaf.changed, &deaf.mutex);
  pthread_mutex_unlock(&deaf.mutex);
}

static void what_is_refused(void** unused) {
  dcp_barrier_table barrier_table = {0};
  dcp_barrier* barrier = NULL;
  dcp_rank_writer_options options;
  dcp_rank_writer* writer = NULL;
  recorder r = {0};
  (void)unused;
  barrier_table.struct_size = sizeof barrier_table;
  barrier_table.destroy = on_destroy;
  FAILS(DCP_INVALID_ARGUMENT, "execute", dcp_barrier_new(&barrier_table, &r, &barrier, &error));
  assert_int_equal(r.destroyed, 1);
  FAILS(DCP_INVALID_ARGUMENT, "communicator is NULL",
        dcp_barrier_from_communicator(NULL, &barrier, &error));
  dcp_rank_writer_options_init(&options, sizeof options);
  options.rank = 1;
  FAILS(DCP_INVALID_ARGUMENT, "rank 1 of 1", dcp_rank_writer_new(NULL, &options, &writer, &error));
  options.rank = 0;
  options.barrier_timeout_secs = 0.0 / (options.barrier_timeout_secs - 600);
  FAILS(DCP_INVALID_ARGUMENT, "not a number", dcp_rank_writer_new(NULL, &options, &writer, &error));
  dcp_barrier_free(NULL);
  dcp_commit_hook_free(NULL);
  dcp_rank_writer_free(NULL);
  dcp_rank_reader_free(NULL);
  dcp_checkpointer_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_order_of_a_write),
      cmocka_unit_test(a_failure_ends_the_write),
      cmocka_unit_test(nothing_is_called_before_the_file_is_whole),
      cmocka_unit_test(ranks_meet_or_are_named),
      cmocka_unit_test(into_a_target),
      cmocka_unit_test(checkpointers_save_and_load),
      cmocka_unit_test(failures_in_the_background_are_told),
      cmocka_unit_test(barriers_by_name),
      cmocka_unit_test(a_deaf_barrier_is_left_behind),
      cmocka_unit_test(what_is_refused),
  };
  return cmocka_run_group_tests_name("capi/rank_local", tests, NULL, NULL);
}
