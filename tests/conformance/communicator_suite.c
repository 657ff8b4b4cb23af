#include "conformance/communicator_suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LONG_MS = 60000 };

typedef struct suite {
  dcp_communicator* comm;
  int32_t rank;
  int32_t size;
  int64_t silence_ms;
  char* wrong;
  size_t wrong_size;
  int failed;
} suite;

static int fail(suite* s, const char* format, ...) {
  if (s->failed) return 1;
  s->failed = 1;
  int used = snprintf(s->wrong, s->wrong_size, "rank %d: ", s->rank);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(s->wrong + used, s->wrong_size - (size_t)used, format, arguments);
  va_end(arguments);
  return 1;
}

static int fail_error(suite* s, const char* what, dcp_error* error) {
  fail(s, "%s: %s", what, error == NULL ? "no error" : dcp_error_message(error));
  dcp_error_free(error);
  return 1;
}

static void sleep_ms(int64_t ms) {
  struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&pause, &pause) != 0) {
  }
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Bytes that tell who made them, and for what. */
static unsigned char* payload(int32_t rank, int32_t salt, size_t size) {
  unsigned char* data = malloc(size + 1);
  uint32_t state = (uint32_t)rank * 2654435761u + (uint32_t)salt * 40503u + 1u;
  for (size_t i = 0; i < size; i++) {
    state = state * 1664525u + 1013904223u;
    data[i] = (unsigned char)(state >> 24);
  }
  return data;
}

static int check_buffer(suite* s, const char* what, const dcp_buffers* buffers, size_t index,
                        int32_t rank, int32_t salt, size_t size) {
  size_t got = 0;
  const void* data = dcp_buffers_at(buffers, index, &got);
  if (got != size) {
    return fail(s, "%s: rank %d's buffer has %zu bytes, not %zu", what, rank, got, size);
  }
  unsigned char* want = payload(rank, salt, size);
  int same = size == 0 || memcmp(want, data, size) == 0;
  free(want);
  return same ? 0 : fail(s, "%s: rank %d's buffer holds other bytes", what, rank);
}

static size_t size_of(int32_t rank, int32_t salt) {
  return (size_t)((rank * 1237 + salt * 911) % 5000) * (size_t)((rank + salt) % 4);
}

static int gather(suite* s, int32_t root, int32_t salt) {
  size_t size = size_of(s->rank, salt);
  unsigned char* data = payload(s->rank, salt, size);
  dcp_buffers* all = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_communicator_gather(s->comm, data, size, root, LONG_MS, &all, &error);
  free(data);
  if (status != DCP_OK) return fail_error(s, "gather", error);
  size_t want = s->rank == root ? (size_t)s->size : 0;
  if (dcp_buffers_count(all) != want) fail(s, "gather: %zu buffers", dcp_buffers_count(all));
  for (int32_t rank = 0; (size_t)rank < want; rank++) {
    check_buffer(s, "gather", all, (size_t)rank, rank, salt, size_of(rank, salt));
  }
  dcp_buffers_free(all);
  return s->failed;
}

static int scatter(suite* s, int32_t root, int32_t salt) {
  dcp_buffer* parts = calloc((size_t)s->size, sizeof(dcp_buffer));
  for (int32_t rank = 0; rank < s->size; rank++) {
    parts[rank].size = size_of(rank, salt);
    parts[rank].data = payload(rank, salt, parts[rank].size);
  }
  dcp_buffers* mine = NULL;
  dcp_error* error = NULL;
  const dcp_buffer* given = s->rank == root ? parts : NULL;
  dcp_status status = dcp_communicator_scatter(s->comm, given, given == NULL ? 0 : (size_t)s->size,
                                               root, LONG_MS, &mine, &error);
  for (int32_t rank = 0; rank < s->size; rank++) free((void*)parts[rank].data);
  free(parts);
  if (status != DCP_OK) return fail_error(s, "scatter", error);
  check_buffer(s, "scatter", mine, 0, s->rank, salt, size_of(s->rank, salt));
  dcp_buffers_free(mine);
  return s->failed;
}

static int broadcast(suite* s, int32_t root, int32_t salt, size_t size) {
  unsigned char* data = payload(root, salt, size);
  dcp_buffers* same = NULL;
  dcp_error* error = NULL;
  dcp_status status =
      dcp_communicator_broadcast(s->comm, s->rank == root ? data : NULL, s->rank == root ? size : 0,
                                 root, LONG_MS, &same, &error);
  free(data);
  if (status != DCP_OK) return fail_error(s, "broadcast", error);
  check_buffer(s, "broadcast", same, 0, root, salt, size);
  dcp_buffers_free(same);
  return s->failed;
}

static int all_gather(suite* s, int32_t salt) {
  size_t size = size_of(s->rank, salt);
  unsigned char* data = payload(s->rank, salt, size);
  dcp_buffers* all = NULL;
  dcp_error* error = NULL;
  dcp_status status = dcp_communicator_all_gather(s->comm, data, size, LONG_MS, &all, &error);
  free(data);
  if (status != DCP_OK) return fail_error(s, "all_gather", error);
  if (dcp_buffers_count(all) != (size_t)s->size) fail(s, "all_gather: too few or many buffers");
  for (int32_t rank = 0; rank < s->size; rank++) {
    check_buffer(s, "all_gather", all, (size_t)rank, rank, salt, size_of(rank, salt));
  }
  dcp_buffers_free(all);
  return s->failed;
}

static int barrier(suite* s) {
  dcp_error* error = NULL;
  if (dcp_communicator_barrier(s->comm, LONG_MS, &error) == DCP_OK) return 0;
  return fail_error(s, "barrier", error);
}

static int every_call_from_every_root(suite* s) {
  for (int32_t root = 0; root < s->size; root++) {
    if (gather(s, root, root) || scatter(s, root, root + 1) || barrier(s) ||
        broadcast(s, root, root + 2, (size_t)root * 777) || all_gather(s, root + 3)) {
      return 1;
    }
  }
  return 0;
}

static int large_and_empty_buffers(suite* s) {
  return broadcast(s, 0, 1, 0) || broadcast(s, s->size - 1, 2, (9 << 20) + 3) ||
         broadcast(s, 0, 3, 20 << 20);
}

static int many_calls(suite* s) {
  uint32_t state = 12345;
  for (int32_t i = 0; i < 200; i++) {
    state = state * 1664525u + 1013904223u;
    int32_t root = (int32_t)((state >> 16) % (uint32_t)s->size);
    int failed = 0;
    switch (state >> 28) {
      case 0:
      case 1:
        failed = barrier(s);
        break;
      case 2:
      case 3:
      case 4:
        failed = all_gather(s, i);
        break;
      case 5:
      case 6:
      case 7:
        failed = broadcast(s, root, i, (size_t)i * 13);
        break;
      case 8:
      case 9:
      case 10:
      case 11:
        failed = scatter(s, root, i);
        break;
      default:
        failed = gather(s, root, i);
    }
    if (failed) return 1;
  }
  return 0;
}

/* A barrier is left by none before all have entered it. */
static int barriers_hold(suite* s) {
  if (barrier(s)) return 1;
  int64_t begin = now_ms();
  if (s->rank == s->size - 1) sleep_ms(200);
  if (barrier(s)) return 1;
  if (now_ms() - begin < 190) return fail(s, "a barrier let go before the last rank had come");
  return 0;
}

static int wrong_arguments(suite* s) {
  dcp_buffers* out = NULL;
  for (int32_t root = -1; root <= s->size; root += s->size + 1) {
    if (dcp_communicator_gather(s->comm, "x", 1, root, LONG_MS, &out, NULL) !=
            DCP_INVALID_ARGUMENT ||
        dcp_communicator_broadcast(s->comm, "x", 1, root, LONG_MS, &out, NULL) !=
            DCP_INVALID_ARGUMENT) {
      return fail(s, "root %d of %d was taken", root, s->size);
    }
  }
  return 0;
}

/* Exactly `ranks` are named. */
static int names(suite* s, const char* what, const dcp_error* error, const int32_t* ranks,
                 size_t count) {
  size_t got = dcp_error_rank_failure_count(error);
  int same = got == count;
  for (size_t i = 0; same && i < count; i++) {
    int32_t rank = -1;
    dcp_error_rank_failure(error, i, &rank, NULL);
    same = rank == ranks[i];
  }
  if (same) return 0;
  return fail(s, "%s: %zu ranks are named, not %zu: %s", what, got, count,
              error == NULL ? "no error" : dcp_error_message(error));
}

/* The last rank comes late to a gather: the root names it, and tells all. */
static int a_late_rank_is_named(suite* s) {
  const int32_t late = s->size - 1;
  const int64_t wait = s->silence_ms;
  if (barrier(s)) return 1;
  if (s->rank == late) sleep_ms(2 * wait);
  dcp_buffers* all = NULL;
  dcp_error* error = NULL;
  int64_t begin = now_ms();
  dcp_status status = dcp_communicator_gather(s->comm, "here", 4, 0, wait, &all, &error);
  if (s->rank == 0) {
    int64_t took = now_ms() - begin;
    if (status != DCP_TIMEOUT)
      fail(s, "gather without a rank ended with %s", dcp_status_name(status));
    names(s, "gather", error, &late, 1);
    if (took < wait - 20)
      fail(s, "waited %lld ms instead of %lld", (long long)took, (long long)wait);
    if (dcp_buffers_count(all) != (size_t)s->size) fail(s, "the others' buffers are not given");
  } else if (status != DCP_OK) {
    fail_error(s, "gather beside a late rank", error);
    error = NULL;
  }
  dcp_error_free(error);
  dcp_buffers_free(all);
  /* What the root decided reaches all, the late one too. */
  return s->failed || broadcast(s, 0, 77, 1000) || gather(s, 0, 5) || barrier(s);
}

/* Some ranks come late to a barrier: all that came, and those that come, hear which. */
static int late_ranks_are_named_by_all(suite* s) {
  const int64_t wait = s->silence_ms;
  int32_t late[2] = {1, s->size - 1};
  size_t count = s->size > 2 ? 2 : 1;
  int is_late = s->rank == late[0] || (count == 2 && s->rank == late[1]);
  if (barrier(s)) return 1;
  if (is_late) sleep_ms(2 * wait);
  dcp_error* error = NULL;
  dcp_status status = dcp_communicator_barrier(s->comm, wait, &error);
  if (status != DCP_TIMEOUT)
    fail(s, "a barrier without ranks ended with %s", dcp_status_name(status));
  names(s, "barrier", error, late, count);
  dcp_error_free(error);
  return s->failed || barrier(s) || all_gather(s, 9);
}

/* A rank at work is waited for, by the root and by those that wait for the root. */
static int work_is_waited_for(suite* s) {
  const int64_t wait = s->silence_ms;
  for (int32_t busy = 0; busy < 2; busy++) {
    if (barrier(s)) return 1;
    if (s->rank == busy) {
      for (int64_t begin = now_ms(); now_ms() - begin < 3 * wait; sleep_ms(wait / 20)) {
        dcp_communicator_still_here(s->comm, 0, wait);
      }
    }
    dcp_buffers* all = NULL;
    dcp_error* error = NULL;
    if (dcp_communicator_gather(s->comm, "x", 1, 0, wait, &all, &error) != DCP_OK) {
      return fail_error(s, "gather beside a rank at work", error);
    }
    dcp_buffers_free(all);
    if (dcp_communicator_broadcast(s->comm, "y", 1, 0, wait, &all, &error) != DCP_OK) {
      return fail_error(s, "broadcast of a root at work", error);
    }
    dcp_buffers_free(all);
  }
  return 0;
}

/* Leaves the ranks out of step: last. */
static int different_calls_are_told(suite* s) {
  if (barrier(s)) return 1;
  dcp_error* error = NULL;
  dcp_status status;
  if (s->rank == 0) {
    dcp_buffers* all = NULL;
    status = dcp_communicator_gather(s->comm, "x", 1, 0, s->silence_ms, &all, &error);
    dcp_buffers_free(all);
  } else {
    status = dcp_communicator_barrier(s->comm, s->silence_ms, &error);
  }
  if (status == DCP_OK) fail(s, "a gather and a barrier met");
  if (s->rank == 0 && status != DCP_INVALID_ARGUMENT) {
    fail(s, "a gather met a barrier: %s", dcp_error_message(error));
  }
  dcp_error_free(error);
  return s->failed;
}

int communicator_suite(dcp_communicator* comm, int traits, int64_t silence_ms, char* wrong,
                       size_t wrong_size) {
  suite s = {comm,
             dcp_communicator_rank(comm),
             dcp_communicator_world_size(comm),
             silence_ms,
             wrong,
             wrong_size,
             0};
  wrong[0] = '\0';
  if (wrong_arguments(&s) || every_call_from_every_root(&s) || large_and_empty_buffers(&s) ||
      many_calls(&s) || barriers_hold(&s)) {
    return 1;
  }
  if (s.size == 1) return 0;
  if ((traits & COMMUNICATOR_RECOVERS) != 0 &&
      (a_late_rank_is_named(&s) || late_ranks_are_named_by_all(&s))) {
    return 1;
  }
  if ((traits & COMMUNICATOR_SAYS_STILL_HERE) != 0 && work_is_waited_for(&s)) return 1;
  if ((traits & COMMUNICATOR_CHECKS_CALLS) != 0 && different_calls_are_told(&s)) return 1;
  return 0;
}
