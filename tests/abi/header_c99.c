/* dcp.h in strict C99, alone and twice, and its library called. */
#include <dcp.h>
#include <dcp.h> /* NOLINT: the guard is what is tested */

#include <stdio.h>
#include <string.h>

int main(void) {
  dcp_save_options options;
  if (dcp_abi_version() != DCP_ABI_VERSION) {
    fprintf(stderr, "ABI %u, the header says %d\n", (unsigned)dcp_abi_version(), DCP_ABI_VERSION);
    return 1;
  }
  if (strcmp(dcp_status_name(DCP_CORRUPT), "CORRUPT") != 0 ||
      strcmp(dcp_status_name(-1), "UNKNOWN") != 0) {
    fprintf(stderr, "dcp_status_name: %s, %s\n", dcp_status_name(DCP_CORRUPT), dcp_status_name(-1));
    return 1;
  }
  dcp_save_options_init(&options, sizeof options);
  if (options.struct_size != sizeof options || options.files != 1 || options.overwrite != 1) {
    fprintf(stderr, "dcp_save_options_init left other values than the header tells\n");
    return 1;
  }
  printf("libdcp %s\n%s\n", dcp_version_string(), dcp_build_info());
  return 0;
}
