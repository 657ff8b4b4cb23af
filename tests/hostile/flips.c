/* Changes single bytes and cuts files short, one at a time, and asks whether libdcp notices.
 *
 *   flips FOLDER ours|stock all        every byte to every other value, every truncation
 *   flips FOLDER ours|stock N SEED     N changes chosen at random, and N / 4 truncations
 *
 * A change is detected when opening or verifying fails. Undetected and harmless: everything still
 * reads as before. Silent: something reads otherwise. Of our own checkpoints every change must be
 * detected; of stock's every silent change of a data file is a failure, those of `.metadata`
 * (names, opaque values: nothing in the file could tell) are counted and listed by offset. */
#include <dcp.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capi/memory_storage.h"

enum { MAX_FILES = 64 };

typedef struct tally {
  uint64_t tried, detected, harmless, silent;
} tally;

static memory_storage store;
static dcp_storage* storage;
static dcp_context* context;
static dcp_value* baseline;
static char* names[MAX_FILES];
static int name_count;

static void die(const char* what, dcp_error* error) {
  fprintf(stderr, "%s: %s\n", what, error != NULL ? dcp_error_message(error) : "failed");
  exit(2);
}

static void read_folder(const char* folder) {
  DIR* dir = opendir(folder);
  struct dirent* entry;
  if (dir == NULL) die(folder, NULL);
  while ((entry = readdir(dir)) != NULL && name_count < MAX_FILES) {
    char path[4096];
    FILE* file;
    long size;
    unsigned char* bytes;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    file = fopen(path, "rb");
    if (file == NULL) die(path, NULL);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    bytes = malloc((size_t)size + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)size, file) != (size_t)size) die(path, NULL);
    fclose(file);
    memory_storage_put(&store, entry->d_name, bytes, (uint64_t)size);
    free(bytes);
    names[name_count++] = strdup(entry->d_name);
  }
  closedir(dir);
}

/* 1 when opening or verifying notices something. */
static int detected(dcp_checkpoint** open) {
  *open = NULL;
  if (dcp_checkpoint_open(context, storage, NULL, open, NULL) != DCP_OK) return 1;
  if (dcp_checkpoint_verify(*open, NULL, NULL, NULL, NULL, NULL) == DCP_OK) return 0;
  dcp_checkpoint_free(*open);
  *open = NULL;
  return 1;
}

static int try_once(tally* count) {
  dcp_checkpoint* checkpoint;
  dcp_value* now = NULL;
  int silent = 0;
  ++count->tried;
  if (detected(&checkpoint)) {
    ++count->detected;
    return 0;
  }
  silent = dcp_checkpoint_read_all(checkpoint, 0, &now, NULL) != DCP_OK ||
           dcp_value_equal(baseline, now) == 0;
  if (silent) {
    ++count->silent;
  } else {
    ++count->harmless;
  }
  dcp_value_free(now);
  dcp_checkpoint_free(checkpoint);
  return silent ? 2 : 1;
}

static uint64_t state;
static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int failed;

static void flip(int file, uint64_t at, unsigned char to, int ours, tally* data, tally* metadata) {
  uint64_t* size = NULL;
  unsigned char* bytes = memory_storage_bytes(&store, names[file], &size);
  unsigned char was = bytes[at];
  int in_metadata = strstr(names[file], "metadata") != NULL;
  int outcome;
  bytes[at] = to;
  outcome = try_once(in_metadata ? metadata : data);
  bytes[at] = was;
  if (outcome == 0) return;
  if (ours || (outcome == 2 && !in_metadata)) {
    printf("NOT DETECTED%s: %s byte %" PRIu64 " %02x -> %02x\n", outcome == 2 ? " AND SILENT" : "",
           names[file], at, was, to);
    failed = 1;
  } else if (outcome == 2) {
    printf("undetectable: %s byte %" PRIu64 " %02x -> %02x\n", names[file], at, was, to);
  }
}

static void cut(int file, uint64_t to, int ours, tally* count) {
  uint64_t* size = NULL;
  uint64_t was;
  int outcome;
  memory_storage_bytes(&store, names[file], &size);
  was = *size;
  *size = to;
  outcome = try_once(count);
  *size = was;
  if (outcome == 2 || (outcome == 1 && ours)) {
    printf("NOT DETECTED: %s cut from %" PRIu64 " to %" PRIu64 " bytes\n", names[file], was, to);
    failed = 1;
  }
}

static void show(const char* what, const tally* count) {
  printf("%s: %" PRIu64 " tried, %" PRIu64 " detected, %" PRIu64
         " undetected and harmless, %" PRIu64 " silent\n",
         what, count->tried, count->detected, count->harmless, count->silent);
}

int main(int argc, char** argv) {
  tally data = {0}, metadata = {0}, cuts = {0};
  dcp_storage_table table;
  dcp_checkpoint* checkpoint = NULL;
  dcp_context_options options;
  dcp_error* error = NULL;
  uint64_t total = 0;
  int ours, all;
  if (argc < 4) {
    fprintf(stderr, "usage: flips FOLDER ours|stock all|N [SEED]\n");
    return 2;
  }
  ours = strcmp(argv[2], "ours") == 0;
  all = strcmp(argv[3], "all") == 0;
  read_folder(argv[1]);
  memory_storage_table(&table);
  dcp_context_options_init(&options, sizeof options);
  options.threads = 1;
  options.memory_budget = 1 << 20;
  if (dcp_context_new(&options, &context, &error) != DCP_OK) die("context", error);
  if (dcp_storage_new(&table, &store, argv[1], &storage, &error) != DCP_OK) die("storage", error);
  if (dcp_checkpoint_open(context, storage, NULL, &checkpoint, &error) != DCP_OK ||
      dcp_checkpoint_verify(checkpoint, NULL, NULL, NULL, NULL, &error) != DCP_OK ||
      dcp_checkpoint_read_all(checkpoint, 0, &baseline, &error) != DCP_OK) {
    die(argv[1], error);
  }
  dcp_checkpoint_free(checkpoint);
  for (int f = 0; f < name_count; ++f) {
    uint64_t* size = NULL;
    memory_storage_bytes(&store, names[f], &size);
    total += *size;
  }
  if (total == 0) die("empty checkpoint", NULL);
  if (all) {
    for (int f = 0; f < name_count; ++f) {
      uint64_t* size = NULL;
      unsigned char* bytes = memory_storage_bytes(&store, names[f], &size);
      for (uint64_t at = 0; at < *size; ++at) {
        unsigned char was = bytes[at];
        for (int other = 0; other < 256; ++other) {
          if (other != was) flip(f, at, (unsigned char)other, ours, &data, &metadata);
        }
      }
      for (uint64_t to = *size; to-- > 0;) cut(f, to, ours, &cuts);
    }
  } else {
    uint64_t count = strtoull(argv[3], NULL, 10);
    uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    printf("seed %" PRIu64 "\n", seed);
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t at = next_random() % total;
      uint64_t* size = NULL;
      int f = 0;
      for (;; ++f) {
        memory_storage_bytes(&store, names[f], &size);
        if (at < *size) break;
        at -= *size;
      }
      {
        unsigned char* bytes = memory_storage_bytes(&store, names[f], &size);
        flip(f, at, (unsigned char)(bytes[at] + 1 + next_random() % 255), ours, &data, &metadata);
      }
      if (i % 4 == 0) cut(f, next_random() % *size, ours, &cuts);
    }
  }
  show("data bytes changed", &data);
  show("metadata bytes changed", &metadata);
  show("truncations", &cuts);
  printf("%s\n", failed ? "FAILED" : "passed");
  dcp_value_free(baseline);
  dcp_storage_free(storage);
  dcp_context_free(context);
  memory_storage_clear(&store);
  for (int f = 0; f < name_count; ++f) free(names[f]);
  return failed;
}
