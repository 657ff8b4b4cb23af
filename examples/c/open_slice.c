/* Opens a checkpoint, lists it, and reads the first rows of its largest matrix.
 *   open_slice FOLDER */
#include <dcp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(dcp_status status, dcp_error* error) {
  if (status == DCP_OK) return;
  fprintf(stderr, "%s: %s\n", dcp_status_name(status), dcp_error_message(error));
  dcp_error_free(error);
  exit(1);
}

static dcp_entry_info entry_at(const dcp_checkpoint* checkpoint, size_t index) {
  dcp_error* error = NULL;
  dcp_entry_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  check(dcp_checkpoint_entry(checkpoint, index, &info, &error), error);
  return info;
}

int main(int argc, char** argv) {
  dcp_error* error = NULL;
  dcp_storage* storage = NULL;
  dcp_checkpoint* checkpoint = NULL;
  dcp_entry_info info;
  size_t count, i, largest;
  uint64_t unverified = 0;
  if (argc != 2) {
    fprintf(stderr, "usage: open_slice FOLDER\n");
    return 2;
  }
  check(dcp_storage_open(argv[1], NULL, &storage, &error), error);
  check(dcp_checkpoint_open(NULL, storage, NULL, &checkpoint, &error), error);
  dcp_storage_free(storage); /* the checkpoint keeps what it needs */

  count = dcp_checkpoint_count(checkpoint);
  largest = count;
  for (i = 0; i < count; ++i) {
    info = entry_at(checkpoint, i);
    printf("%-40.*s %-10s %10" PRIu64 " bytes in %" PRIu64 " shards\n", (int)info.name_size,
           info.name, info.kind == DCP_ENTRY_TENSOR ? info.dtype_name : "object", info.bytes,
           info.chunk_count);
    if (info.kind == DCP_ENTRY_TENSOR && info.ndim == 2 && info.dtype != 0 &&
        (largest == count || info.bytes > entry_at(checkpoint, largest).bytes)) {
      largest = i;
    }
  }

  if (largest < count) {
    dcp_tensor_view view;
    int64_t offsets[2] = {0, 0};
    int64_t shape[2];
    double* rows;
    int64_t row, column;
    info = entry_at(checkpoint, largest);
    shape[0] = info.shape[0] < 2 ? info.shape[0] : 2;
    shape[1] = info.shape[1] < 4 ? info.shape[1] : 4;
    rows = calloc((size_t)(shape[0] * shape[1]) + 1, sizeof *rows);
    if (rows == NULL) return 1;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    view.dtype = DCP_FLOAT64; /* whatever is stored is cast to this */
    view.ndim = 2;
    view.shape = shape;
    view.data = rows;
    check(dcp_checkpoint_read(checkpoint, largest, offsets, NULL, &view, &unverified, &error),
          error);
    printf("\n%.*s[0:%d, 0:%d]\n", (int)info.name_size, info.name, (int)shape[0], (int)shape[1]);
    for (row = 0; row < shape[0]; ++row) {
      for (column = 0; column < shape[1]; ++column) {
        printf(" %12.6g", rows[row * shape[1] + column]);
      }
      putchar('\n');
    }
    if (unverified > 0) printf("(%" PRIu64 " bytes had no checksum of their own)\n", unverified);
    free(rows);
  }
  dcp_checkpoint_free(checkpoint);
  return 0;
}
