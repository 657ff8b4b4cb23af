/* Very many tensors, or very many shards, saved, opened, loaded and verified:
 *   stress FOLDER tensors COUNT [SEED]    COUNT tensors of 16 KiB
 *   stress FOLDER shards COUNT [SEED]     COUNT shards of 64 bytes, of 1,000 tensors
 * Prints the time of each step and the memory that it took besides the tensors. Fails when an
 * element differs, damage is reported, or a step takes more memory than the pool of I/O buffers and
 * 1.5 KiB an item. */
#include <dcp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kTensorElements = 4096, kShardElements = 16, kShardedTensors = 1000 };

/* The pool of I/O buffers, and what tables may take of an item. */
static const int64_t kPoolBytes = 64 << 20;
static const int64_t kItemBytes = 1536;

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

static void die(const char* what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

/* A line of /proc/self/status, in bytes. */
static int64_t memory(const char* line) {
  FILE* file = fopen("/proc/self/status", "r");
  char text[256];
  int64_t kibibytes = -1;
  if (file == NULL) die("/proc/self/status cannot be read");
  while (kibibytes < 0 && fgets(text, sizeof text, file) != NULL) {
    if (strncmp(text, line, strlen(line)) == 0) kibibytes = strtoll(text + strlen(line), NULL, 10);
  }
  fclose(file);
  return kibibytes * 1024;
}

typedef struct step {
  const char* name;
  int64_t resident; /* -1: the peak cannot be reset here, so that it says nothing of this step */
  struct timespec begin;
} step;

static step begin_step(const char* name) {
  step started;
  FILE* file = fopen("/proc/self/clear_refs", "w");
  const int reset = file != NULL && fputs("5", file) >= 0;
  started.name = name;
  started.resident = file != NULL && fclose(file) == 0 && reset ? memory("VmRSS:") : -1;
  clock_gettime(CLOCK_MONOTONIC, &started.begin);
  return started;
}

static void end_step(const step* begun, int64_t items) {
  const int64_t extra = memory("VmHWM:") - begun->resident;
  struct timespec now;
  double seconds;
  clock_gettime(CLOCK_MONOTONIC, &now);
  seconds = (double)(now.tv_sec - begun->begin.tv_sec) +
            (double)(now.tv_nsec - begun->begin.tv_nsec) / 1e9;
  printf("%-8s %7.2f s  %6.2f us an item  ", begun->name, seconds, seconds * 1e6 / (double)items);
  if (begun->resident < 0) {
    puts("memory: NOT CHECKED, /proc/self/clear_refs cannot be written");
  } else {
    printf("%7.1f MiB besides the tensors, %" PRId64 " bytes an item beyond the pool\n",
           (double)extra / (1 << 20), extra > kPoolBytes ? (extra - kPoolBytes) / items : 0);
  }
  fflush(stdout);
  if (begun->resident >= 0 && extra > kPoolBytes + items * kItemBytes) {
    die("more memory than the pool and 1.5 KiB an item");
  }
}

/* Any element of any run, from its number alone. */
static uint32_t element(uint64_t index, uint64_t seed) {
  uint64_t bits = (index + seed) * 0x9e3779b97f4a7c15u;
  return (uint32_t)(bits >> 32);
}

static dcp_tensor_view view_of(uint32_t* data, const int64_t* shape) {
  dcp_tensor_view view;
  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  view.dtype = DCP_INT32;
  view.ndim = 1;
  view.data = data;
  view.shape = shape;
  return view;
}

static dcp_state_dict* tensors_over(uint32_t* data, int64_t count) {
  const int64_t shape[] = {kTensorElements};
  dcp_state_dict* state = NULL;
  dcp_error* error = NULL;
  int64_t i;
  check(dcp_state_dict_new(&state, &error), error);
  for (i = 0; i < count; ++i) {
    dcp_tensor_view view = view_of(data + i * kTensorElements, shape);
    char name[64];
    int length = snprintf(name, sizeof name, "model.layers.%" PRId64 ".weight", i);
    check(dcp_state_dict_set_tensor(state, name, (size_t)length, &view, &error), error);
  }
  return state;
}

/* `each` shards a tensor. */
static dcp_state_dict* shards_over(uint32_t* data, int64_t each) {
  const int64_t shape[] = {kShardElements};
  const int64_t global[] = {each * kShardElements};
  dcp_state_dict* state = NULL;
  dcp_error* error = NULL;
  dcp_tensor** shards = malloc((size_t)each * sizeof *shards);
  int64_t* offsets = malloc((size_t)each * sizeof *offsets);
  int64_t i, s;
  if (shards == NULL || offsets == NULL) die("no memory");
  check(dcp_state_dict_new(&state, &error), error);
  for (i = 0; i < kShardedTensors; ++i) {
    dcp_value* value = NULL;
    char name[64];
    int length = snprintf(name, sizeof name, "model.layers.%" PRId64 ".weight", i);
    for (s = 0; s < each; ++s) {
      dcp_tensor_view view = view_of(data + (i * each + s) * kShardElements, shape);
      offsets[s] = s * kShardElements;
      check(dcp_tensor_new(&view, NULL, NULL, &shards[s], &error), error);
    }
    check(dcp_value_sharded_tensor(DCP_INT32, 1, global, (const dcp_tensor* const*)shards, offsets,
                                   (size_t)each, &value, &error),
          error);
    check(dcp_state_dict_set(state, name, (size_t)length, value, &error), error);
    dcp_value_free(value);
    for (s = 0; s < each; ++s) dcp_tensor_free(shards[s]);
  }
  free(shards);
  free(offsets);
  return state;
}

int main(int argc, char** argv) {
  const int sharded = argc > 3 && strcmp(argv[2], "shards") == 0;
  const int64_t asked = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
  const uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
  const int64_t each = (asked + kShardedTensors - 1) / kShardedTensors;
  const int64_t items = sharded ? each * kShardedTensors : asked;
  const uint64_t elements = (uint64_t)items * (sharded ? kShardElements : kTensorElements);
  dcp_storage* storage = NULL;
  dcp_state_dict* state;
  dcp_save_report* saved = NULL;
  dcp_load_report* loaded = NULL;
  dcp_checkpoint* checkpoint = NULL;
  dcp_verify_report* verified = NULL;
  dcp_error* error = NULL;
  uint32_t* data;
  uint64_t i;
  step now;
  if (argc < 4 || argc > 5 || asked <= 0 || (!sharded && strcmp(argv[2], "tensors") != 0)) {
    fprintf(stderr, "usage: stress FOLDER tensors|shards COUNT [SEED]\n");
    return 2;
  }
  data = malloc(elements * sizeof *data);
  if (data == NULL) die("no memory");
  for (i = 0; i < elements; ++i) data[i] = element(i, seed);
  printf("%" PRId64 " %s, %.2f GiB, seed %" PRIu64 "\n", items, argv[2],
         (double)elements * sizeof *data / (1 << 30), seed);

  check(dcp_storage_open(argv[1], NULL, &storage, &error), error);
  state = sharded ? shards_over(data, each) : tensors_over(data, items);
  now = begin_step("save");
  check(dcp_save(NULL, storage, state, NULL, &saved, &error), error);
  end_step(&now, items);
  if (dcp_save_report_items(saved) != (uint64_t)items) die("not every item was written");
  dcp_save_report_free(saved);

  memset(data, 0, elements * sizeof *data);
  now = begin_step("load");
  check(dcp_load(NULL, storage, state, NULL, &loaded, &error), error);
  end_step(&now, items);
  if (dcp_load_report_bytes_unverified(loaded) != 0) die("bytes were loaded unchecked");
  dcp_load_report_free(loaded);
  for (i = 0; i < elements; ++i) {
    if (data[i] != element(i, seed)) {
      fprintf(stderr, "element %" PRIu64 " differs\n", i);
      return 1;
    }
  }
  dcp_state_dict_free(state);

  now = begin_step("open");
  check(dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &error), error);
  end_step(&now, items);
  if (dcp_checkpoint_count(checkpoint) != (size_t)(sharded ? kShardedTensors : items)) {
    die("the checkpoint has other entries");
  }
  now = begin_step("verify");
  check(dcp_checkpoint_verify(checkpoint, NULL, NULL, NULL, &verified, &error), error);
  end_step(&now, items);
  if (dcp_verify_report_items(verified) != (uint64_t)items) die("not every item was verified");
  dcp_verify_report_free(verified);
  dcp_checkpoint_free(checkpoint);
  dcp_storage_free(storage);
  free(data);
  printf("stress: %" PRId64 " passed\n", items);
  return 0;
}
