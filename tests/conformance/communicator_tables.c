/* Communicators plugged in through dcp.h's three tables: collective calls, handed on to another
 * communicator; messages, over socket pairs; a key-value store, which is a folder. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "capi/support.h"
#include "conformance/rank_threads.h"

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int destroyed;
static void count_destroyed(void* user_data) {
  (void)user_data;
  __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

/* ---- collective calls ---- */

static dcp_status give_all(dcp_status status, dcp_buffers* all, dcp_buffer_sink give, void* sink) {
  for (size_t i = 0; i < dcp_buffers_count(all); i++) {
    size_t size = 0;
    const void* data = dcp_buffers_at(all, i, &size);
    give(sink, (int32_t)i, data, size);
  }
  dcp_buffers_free(all);
  return status;
}

static dcp_status on_gather(void* user_data, const void* data, size_t size, int32_t root,
                            int64_t timeout_ms, dcp_buffer_sink give, void* sink,
                            dcp_error** error) {
  dcp_buffers* all = NULL;
  dcp_status status = dcp_communicator_gather(user_data, data, size, root, timeout_ms, &all, error);
  return give_all(status, all, give, sink);
}

static dcp_status on_scatter(void* user_data, const dcp_buffer* parts, int32_t root,
                             int64_t timeout_ms, dcp_buffer_sink give, void* sink,
                             dcp_error** error) {
  dcp_buffers* mine = NULL;
  size_t count = parts == NULL ? 0 : (size_t)dcp_communicator_world_size(user_data);
  dcp_status status =
      dcp_communicator_scatter(user_data, parts, count, root, timeout_ms, &mine, error);
  return give_all(status, mine, give, sink);
}

static dcp_status on_broadcast(void* user_data, const void* data, size_t size, int32_t root,
                               int64_t timeout_ms, dcp_buffer_sink give, void* sink,
                               dcp_error** error) {
  dcp_buffers* same = NULL;
  dcp_status status =
      dcp_communicator_broadcast(user_data, data, size, root, timeout_ms, &same, error);
  return give_all(status, same, give, sink);
}

static dcp_status on_all_gather(void* user_data, const void* data, size_t size, int64_t timeout_ms,
                                dcp_buffer_sink give, void* sink, dcp_error** error) {
  dcp_buffers* all = NULL;
  dcp_status status = dcp_communicator_all_gather(user_data, data, size, timeout_ms, &all, error);
  return give_all(status, all, give, sink);
}

static dcp_status on_barrier(void* user_data, int64_t timeout_ms, dcp_error** error) {
  return dcp_communicator_barrier(user_data, timeout_ms, error);
}

static void on_still_here(void* user_data, int32_t root, int64_t timeout_ms) {
  dcp_communicator_still_here(user_data, root, timeout_ms);
}

static void run_collectives(int32_t size, int with_optional_members, int traits) {
  dcp_communicator* inner[MOST_RANKS];
  dcp_communicator* outer[MOST_RANKS];
  dcp_communicator_table table = {0};
  table.struct_size = sizeof table;
  table.gather = on_gather;
  table.scatter = on_scatter;
  table.broadcast = on_broadcast;
  if (with_optional_members) {
    table.all_gather = on_all_gather;
    table.barrier = on_barrier;
    table.still_here = on_still_here;
  }
  table.destroy = count_destroyed;
  OK(dcp_communicator_local(size, inner, &error));
  destroyed = 0;
  for (int32_t rank = 0; rank < size; rank++) {
    OK(dcp_communicator_new(&table, inner[rank], rank, size, &outer[rank], &error));
  }
  run_suite_on_threads(outer, size, traits);
  for (int32_t rank = 0; rank < size; rank++) dcp_communicator_free(inner[rank]);
  assert_int_equal(destroyed, size);
}

static void collectives(void** state) {
  (void)state;
  run_collectives(4, 1,
                  COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE | COMMUNICATOR_CHECKS_CALLS);
}

static void collectives_that_must_be(void** state) {
  (void)state;
  run_collectives(3, 0, COMMUNICATOR_RECOVERS);
}

/* ---- messages ---- */

typedef struct peer {
  int fd; /* of a pair of stream sockets, the other end being the peer's */
  unsigned char* got;
  size_t size;
  size_t capacity;
} peer;

typedef struct messenger {
  int32_t rank;
  peer peers[MOST_RANKS];
} messenger;

static dcp_status lost(dcp_error** error) {
  *error = dcp_error_new(DCP_IO, strerror(errno));
  return DCP_IO;
}

static int left_ms(int64_t until) {
  int64_t left = until - now_ms();
  return until < 0 ? -1 : left < 0 ? 0 : (int)left;
}

/* Takes what has arrived from all, so that senders are not held up; waits for it up to `wait`. */
static int take_arrivals(messenger* self, int wait) {
  struct pollfd polled[MOST_RANKS];
  int32_t ranks[MOST_RANKS];
  nfds_t count = 0;
  for (int32_t rank = 0; rank < MOST_RANKS; rank++) {
    if (self->peers[rank].fd < 0) continue;
    polled[count].fd = self->peers[rank].fd;
    polled[count].events = POLLIN;
    ranks[count++] = rank;
  }
  if (poll(polled, count, wait) < 0) return errno == EINTR ? 0 : -1;
  for (nfds_t i = 0; i < count; i++) {
    if ((polled[i].revents & (POLLIN | POLLHUP)) == 0) continue;
    peer* from = &self->peers[ranks[i]];
    if (from->capacity - from->size < (1 << 16)) {
      from->capacity = 2 * from->capacity + (1 << 16);
      from->got = realloc(from->got, from->capacity);
    }
    ssize_t size =
        recv(from->fd, from->got + from->size, from->capacity - from->size, MSG_DONTWAIT);
    if (size > 0) from->size += (size_t)size;
    if (size == 0) {
      close(from->fd);
      from->fd = -1;
    }
  }
  return 0;
}

static dcp_status send_bytes(messenger* self, int32_t to, const void* data, size_t size,
                             int64_t until, dcp_error** error) {
  const unsigned char* at = data;
  while (size > 0) {
    ssize_t sent = self->peers[to].fd < 0
                       ? -1
                       : send(self->peers[to].fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      at += sent;
      size -= (size_t)sent;
      continue;
    }
    if (self->peers[to].fd < 0 || (errno != EAGAIN && errno != EINTR)) return lost(error);
    if (left_ms(until) == 0) {
      *error = dcp_error_new(DCP_TIMEOUT, "the receiver takes nothing");
      return DCP_TIMEOUT;
    }
    /* Meanwhile the other side may be sending to us. */
    if (take_arrivals(self, 1) != 0) return lost(error);
  }
  return DCP_OK;
}

static dcp_status on_send(void* user_data, int32_t to, const void* data, size_t size,
                          int64_t timeout_ms, dcp_error** error) {
  /* A part of a message would be worse than a late one. */
  int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms + 10000;
  uint64_t length = size;
  dcp_status status = send_bytes(user_data, to, &length, sizeof length, until, error);
  return status != DCP_OK ? status : send_bytes(user_data, to, data, size, until, error);
}

static dcp_status on_receive(void* user_data, int32_t from, int64_t timeout_ms,
                             dcp_buffer_sink give, void* sink, dcp_error** error) {
  messenger* self = user_data;
  peer* sender = &self->peers[from];
  int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
  for (int first = 1;; first = 0) {
    uint64_t length = 0;
    if (sender->size >= sizeof length) memcpy(&length, sender->got, sizeof length);
    if (sender->size >= sizeof length && sender->size - sizeof length >= length) {
      size_t whole = sizeof length + (size_t)length;
      give(sink, from, sender->got + sizeof length, (size_t)length);
      sender->size -= whole;
      memmove(sender->got, sender->got + whole, sender->size);
      return DCP_OK;
    }
    if (sender->fd < 0) {
      *error = dcp_error_new(DCP_RANK_FAILED, "the connection is closed");
      return DCP_RANK_FAILED;
    }
    if (!first && left_ms(until) == 0) {
      *error = dcp_error_new(DCP_TIMEOUT, "nothing came");
      return DCP_TIMEOUT;
    }
    if (take_arrivals(self, left_ms(until)) != 0) return lost(error);
  }
}

static void free_messenger(void* user_data) {
  messenger* self = user_data;
  for (int32_t rank = 0; rank < MOST_RANKS; rank++) {
    if (self->peers[rank].fd >= 0) close(self->peers[rank].fd);
    free(self->peers[rank].got);
  }
  free(self);
}

static void messages(void** state) {
  (void)state;
  enum { SIZE = 4 };
  messenger* all[SIZE];
  dcp_communicator* comms[SIZE];
  dcp_message_table table = {0};
  table.struct_size = sizeof table;
  table.send = on_send;
  table.receive = on_receive;
  table.destroy = free_messenger;
  for (int32_t rank = 0; rank < SIZE; rank++) {
    all[rank] = calloc(1, sizeof(messenger));
    all[rank]->rank = rank;
    for (int32_t other = 0; other < MOST_RANKS; other++) all[rank]->peers[other].fd = -1;
  }
  for (int32_t rank = 0; rank < SIZE; rank++) {
    for (int32_t other = rank + 1; other < SIZE; other++) {
      int pair[2];
      assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
      all[rank]->peers[other].fd = pair[0];
      all[other]->peers[rank].fd = pair[1];
    }
  }
  for (int32_t rank = 0; rank < SIZE; rank++) {
    OK(dcp_communicator_from_messages(&table, all[rank], rank, SIZE, &comms[rank], &error));
  }
  run_suite_on_threads(
      comms, SIZE,
      COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE | COMMUNICATOR_CHECKS_CALLS);
}

/* ---- a key-value store ---- */

typedef struct folder {
  char path[512];
} folder;

/* Keys have slashes. */
static void file_of(const folder* self, const char* key, const char* suffix, char* path,
                    size_t size) {
  int used = snprintf(path, size, "%s/", self->path);
  for (; *key != '\0' && (size_t)used + 8 < size; key++) {
    path[used++] = *key == '/' ? '_' : *key;
  }
  snprintf(path + used, size - (size_t)used, "%s", suffix);
}

static dcp_status on_set(void* user_data, const char* key, const void* data, size_t size,
                         int64_t timeout_ms, dcp_error** error) {
  (void)timeout_ms;
  char temporary[1024];
  char path[1024];
  file_of(user_data, key, ".tmp", temporary, sizeof temporary);
  file_of(user_data, key, "", path, sizeof path);
  FILE* file = fopen(temporary, "wb");
  if (file == NULL) return lost(error);
  size_t written = size == 0 ? 0 : fwrite(data, 1, size, file);
  if (fclose(file) != 0 || written != size || rename(temporary, path) != 0) return lost(error);
  return DCP_OK;
}

static dcp_status on_get(void* user_data, const char* key, int64_t timeout_ms, dcp_buffer_sink give,
                         void* sink, dcp_error** error) {
  char path[1024];
  int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
  file_of(user_data, key, "", path, sizeof path);
  FILE* file;
  while ((file = fopen(path, "rb")) == NULL) {
    if (errno != ENOENT) return lost(error);
    if (left_ms(until) == 0) {
      *error = dcp_error_new(DCP_TIMEOUT, "no such key");
      return DCP_TIMEOUT;
    }
    struct timespec pause = {0, 500000};
    nanosleep(&pause, NULL);
  }
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  char* data = malloc(size + 1);
  size_t read = fread(data, 1, size, file);
  fclose(file);
  if (read == size) give(sink, 0, data, size);
  free(data);
  return read == size ? DCP_OK : lost(error);
}

static dcp_status on_remove(void* user_data, const char* key, dcp_error** error) {
  char path[1024];
  file_of(user_data, key, "", path, sizeof path);
  return unlink(path) == 0 || errno == ENOENT ? DCP_OK : lost(error);
}

static void key_values(void** state) {
  (void)state;
  enum { SIZE = 4 };
  folder where;
  dcp_communicator* comms[SIZE];
  char* path = make_temp_dir();
  snprintf(where.path, sizeof where.path, "%s", path);
  dcp_key_value_table table = {0};
  table.struct_size = sizeof table;
  table.set = on_set;
  table.get = on_get;
  table.remove = on_remove;
  for (int32_t rank = 0; rank < SIZE; rank++) {
    OK(dcp_communicator_from_store(&table, &where, "job/1", rank, SIZE, &comms[rank], &error));
  }
  run_suite_on_threads(
      comms, SIZE,
      COMMUNICATOR_RECOVERS | COMMUNICATOR_SAYS_STILL_HERE | COMMUNICATOR_CHECKS_CALLS);
  remove_tree(path);
  free(path);
}

/* ---- what is wrong with a table ---- */

static void wrong_tables(void** state) {
  (void)state;
  dcp_communicator* comm = NULL;
  dcp_communicator_table table = {0};
  table.struct_size = sizeof table;
  table.destroy = count_destroyed;
  destroyed = 0;
  FAILS(DCP_INVALID_ARGUMENT, "gather", dcp_communicator_new(&table, NULL, 0, 1, &comm, &error));
  table.gather = on_gather;
  table.scatter = on_scatter;
  table.broadcast = on_broadcast;
  FAILS(DCP_INVALID_ARGUMENT, "rank 2 of a group of 2",
        dcp_communicator_new(&table, NULL, 2, 2, &comm, &error));
  FAILS(DCP_INVALID_ARGUMENT, "rank 0 of a group of 0",
        dcp_communicator_new(&table, NULL, 0, 0, &comm, &error));
  assert_int_equal(destroyed, 3);
  assert_null(comm);
  dcp_message_table messages_table = {0};
  messages_table.struct_size = sizeof messages_table;
  FAILS(DCP_INVALID_ARGUMENT, "send",
        dcp_communicator_from_messages(&messages_table, NULL, 0, 1, &comm, &error));
  dcp_key_value_table store_table = {0};
  store_table.struct_size = sizeof store_table;
  FAILS(DCP_INVALID_ARGUMENT, "set",
        dcp_communicator_from_store(&store_table, NULL, "p", 0, 1, &comm, &error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(collectives),  cmocka_unit_test(collectives_that_must_be),
      cmocka_unit_test(messages),     cmocka_unit_test(key_values),
      cmocka_unit_test(wrong_tables),
  };
  return cmocka_run_group_tests_name("conformance/communicator/tables", tests, NULL, NULL);
}
