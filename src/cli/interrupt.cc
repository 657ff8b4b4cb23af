#include "cli/interrupt.h"

#include <csignal>

#include <atomic>

namespace dcp::cli {
namespace {

std::atomic<dcp_cancel*> g_cancel = nullptr;
static_assert(std::atomic<dcp_cancel*>::is_always_lock_free);

void Request(int) { dcp_cancel_request(g_cancel.load()); }

}  // namespace

void CancelOnInterrupt(dcp_cancel* cancel) {
  g_cancel.store(cancel);
  struct sigaction action = {};
  action.sa_handler = Request;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

}  // namespace dcp::cli
