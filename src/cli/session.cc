#include "cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "cli/interrupt.h"
#include "cli/text.h"

namespace dcp::cli {
namespace {

// Messages may be of several lines; all else that a terminal would act upon is escaped, and a
// backslash stands for itself.
std::string MessageText(std::string_view message) {
  std::string out;
  size_t start = 0;
  for (size_t i = 0; i <= message.size(); ++i) {
    if (i == message.size() || message[i] == '\n' || message[i] == '\\') {
      out += Escape(message.substr(start, i - start));
      if (i < message.size()) out += message[i];
      start = i + 1;
    }
  }
  return out;
}

void PrintRankFailures(const dcp_error* error) {
  for (size_t i = 0; i < dcp_error_rank_failure_count(error); ++i) {
    int32_t rank = 0;
    const char* step = nullptr;
    const dcp_error* failure = dcp_error_rank_failure(error, i, &rank, &step);
    if (failure == nullptr || step == nullptr) continue;
    fmt::print(stderr, "  rank {}, {}: {}\n", rank, step, MessageText(dcp_error_message(failure)));
  }
}

bool HasStatus(const dcp_error* error, dcp_status status) {
  if (error == nullptr) return false;
  if (dcp_error_status(error) == status) return true;
  for (size_t i = 0; i < dcp_error_rank_failure_count(error); ++i) {
    const dcp_error* failure = dcp_error_rank_failure(error, i, nullptr, nullptr);
    if (failure != nullptr && dcp_error_status(failure) == status) return true;
  }
  return false;
}

}  // namespace

Failure Session::Start() {
  bool show = progress == "always" || (progress == "auto" && isatty(STDERR_FILENO) == 1);
  cancel_.reset(dcp_cancel_new());
  if (cancel_ == nullptr) return Failure(DCP_OUT_OF_MEMORY, "out of memory");
  CancelOnInterrupt(cancel_.get());
  dcp_context_options options;
  dcp_context_options_init(&options, sizeof options);
  options.threads = threads;
  if (Failure failure =
          Try([&](dcp_error** error) { return dcp_context_new(&options, Out(context_), error); })) {
    return failure;
  }
  if (show) return bar_.Attach(context_.get());
  return Failure();
}

Json Session::Document() const {
  Json document;
  document["dcpctl"] = kJsonSchema;
  document["command"] = command;
  return document;
}

int Session::Fail(const Failure& failure) {
  bar_.Clear();
  fmt::print(stderr, "dcpctl: {}\n", MessageText(failure.message()));
  if (failure.error() != nullptr) PrintRankFailures(failure.error());
  if (json) {
    Json document = Document();
    document["error"] = ErrorJson(failure);
    PrintJson(document);
  }
  return ExitCodeOf(failure);
}

int Session::FailUsage(const std::string& message) {
  return Fail(Failure(DCP_INVALID_ARGUMENT, message));
}

void Session::Warn(std::string_view message) {
  bar_.Clear();
  fmt::print(stderr, "dcpctl: {}\n", MessageText(message));
}

int ExitCodeOf(const Failure& failure) {
  if (!failure) return kFine;
  if (failure.status() == DCP_CORRUPT || HasStatus(failure.error(), DCP_CORRUPT)) {
    return kDamagedOrDifferent;
  }
  if (failure.status() == DCP_CANCELLED || HasStatus(failure.error(), DCP_CANCELLED)) {
    return kInterrupted;
  }
  return kUsageOrUnreadable;
}

Json ErrorJson(const dcp_error* error) {
  Json json;
  json["status"] = dcp_status_name(dcp_error_status(error));
  json["message"] = dcp_error_message(error);
  Json details = Json::object();
  for (size_t i = 0; i < dcp_error_detail_count(error); ++i) {
    details[dcp_error_detail_key(error, i)] = dcp_error_detail_value(error, i);
  }
  json["details"] = details;
  Json ranks = Json::array();
  for (size_t i = 0; i < dcp_error_rank_failure_count(error); ++i) {
    int32_t rank = 0;
    const char* step = nullptr;
    const dcp_error* failure = dcp_error_rank_failure(error, i, &rank, &step);
    if (failure == nullptr) continue;
    ranks.push_back({{"rank", rank},
                     {"step", step == nullptr ? "" : step},
                     {"status", dcp_status_name(dcp_error_status(failure))},
                     {"message", dcp_error_message(failure)}});
  }
  json["ranks"] = ranks;
  return json;
}

Json ErrorJson(const Failure& failure) {
  if (failure.error() != nullptr) return ErrorJson(failure.error());
  Json json;
  json["status"] = dcp_status_name(failure.status());
  json["message"] = failure.message();
  json["details"] = Json::object();
  json["ranks"] = Json::array();
  return json;
}

std::string Coloured(std::string_view text, int colour) {
  static const bool colours = [] {
    const char* no_colour = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0') &&
           (terminal == nullptr || std::string_view(terminal) != "dumb");
  }();
  if (!colours) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", colour, text);
}

}  // namespace dcp::cli
