#include "memory_storage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Content is shared by the name and by readers: a rename over a name leaves them what they had. */
typedef struct content {
  int users;
  unsigned char* bytes;
  uint64_t size, capacity;
} content;

typedef struct memory_file {
  char* name;
  content* data;
  struct memory_file* next;
} memory_file;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void drop(content* data) {
  if (--data->users == 0) {
    free(data->bytes);
    free(data);
  }
}

static memory_file** find(memory_storage* s, const char* name) {
  memory_file** at = &s->files;
  while (*at != NULL && strcmp((*at)->name, name) != 0) at = &(*at)->next;
  return at;
}

/* Counts the call; its failure when it is the chosen one. */
static dcp_status gate(memory_storage* s, dcp_error** error) {
  if (++s->calls != s->fail_at) return DCP_OK;
  if (s->fail_payload != NULL) {
    *error = dcp_error_new(s->fail_with, "the store was told to fail");
    dcp_error_set_foreign(*error, s->fail_payload, NULL, NULL);
  }
  return s->fail_with;
}

static void remove_at(memory_file** at) {
  memory_file* gone = *at;
  *at = gone->next;
  drop(gone->data);
  free(gone->name);
  free(gone);
}

#define ENTER()                  \
  memory_storage* s = user_data; \
  dcp_status status;             \
  pthread_mutex_lock(&mutex);    \
  status = gate(s, error)
#define LEAVE(result)           \
  pthread_mutex_unlock(&mutex); \
  return (result)

static dcp_status make_root(void* user_data, dcp_error** error) {
  ENTER();
  LEAVE(status);
}

static dcp_status create(void* user_data, const char* path, uint64_t expected_size, void** file,
                         dcp_error** error) {
  ENTER();
  (void)expected_size;
  if (status == DCP_OK) {
    memory_file** at = find(s, path);
    if (*at != NULL) remove_at(at);
    at = find(s, path);
    *at = calloc(1, sizeof **at);
    (*at)->name = strdup(path);
    (*at)->data = calloc(1, sizeof(content));
    (*at)->data->users = 2;
    *file = (*at)->data;
    ++s->live_files;
  }
  LEAVE(status);
}

static dcp_status write_at(void* user_data, void* file, uint64_t offset, const void* data,
                           size_t size, dcp_error** error) {
  ENTER();
  content* c = file;
  if (status == DCP_OK) {
    if (offset + size > c->capacity) {
      c->capacity = (offset + size) * 2;
      c->bytes = realloc(c->bytes, c->capacity);
    }
    memcpy(c->bytes + offset, data, size);
    if (offset + size > c->size) c->size = offset + size;
  }
  pthread_mutex_unlock(&mutex);
  if (s->slow_us > 0) usleep((useconds_t)s->slow_us);
  return status;
}

static dcp_status finish(void* user_data, void* file, uint64_t size, int32_t durable,
                         dcp_error** error) {
  ENTER();
  content* c = file;
  (void)durable;
  if (size < c->size) c->size = size;
  drop(c);
  --s->live_files;
  LEAVE(status);
}

static void abort_file(void* user_data, void* file) {
  memory_storage* s = user_data;
  pthread_mutex_lock(&mutex);
  drop(file);
  --s->live_files;
  pthread_mutex_unlock(&mutex);
}

static dcp_status open_file(void* user_data, const char* path, void** file, uint64_t* size,
                            dcp_error** error) {
  ENTER();
  memory_file** at = find(s, path);
  if (status == DCP_OK && *at == NULL) status = DCP_NOT_FOUND;
  if (status == DCP_OK) {
    ++(*at)->data->users;
    ++s->live_files;
    *file = (*at)->data;
    *size = (*at)->data->size;
  }
  LEAVE(status);
}

static dcp_status read_at(void* user_data, void* file, uint64_t offset, void* data, size_t size,
                          dcp_error** error) {
  ENTER();
  content* c = file;
  if (status == DCP_OK && (offset > c->size || size > c->size - offset)) status = DCP_CORRUPT;
  if (status == DCP_OK) memcpy(data, c->bytes + offset, size);
  LEAVE(status);
}

static void close_file(void* user_data, void* file) { abort_file(user_data, file); }

static dcp_status rename_file(void* user_data, const char* from, const char* to,
                              dcp_error** error) {
  ENTER();
  if (status == DCP_OK && *find(s, from) == NULL) status = DCP_NOT_FOUND;
  if (status == DCP_OK && strcmp(from, to) != 0) {
    memory_file** at = find(s, to);
    if (*at != NULL) remove_at(at);
    at = find(s, from);
    free((*at)->name);
    (*at)->name = strdup(to);
  }
  LEAVE(status);
}

static dcp_status remove_file(void* user_data, const char* path, dcp_error** error) {
  ENTER();
  memory_file** at = find(s, path);
  if (status == DCP_OK && *at == NULL) status = DCP_NOT_FOUND;
  if (status == DCP_OK) remove_at(at);
  LEAVE(status);
}

static dcp_status list(void* user_data, dcp_name_sink add, void* sink, dcp_error** error) {
  ENTER();
  if (status == DCP_OK) {
    for (memory_file* file = s->files; file != NULL; file = file->next) add(sink, file->name);
  }
  LEAVE(status);
}

static dcp_status sync_folder(void* user_data, dcp_error** error) {
  ENTER();
  LEAVE(status);
}

static void destroy(void* user_data) {
  __atomic_fetch_add(&((memory_storage*)user_data)->destroyed, 1, __ATOMIC_SEQ_CST);
}

int memory_storage_destroyed(const memory_storage* storage) {
  return __atomic_load_n(&storage->destroyed, __ATOMIC_SEQ_CST);
}

void memory_storage_table(dcp_storage_table* table) {
  memset(table, 0, sizeof *table);
  table->struct_size = sizeof *table;
  table->make_root = make_root;
  table->create = create;
  table->write = write_at;
  table->finish = finish;
  table->abort = abort_file;
  table->open = open_file;
  table->read = read_at;
  table->close = close_file;
  table->rename = rename_file;
  table->remove = remove_file;
  table->list = list;
  table->sync_folder = sync_folder;
  table->destroy = destroy;
}

void memory_storage_clear(memory_storage* storage) {
  while (storage->files != NULL) remove_at(&storage->files);
}

int memory_storage_count(const memory_storage* storage) {
  int count = 0;
  for (const memory_file* file = storage->files; file != NULL; file = file->next) ++count;
  return count;
}

void memory_storage_put(memory_storage* storage, const char* name, const void* bytes,
                        uint64_t size) {
  memory_file** at = find(storage, name);
  if (*at != NULL) remove_at(at);
  at = find(storage, name);
  *at = calloc(1, sizeof **at);
  (*at)->name = strdup(name);
  (*at)->data = calloc(1, sizeof(content));
  (*at)->data->users = 1;
  (*at)->data->bytes = malloc(size + 1);
  memcpy((*at)->data->bytes, bytes, size);
  (*at)->data->size = (*at)->data->capacity = size;
}

unsigned char* memory_storage_bytes(memory_storage* storage, const char* name, uint64_t** size) {
  memory_file** at = find(storage, name);
  if (*at == NULL) return NULL;
  *size = &(*at)->data->size;
  return (*at)->data->bytes;
}
