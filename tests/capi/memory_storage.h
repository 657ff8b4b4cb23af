/* A store written against dcp_storage_table, in memory, that can fail and counts what it is told:
 * what a user's own store looks like from C. */
#ifndef DCP_TESTS_CAPI_MEMORY_STORAGE_H_
#define DCP_TESTS_CAPI_MEMORY_STORAGE_H_

#include <dcp.h>

typedef struct memory_storage {
  int destroyed;
  int live_files; /* handles given out and not yet taken back */
  int calls;      /* of members that can fail */
  int fail_at;    /* which call fails, from 1; 0 none */
  dcp_status fail_with;
  void* fail_payload; /* attached to the failure as the host's exception */
  int slow_us;        /* every write sleeps this long */
  struct memory_file* files;
} memory_storage;

void memory_storage_table(dcp_storage_table* table);
void memory_storage_clear(memory_storage* storage);
int memory_storage_count(const memory_storage* storage);
int memory_storage_destroyed(const memory_storage* storage); /* how often; on any thread */
/* Puts a file of these bytes there (copied), replacing one of that name. */
void memory_storage_put(memory_storage* storage, const char* name, const void* bytes,
                        uint64_t size);
/* The bytes themselves, to be changed in place, and where the size is kept; NULL when missing. */
unsigned char* memory_storage_bytes(memory_storage* storage, const char* name, uint64_t** size);

#endif
