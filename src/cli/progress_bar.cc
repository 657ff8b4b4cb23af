#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/text.h"

namespace dcp::cli {
namespace {

const char* PhaseName(int32_t phase) {
  switch (phase) {
    case DCP_PHASE_PLAN:
      return "planning";
    case DCP_PHASE_STAGE:
      return "staging";
    case DCP_PHASE_WRITE:
      return "writing";
    case DCP_PHASE_COMMIT:
      return "committing";
    case DCP_PHASE_READ:
      return "reading";
    case DCP_PHASE_VERIFY:
      return "verifying";
    default:
      return "working";
  }
}

size_t TerminalWidth() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

Failure ProgressBar::Attach(dcp_context* context) {
  shown_ = true;
  dcp_progress_table table = {};
  table.struct_size = sizeof table;
  table.update = &ProgressBar::OnEvent;
  return Try(
      [&](dcp_error** error) { return dcp_context_set_progress(context, &table, this, error); });
}

dcp_status ProgressBar::OnEvent(void* bar, const dcp_progress_event* event, dcp_error**) {
  auto* self = static_cast<ProgressBar*>(bar);
  if (self->manual_) return DCP_OK;
  std::lock_guard lock(self->mutex_);
  if (event->bytes_total > 0) {
    self->Draw(PhaseName(event->phase), event->bytes_done, event->bytes_total);
  }
  return DCP_OK;
}

void ProgressBar::Update(std::string_view what, uint64_t done, uint64_t total) {
  if (!shown_ || total == 0) return;
  std::lock_guard lock(mutex_);
  if (drawn_ && done < total && what == what_ &&
      Clock::now() - last_ < std::chrono::milliseconds(100)) {
    return;
  }
  Draw(what, done, total);
}

void ProgressBar::Clear() {
  if (!shown_) return;
  std::lock_guard lock(mutex_);
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

void ProgressBar::Draw(std::string_view what, uint64_t done, uint64_t total) {
  Clock::time_point now = Clock::now();
  if (what != what_) {
    what_ = what;
    started_ = now;
  }
  done = std::min(done, total);
  double share = static_cast<double>(done) / static_cast<double>(total);
  double seconds = std::chrono::duration<double>(now - started_).count();
  std::string tail =
      fmt::format(" {:3.0f}%  {} / {}", share * 100, HumanBytes(done), HumanBytes(total));
  if (seconds > 0.2 && done > 0) {
    double rate = static_cast<double>(done) / seconds;
    tail += fmt::format("  {}/s", HumanBytes(static_cast<uint64_t>(rate)));
    if (done < total) {
      tail += fmt::format("  {} left", HumanDuration(static_cast<double>(total - done) / rate));
    }
  }
  size_t width = TerminalWidth();
  std::string line = fmt::format("{:<10} ", what);
  if (width > line.size() + tail.size() + 12) {
    size_t cells = std::min<size_t>(40, width - line.size() - tail.size() - 3);
    size_t full = static_cast<size_t>(share * static_cast<double>(cells));
    line += "[" + std::string(full, '=');
    if (full < cells) line += ">" + std::string(cells - full - 1, ' ');
    line += "]";
  }
  line += tail;
  if (line.size() >= width) line.resize(width - 1);
  fmt::print(stderr, "\r{}\x1b[K", line);
  std::fflush(stderr);
  drawn_ = true;
  last_ = now;
}

}  // namespace dcp::cli
