// dcpctl: look into, check, compare and copy checkpoints from a shell (docs/dcpctl.md).
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"

namespace dcp::cli {
namespace {

std::string VersionText() {
  return fmt::format("dcpctl {}.{}.{} (libdcp {}, ABI {})\n{}", DCP_VERSION_MAJOR,
                     DCP_VERSION_MINOR, DCP_VERSION_PATCH, dcp_version_string(), dcp_abi_version(),
                     dcp_build_info());
}

void PrintVersion(const Session& session) {
  if (!session.json) {
    std::string text = VersionText();
    fmt::print("{}{}", text, text.back() == '\n' ? "" : "\n");
    return;
  }
  Json document = session.Document();
  document["version"] = dcp_version_string();
  document["abi"] = dcp_abi_version();
  Json parts = Json::object();
  std::string_view info = dcp_build_info();
  while (!info.empty()) {
    std::string_view line = info.substr(0, info.find('\n'));
    info.remove_prefix(std::min(line.size() + 1, info.size()));
    size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    parts[std::string(line.substr(0, colon))] = std::string(line.substr(colon + 2));
  }
  document["parts"] = parts;
  PrintJson(document);
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Looks into, checks, compares and copies checkpoints of torch.distributed.checkpoint",
      "dcpctl");
  app.fallthrough();
  app.require_subcommand(0, 1);
  Session session;
  bool version = false;
  app.add_flag("--version", version, "Print the version and what is built in");
  app.add_flag("--json", session.json, "Print JSON, as docs/dcpctl.md describes it");
  app.add_option("--progress", session.progress,
                 "Progress bar: auto (on a terminal), always, never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  app.add_option("--threads", session.threads, "Threads for input and output; 0: as many as serve")
      ->check(CLI::Range(0, 4096));
  app.footer(
      "A checkpoint is a folder, given by its path or as file:///path.\n"
      "Exit codes: 0 fine, 1 damaged or different, 2 wrong usage or unreadable, 130 interrupted.");

  std::vector<Command> commands = {AddLs(app),   AddShow(app), AddGet(app),       AddVerify(app),
                                   AddDiff(app), AddCopy(app), AddBenchRanks(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kFine : kUsageOrUnreadable;
  }
  if (version) {
    session.command = "version";
    PrintVersion(session);
    return kFine;
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    session.command = command.app->get_name();
    if (Failure failure = session.Start()) return session.Fail(failure);
    int code = command.run(session);
    session.bar().Clear();
    return code;
  }
  fmt::print(stderr, "{}", app.help());
  return kUsageOrUnreadable;
}

}  // namespace
}  // namespace dcp::cli

int main(int argc, char** argv) {
  int code = dcp::cli::Run(argc, argv);
  // A full disk or a closed pipe must not look like success.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::perror("dcpctl: standard output");
    return dcp::cli::kUsageOrUnreadable;
  }
  return code;
}
