#include "lost_rank/doomed_save.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 1 << 18 };

typedef struct fate {
  int phase; /* dcp_phase; 0: before the save */
  const char* what;
  int64_t timeout_ms;
  int met;
} fate;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(int64_t ms) {
  struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&pause, &pause) != 0) {
  }
}

/* A child wakes this process after it has been stopped for three times the timeout. */
static void stop_for_a_while(int64_t ms) {
  pid_t self = getpid();
  if (fork() == 0) {
    sleep_ms(ms);
    kill(self, SIGCONT);
    _exit(0);
  }
  kill(self, SIGSTOP);
}

static void meet(fate* f) {
  if (f->met) return;
  f->met = 1;
  if (strcmp(f->what, "kill") == 0) kill(getpid(), SIGKILL);
  if (strcmp(f->what, "stop") == 0) stop_for_a_while(3 * f->timeout_ms);
  if (strcmp(f->what, "late") == 0) sleep_ms(3 * f->timeout_ms);
}

static dcp_status on_progress(void* user_data, const dcp_progress_event* event, dcp_error** error) {
  (void)error;
  fate* f = user_data;
  if (event->phase == f->phase) meet(f);
  return DCP_OK;
}

static int phase_of(const char* name) {
  if (strcmp(name, "plan") == 0) return DCP_PHASE_PLAN;
  if (strcmp(name, "write") == 0) return DCP_PHASE_WRITE;
  if (strcmp(name, "commit") == 0) return DCP_PHASE_COMMIT;
  return 0;
}

static void print_outcome(int rank, dcp_status status, const dcp_error* error, int64_t took) {
  char line[2048];
  int used =
      snprintf(line, sizeof line, "{\"rank\": %d, \"status\": \"%s\", \"ms\": %lld, \"named\": [",
               rank, dcp_status_name(status), (long long)took);
  for (size_t i = 0; i < dcp_error_rank_failure_count(error); i++) {
    int32_t named = -1;
    const char* step = "";
    const dcp_error* failure = dcp_error_rank_failure(error, i, &named, &step);
    used += snprintf(line + used, sizeof line - (size_t)used, "%s[%d, \"%s\", \"%s\"]",
                     i > 0 ? ", " : "", named, step, dcp_status_name(dcp_error_status(failure)));
  }
  snprintf(line + used, sizeof line - (size_t)used, "]}\n");
  fputs(line, stdout);
  fflush(stdout);
}

int doomed_save(dcp_communicator* comm, char** arguments) {
  int rank = dcp_communicator_rank(comm);
  int size = dcp_communicator_world_size(comm);
  const char* phase = arguments[2];
  int doomed = atoi(arguments[1]);
  fate f = {phase_of(phase), arguments[3], atoll(arguments[4]), doomed != rank};

  dcp_context* context = NULL;
  dcp_storage* storage = NULL;
  dcp_state_dict* state = NULL;
  dcp_tensor* shard = NULL;
  dcp_value* value = NULL;
  dcp_error* error = NULL;
  dcp_save_options options;
  dcp_progress_table progress = {0};
  progress.struct_size = sizeof progress;
  progress.update = on_progress;
  float* data = malloc(ROWS * sizeof *data);
  for (int i = 0; i < ROWS; i++) data[i] = (float)(rank * ROWS + i);
  int64_t global[1] = {(int64_t)ROWS * size};
  int64_t offset[1] = {(int64_t)ROWS * rank};
  int64_t local[1] = {ROWS};
  dcp_tensor_view view = {0};
  view.struct_size = sizeof view;
  view.dtype = DCP_FLOAT32;
  view.ndim = 1;
  view.data = data;
  view.shape = local;
  if (dcp_context_new(NULL, &context, &error) != DCP_OK ||
      dcp_context_set_progress(context, &progress, &f, &error) != DCP_OK ||
      dcp_storage_open(arguments[0], NULL, &storage, &error) != DCP_OK ||
      dcp_state_dict_new(&state, &error) != DCP_OK ||
      dcp_tensor_new(&view, NULL, NULL, &shard, &error) != DCP_OK ||
      dcp_value_sharded_tensor(DCP_FLOAT32, 1, global, (const dcp_tensor* const*)&shard, offset, 1,
                               &value, &error) != DCP_OK ||
      dcp_state_dict_set(state, "w", 1, value, &error) != DCP_OK) {
    fprintf(stderr, "rank %d: %s\n", rank, error == NULL ? "?" : dcp_error_message(error));
    return 2;
  }
  dcp_save_options_init(&options, sizeof options);
  options.communicator = comm;
  options.timeout_ms = f.timeout_ms;
  /* Nobody waits for the barrier any more when the doomed rank has heard of all. */
  dcp_buffers* heard = NULL;
  dcp_communicator_barrier(comm, 60000, NULL);
  dcp_communicator_gather(comm, "", 0, doomed < 0 ? 0 : doomed, 60000, &heard, NULL);
  dcp_buffers_free(heard);
  if (strcmp(phase, "start") == 0) meet(&f);
  int64_t begin = now_ms();
  dcp_status status = dcp_save(context, storage, state, &options, NULL, &error);
  print_outcome(rank, status, error, now_ms() - begin);
  return 0;
}
