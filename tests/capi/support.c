#include "support.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void check_ok(dcp_status status, dcp_error* error, const char* what) {
  if (status == DCP_OK && error == NULL) return;
  print_error("%s: %s: %s\n", what, dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  fail();
}

void check_fails(dcp_status status, dcp_error* error, dcp_status expected, const char* part,
                 const char* what) {
  const char* message = dcp_error_message(error);
  int good = status == expected && error != NULL && dcp_error_status(error) == expected &&
             strstr(message, part) != NULL;
  if (!good) {
    print_error("%s: got %s \"%s\", expected %s with \"%s\"\n", what, dcp_status_name(status),
                message, dcp_status_name(expected), part);
  }
  dcp_error_free(error);
  assert_true(good);
}

char* join_path(const char* folder, const char* name) {
  size_t size = strlen(folder) + strlen(name) + 2;
  char* path = malloc(size);
  assert_non_null(path);
  snprintf(path, size, "%s/%s", folder, name);
  return path;
}

char* make_temp_dir(void) {
  const char* base = getenv("TMPDIR");
  char* path = join_path(base != NULL ? base : "/tmp", "dcp-capi-XXXXXX");
  assert_non_null(mkdtemp(path));
  return path;
}

static int remove_one(const char* path, const struct stat* info, int kind, struct FTW* where) {
  (void)info;
  (void)kind;
  (void)where;
  return remove(path);
}

void remove_tree(const char* path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

int count_files(const char* folder) {
  DIR* dir = opendir(folder);
  struct dirent* entry;
  int count = 0;
  if (dir == NULL) return -1;
  while ((entry = readdir(dir)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) ++count;
  }
  closedir(dir);
  return count;
}

dcp_tensor_view view_of(int32_t dtype, int32_t ndim, const int64_t* shape, void* data) {
  dcp_tensor_view view;
  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  view.dtype = dtype;
  view.ndim = ndim;
  view.shape = shape;
  view.data = data;
  return view;
}

void set_tensor(dcp_state_dict* state, const char* name, const dcp_tensor_view* view) {
  OK(dcp_state_dict_set_tensor(state, name, strlen(name), view, &error));
}

void set_int(dcp_state_dict* state, const char* name, int64_t value) {
  dcp_value* number = NULL;
  OK(dcp_value_int(value, &number, &error));
  OK(dcp_state_dict_set(state, name, strlen(name), number, &error));
  dcp_value_free(number);
}

dcp_storage* open_storage(const char* where) {
  dcp_storage* storage = NULL;
  OK(dcp_storage_open(where, NULL, &storage, &error));
  return storage;
}
