#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "cli/checkpoint.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace dcp::cli {
namespace {

struct LsOptions {
  std::vector<std::string> paths = {"."};
  bool exact = false;
};

void PrintEntries(const std::vector<Entry>& entries, bool exact) {
  struct Row {
    std::string name, kind, shape, bytes;
  };
  std::vector<Row> rows;
  size_t name_width = 0, kind_width = 0, shape_width = 0, bytes_width = 0;
  for (const Entry& entry : entries) {
    Row row = {Escape(entry.name), Escape(KindText(entry)),
               entry.is_tensor ? ShapeText(entry.shape) : std::string("-"),
               exact ? fmt::format("{}", entry.bytes) : HumanBytes(entry.bytes)};
    name_width = std::max(name_width, Columns(row.name));
    kind_width = std::max(kind_width, row.kind.size());
    shape_width = std::max(shape_width, row.shape.size());
    bytes_width = std::max(bytes_width, row.bytes.size());
    rows.push_back(std::move(row));
  }
  for (const Row& row : rows) {
    fmt::print("{}{:{}}  {:<{}}  {:<{}}  {:>{}}\n", row.name, "", name_width - Columns(row.name),
               row.kind, kind_width, row.shape, shape_width, row.bytes, bytes_width);
  }
}

int RunLs(Session& session, const LsOptions& options) {
  Json checkpoints = Json::array();
  int worst = kFine;
  for (size_t i = 0; i < options.paths.size(); ++i) {
    const std::string& path = options.paths[i];
    Checkpoint checkpoint;
    std::vector<Entry> entries;
    Failure failure = Checkpoint::Open(session, path, &checkpoint);
    if (!failure) failure = checkpoint.ReadEntries(&entries);
    if (failure) {
      worst = std::max(worst, ExitCodeOf(failure));
      if (session.json) {
        checkpoints.push_back({{"path", path}, {"error", ErrorJson(failure)}});
      }
      session.Warn(failure.message());
      continue;
    }
    if (session.json) {
      Json list = Json::array();
      for (const Entry& entry : entries) list.push_back(EntryJson(entry));
      checkpoints.push_back({{"path", path}, {"entries", list}});
      continue;
    }
    if (options.paths.size() > 1) fmt::print("{}{}:\n", i == 0 ? "" : "\n", Escape(path));
    PrintEntries(entries, options.exact);
  }
  if (session.json) {
    Json document = session.Document();
    document["checkpoints"] = checkpoints;
    PrintJson(document);
  }
  return worst;
}

}  // namespace

Command AddLs(CLI::App& app) {
  auto options = std::make_shared<LsOptions>();
  CLI::App* command = app.add_subcommand("ls", "List names with dtype, shape and bytes");
  command->add_option("path", options->paths, "Checkpoints; the current folder when none is given");
  command->add_flag("--bytes", options->exact, "Sizes in bytes");
  return {command, [options](Session& session) { return RunLs(session, *options); }};
}

}  // namespace dcp::cli
