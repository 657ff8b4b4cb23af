// What all commands share: options given before or after the command's name, the context, the
// progress bar, and how failures are told.
#ifndef DCP_CLI_SESSION_H_
#define DCP_CLI_SESSION_H_

#include <string>
#include <string_view>

#include "cli/handles.h"
#include "cli/json.h"
#include "cli/progress_bar.h"

namespace dcp::cli {

enum ExitCode {
  kFine = 0,
  kDamagedOrDifferent = 1,
  kUsageOrUnreadable = 2,
  kInterrupted = 130,
};

class Session {
 public:
  // Set by main() before Start().
  bool json = false;
  std::string progress = "auto";  // "auto", "always" or "never"
  int threads = 0;
  std::string command;

  // Makes the context and lets Ctrl-C cancel. The progress bar shows when standard error is a
  // terminal, or as `progress` says.
  Failure Start();

  dcp_context* context() const { return context_.get(); }
  dcp_cancel* cancel() const { return cancel_.get(); }
  bool cancelled() const { return dcp_cancel_requested(cancel_.get()) != 0; }
  ProgressBar& bar() { return bar_; }

  // {"dcpctl": 1, "command": ...}: the head of every document.
  Json Document() const;

  // Prints the failure, to standard error and as JSON when asked, and returns the exit code.
  int Fail(const Failure& failure);
  // Same for a mistake in how the command was called.
  int FailUsage(const std::string& message);
  // A line on standard error that does not change the outcome.
  void Warn(std::string_view message);

 private:
  ProgressBar bar_;  // outlives the context that reports to it
  CancelHandle cancel_;
  ContextHandle context_;
};

// DCP_CORRUPT, also on another rank: damaged. DCP_CANCELLED: interrupted. Others: unreadable.
int ExitCodeOf(const Failure& failure);
// {"status", "message", "details", "ranks"}
Json ErrorJson(const Failure& failure);
Json ErrorJson(const dcp_error* error);

// On a terminal that takes colours, `text` in them. `colour` is an SGR number, such as 31 for red.
std::string Coloured(std::string_view text, int colour);

}  // namespace dcp::cli

#endif  // DCP_CLI_SESSION_H_
