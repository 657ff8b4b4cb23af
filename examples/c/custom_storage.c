/* A storage of one's own: files in a list in memory, each with its bytes. libdcp calls it from its
 * own threads, so one lock guards the list. */
#include <dcp.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

typedef struct Content { /* counted: a reader keeps what a rename or removal takes away */
  int users;
  unsigned char* bytes;
  size_t size;
} Content;

typedef struct File {
  char* name;
  Content* content;
  struct File* next;
} File;

typedef struct Store {
  pthread_mutex_t lock;
  File* files;
  int calls;
} Store;

static dcp_status refuse(dcp_status status, const char* message, dcp_error** error) {
  if (error != NULL) *error = dcp_error_new(status, message);
  return status;
}

/* The helpers below are called with the lock held. */
static void content_drop(Content* content) {
  if (--content->users > 0) return;
  free(content->bytes);
  free(content);
}

static File** find(Store* store, const char* name) {
  File** at = &store->files;
  while (*at != NULL && strcmp((*at)->name, name) != 0) at = &(*at)->next;
  return at;
}

static void forget(File** at) {
  File* file = *at;
  *at = file->next;
  content_drop(file->content);
  free(file->name);
  free(file);
}

static int content_reserve(Content* content, size_t size) {
  unsigned char* bytes;
  if (size <= content->size) return 1;
  bytes = realloc(content->bytes, size);
  if (bytes == NULL) return 0;
  memset(bytes + content->size, 0, size - content->size);
  content->bytes = bytes;
  content->size = size;
  return 1;
}

static void lock(Store* store) {
  pthread_mutex_lock(&store->lock);
  ++store->calls;
}

static dcp_status make_root(void* user_data, dcp_error** error) {
  (void)user_data;
  (void)error;
  return DCP_OK;
}

static dcp_status create(void* user_data, const char* path, uint64_t expected_size, void** file,
                         dcp_error** error) {
  Store* store = user_data;
  Content* content = calloc(1, sizeof *content);
  File* entry = calloc(1, sizeof *entry);
  char* name = malloc(strlen(path) + 1);
  File** old;
  (void)expected_size;
  if (content == NULL || entry == NULL || name == NULL) {
    free(content);
    free(entry);
    free(name);
    return refuse(DCP_OUT_OF_MEMORY, "no memory for a file", error);
  }
  strcpy(name, path);
  content->users = 2; /* the list, and the writer */
  entry->name = name;
  entry->content = content;
  lock(store);
  old = find(store, path);
  if (*old != NULL) forget(old);
  entry->next = store->files;
  store->files = entry;
  pthread_mutex_unlock(&store->lock);
  *file = content;
  return DCP_OK;
}

static dcp_status write_at(void* user_data, void* file, uint64_t offset, const void* data,
                           size_t size, dcp_error** error) {
  Store* store = user_data;
  Content* content = file;
  int there;
  lock(store);
  there = content_reserve(content, (size_t)offset + size);
  if (there && size > 0) memcpy(content->bytes + offset, data, size);
  pthread_mutex_unlock(&store->lock);
  return there ? DCP_OK : refuse(DCP_OUT_OF_MEMORY, "no memory for the file's bytes", error);
}

static dcp_status finish(void* user_data, void* file, uint64_t size, int32_t durable,
                         dcp_error** error) {
  Store* store = user_data;
  Content* content = file;
  int there;
  (void)durable; /* memory is as durable as it gets here */
  lock(store);
  there = content_reserve(content, (size_t)size);
  if (there) content->size = (size_t)size;
  content_drop(content);
  pthread_mutex_unlock(&store->lock);
  return there ? DCP_OK : refuse(DCP_OUT_OF_MEMORY, "no memory for the file's end", error);
}

static void close_file(void* user_data, void* file) { /* also abort: the library removes the name */
  Store* store = user_data;
  lock(store);
  content_drop(file);
  pthread_mutex_unlock(&store->lock);
}

static dcp_status open_file(void* user_data, const char* path, void** file, uint64_t* size,
                            dcp_error** error) {
  Store* store = user_data;
  File* entry;
  lock(store);
  entry = *find(store, path);
  if (entry != NULL) {
    ++entry->content->users;
    *file = entry->content;
    *size = entry->content->size;
  }
  pthread_mutex_unlock(&store->lock);
  return entry != NULL ? DCP_OK : refuse(DCP_NOT_FOUND, "no such file", error);
}

static dcp_status read_at(void* user_data, void* file, uint64_t offset, void* data, size_t size,
                          dcp_error** error) {
  Store* store = user_data;
  Content* content = file;
  int there;
  lock(store);
  there = offset <= content->size && size <= content->size - (size_t)offset;
  if (there && size > 0) memcpy(data, content->bytes + offset, size);
  pthread_mutex_unlock(&store->lock);
  return there ? DCP_OK : refuse(DCP_CORRUPT, "the file ends too early", error);
}

static dcp_status rename_file(void* user_data, const char* from, const char* to,
                              dcp_error** error) {
  Store* store = user_data;
  char* name = malloc(strlen(to) + 1);
  File *entry, **old;
  if (name == NULL) return refuse(DCP_OUT_OF_MEMORY, "no memory for a name", error);
  strcpy(name, to);
  lock(store);
  entry = *find(store, from);
  if (entry != NULL) {
    old = find(store, to);
    if (*old != NULL && *old != entry) forget(old);
    free(entry->name);
    entry->name = name;
  }
  pthread_mutex_unlock(&store->lock);
  if (entry != NULL) return DCP_OK;
  free(name);
  return refuse(DCP_NOT_FOUND, "no such file to rename", error);
}

static dcp_status remove_file(void* user_data, const char* path, dcp_error** error) {
  Store* store = user_data;
  File** at;
  int there;
  lock(store);
  at = find(store, path);
  there = *at != NULL;
  if (there) forget(at);
  pthread_mutex_unlock(&store->lock);
  return there ? DCP_OK : refuse(DCP_NOT_FOUND, "no such file to remove", error);
}

static dcp_status list(void* user_data, dcp_name_sink add, void* sink, dcp_error** error) {
  Store* store = user_data;
  File* file;
  (void)error;
  lock(store);
  for (file = store->files; file != NULL; file = file->next) add(sink, file->name);
  pthread_mutex_unlock(&store->lock);
  return DCP_OK;
}

/* Exactly once, when the last user of the storage is gone. */
static void destroy(void* user_data) {
  Store* store = user_data;
  printf("the store ends after %d calls\n", store->calls);
  while (store->files != NULL) forget(&store->files);
  pthread_mutex_destroy(&store->lock);
  free(store);
}

int main(void) {
  static const int64_t shape[] = {2, 3};
  int32_t numbers[6] = {1, 2, 3, 4, 5, 6}, loaded[6] = {0};
  dcp_error* error = NULL;
  dcp_storage_table table;
  dcp_storage* storage = NULL;
  dcp_state_dict* state = NULL;
  dcp_checkpoint* checkpoint = NULL;
  dcp_verify_report* report = NULL;
  dcp_tensor_view view;
  const File* file;
  Store* store = calloc(1, sizeof *store);
  if (store == NULL) return 1;
  pthread_mutex_init(&store->lock, NULL);

  memset(&table, 0, sizeof table);
  table.struct_size = sizeof table;
  table.make_root = make_root;
  table.create = create;
  table.write = write_at;
  table.finish = finish;
  table.abort = close_file;
  table.open = open_file;
  table.read = read_at;
  table.close = close_file;
  table.rename = rename_file;
  table.remove = remove_file;
  table.list = list;
  table.destroy = destroy;
  check(dcp_storage_new(&table, store, "list://example", &storage, &error), error);

  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  view.dtype = DCP_INT32;
  view.ndim = 2;
  view.shape = shape;
  view.data = numbers;
  check(dcp_state_dict_new(&state, &error), error);
  check(dcp_state_dict_set_tensor(state, "numbers", 7, &view, &error), error);
  check(dcp_save(NULL, storage, state, NULL, NULL, &error), error);
  for (file = store->files; file != NULL; file = file->next) {
    printf("%s: %zu bytes\n", file->name, file->content->size);
  }

  view.data = loaded;
  check(dcp_state_dict_set_tensor(state, "numbers", 7, &view, &error), error);
  check(dcp_load(NULL, storage, state, NULL, NULL, &error), error);
  dcp_state_dict_free(state);

  check(dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &error), error);
  check(dcp_checkpoint_verify(checkpoint, NULL, NULL, NULL, &report, &error), error);
  printf("%d items verified in %s\n", (int)dcp_verify_report_items(report),
         dcp_storage_location(storage));
  dcp_verify_report_free(report);
  dcp_checkpoint_free(checkpoint);
  dcp_storage_free(storage);
  return memcmp(numbers, loaded, sizeof numbers) != 0;
}
