// The commands of dcpctl. Each function declares one on `app`; `run` does it after parsing and
// returns the exit code.
#ifndef DCP_CLI_COMMANDS_H_
#define DCP_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>

#include "cli/session.h"

namespace dcp::cli {

struct Command {
  CLI::App* app;
  std::function<int(Session&)> run;
};

Command AddLs(CLI::App& app);
Command AddShow(CLI::App& app);
Command AddGet(CLI::App& app);
Command AddVerify(CLI::App& app);
Command AddDiff(CLI::App& app);
Command AddCopy(CLI::App& app);
Command AddBenchRanks(CLI::App& app);

}  // namespace dcp::cli

#endif  // DCP_CLI_COMMANDS_H_
