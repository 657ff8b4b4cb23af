#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "cli/checkpoint.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace dcp::cli {
namespace {

struct CopyOptions {
  std::string from;
  std::string to;
  int files = 1;
  std::vector<std::string> transforms;
  std::string dialect = "default";
  bool overwrite = false;
};

// The folder of a local destination, empty for other kinds of storage.
std::string LocalFolder(const std::string& where) {
  if (where.starts_with("file://")) return where.substr(7);
  return where.find("://") == std::string::npos ? where : std::string();
}

bool SameFolder(const std::string& a, const std::string& b) {
  struct stat a_stat = {}, b_stat = {};
  return !a.empty() && !b.empty() && stat(a.c_str(), &a_stat) == 0 &&
         stat(b.c_str(), &b_stat) == 0 && a_stat.st_dev == b_stat.st_dev &&
         a_stat.st_ino == b_stat.st_ino;
}

// What an earlier, interrupted copy left is never taken up: the destination must be new or empty.
Failure CheckDestination(const CopyOptions& options) {
  std::string folder = LocalFolder(options.to);
  if (SameFolder(LocalFolder(options.from), folder)) {
    return Failure(
        DCP_INVALID_ARGUMENT,
        fmt::format("{} is the checkpoint itself: copy it to another folder", Escape(options.to)));
  }
  if (options.overwrite || folder.empty()) return Failure();
  std::error_code error;
  std::filesystem::directory_iterator files(folder, error);
  if (!error && files != std::filesystem::directory_iterator()) {
    return Failure(DCP_ALREADY_EXISTS,
                   fmt::format("{} is not empty: --overwrite replaces a checkpoint there",
                               Escape(options.to)));
  }
  return Failure();
}

int RunCopy(Session& session, const CopyOptions& options) {
  if (Failure failure = CheckDestination(options)) return session.Fail(failure);
  Checkpoint checkpoint;
  if (Failure failure = Checkpoint::Open(session, options.from, &checkpoint)) {
    return session.Fail(failure);
  }
  StorageHandle destination;
  if (Failure failure = Try([&](dcp_error** error) {
        return dcp_storage_open(options.to.c_str(), nullptr, Out(destination), error);
      })) {
    return session.Fail(failure);
  }
  std::vector<const char*> transforms;
  for (const std::string& name : options.transforms) transforms.push_back(name.c_str());
  dcp_save_options save;
  dcp_save_options_init(&save, sizeof save);
  save.overwrite = options.overwrite;
  save.files = options.files;
  save.dialect = options.dialect == "2.1" ? DCP_DIALECT_TORCH_2_1 : DCP_DIALECT_DEFAULT;
  save.transforms = transforms.data();
  save.transform_count = transforms.size();
  save.cancel = session.cancel();
  SaveReportHandle report;
  if (Failure failure = Try([&](dcp_error** error) {
        return dcp_checkpoint_copy(checkpoint.get(), destination.get(), &save, Out(report), error);
      })) {
    return session.Fail(failure);
  }
  session.bar().Clear();
  std::vector<std::string> warnings;
  for (size_t i = 0; i < dcp_save_report_warning_count(report.get()); ++i) {
    warnings.emplace_back(dcp_save_report_warning(report.get(), i));
    session.Warn(warnings.back());
  }
  if (session.json) {
    Json document = session.Document();
    document["from"] = options.from;
    document["to"] = options.to;
    document["save_id"] = dcp_save_report_save_id(report.get());
    document["items"] = dcp_save_report_items(report.get());
    document["bytes"] = dcp_save_report_bytes(report.get());
    document["files"] = dcp_save_report_files(report.get());
    document["warnings"] = warnings;
    PrintJson(document);
    return kFine;
  }
  fmt::print("{} {}: {}, {} in {}\n", Coloured("copied to", 32), Escape(options.to),
             Count(dcp_save_report_items(report.get()), "item"),
             HumanBytes(dcp_save_report_bytes(report.get())),
             Count(dcp_save_report_files(report.get()), "file"));
  return kFine;
}

}  // namespace

Command AddCopy(CLI::App& app) {
  auto options = std::make_shared<CopyOptions>();
  CLI::App* command =
      app.add_subcommand("cp", "Copy a checkpoint, checked on the way, with other options");
  command->add_option("from", options->from, "The checkpoint")->required();
  command->add_option("to", options->to, "A folder that is new or empty")->required();
  command->add_option("--files", options->files, "Data files to write")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--transform", options->transforms,
                      "Stream transform, such as stream.zstd; once for each");
  command
      ->add_option("--dialect", options->dialect,
                   "default: read by torch 2.4 and later; 2.1: by every version")
      ->check(CLI::IsMember({"default", "2.1"}));
  command->add_flag("--overwrite", options->overwrite, "Replace a checkpoint that is there");
  return {command, [options](Session& session) { return RunCopy(session, *options); }};
}

}  // namespace dcp::cli
