/* The gate between libdcp's threads and the interpreter. A thread that asks for the GIL while the
 * interpreter finalises is ended by Python in the middle of our frames, so nobody may ask then. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "pydcp.h"

static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_left = PTHREAD_COND_INITIALIZER;
static pthread_once_t gate_once = PTHREAD_ONCE_INIT;
static int gate_shut = 0;
static long gate_inside = 0;

static void gate_in_child(void) {
  pthread_mutex_init(&gate_mutex, NULL);
  pthread_cond_init(&gate_left, NULL);
  gate_inside = 0;
}

static void gate_start(void) { pthread_atfork(NULL, NULL, gate_in_child); }

int pydcp_enter(pydcp_gil* gil) {
  pthread_once(&gate_once, gate_start);
  pthread_mutex_lock(&gate_mutex);
  if (gate_shut) {
    pthread_mutex_unlock(&gate_mutex);
    return 0;
  }
  gate_inside++;
  pthread_mutex_unlock(&gate_mutex);
  gil->state = PyGILState_Ensure();
  gil->held = 1;
  return 1;
}

void pydcp_leave(pydcp_gil* gil) {
  gil->held = 0;
  PyGILState_Release(gil->state);
  pthread_mutex_lock(&gate_mutex);
  if (gate_inside > 0) gate_inside--;
  pthread_cond_broadcast(&gate_left);
  pthread_mutex_unlock(&gate_mutex);
}

void pydcp_stop_unwinding(pydcp_gil* gil) {
  while (gil->held) pause();
}

PyObject* pydcp_shut(double seconds) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += (time_t)seconds;
  until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  int empty;
  PyThreadState* thread = PyEval_SaveThread();
  pthread_once(&gate_once, gate_start);
  pthread_mutex_lock(&gate_mutex);
  gate_shut = 1;
  int late = 0;
  while (gate_inside > 0 && !late) {
    late = pthread_cond_timedwait(&gate_left, &gate_mutex, &until) != 0;
  }
  empty = gate_inside == 0;
  pthread_mutex_unlock(&gate_mutex);
  PyEval_RestoreThread(thread);
  return PyBool_FromLong(empty);
}
