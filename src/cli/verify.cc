#include <fmt/format.h>

#include <memory>

#include "cli/checkpoint.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace dcp::cli {
namespace {

Json DamageJson(const dcp_damage& damage) {
  Json json;
  SetName(json, "name", std::string_view(damage.name, damage.name_size));
  json["file"] = damage.file;
  json["offset"] = damage.offset;
  json["error"] = ErrorJson(damage.error);
  return json;
}

void PrintDamage(void* user_data, const dcp_damage* damage) {
  auto* session = static_cast<Session*>(user_data);
  session->bar().Clear();
  std::string_view name(damage->name, damage->name_size);
  std::string place;
  if (damage->file[0] != '\0') {
    place = fmt::format(" in {}", Escape(damage->file));
    if (!name.empty()) place += fmt::format(" at {}", damage->offset);
  }
  fmt::print("{} {}{}\n  {}\n", Coloured("damaged:", 31), name.empty() ? "the file" : Escape(name),
             place, Escape(dcp_error_message(damage->error)));
  std::fflush(stdout);
}

Json ReportJson(const Session& session, const std::string& path, const dcp_verify_report* report) {
  Json document = session.Document();
  document["path"] = path;
  document["items"] = dcp_verify_report_items(report);
  document["bytes"] = dcp_verify_report_bytes(report);
  document["unchecked_items"] = dcp_verify_report_unchecked(report);
  Json damages = Json::array();
  for (size_t i = 0; i < dcp_verify_report_damage_count(report); ++i) {
    dcp_damage damage = {};
    damage.struct_size = sizeof damage;
    if (dcp_verify_report_damage(report, i, &damage, nullptr) == DCP_OK) {
      damages.push_back(DamageJson(damage));
    }
  }
  document["damaged"] = !damages.empty();
  document["damages"] = std::move(damages);
  Json notes = Json::array();
  for (size_t i = 0; i < dcp_verify_report_note_count(report); ++i) {
    notes.push_back(dcp_verify_report_note(report, i));
  }
  document["notes"] = std::move(notes);
  return document;
}

void PrintSummary(const std::string& path, const dcp_verify_report* report, bool damaged) {
  for (size_t i = 0; i < dcp_verify_report_note_count(report); ++i) {
    fmt::print("note: {}\n", Escape(dcp_verify_report_note(report, i)));
  }
  uint64_t items = dcp_verify_report_items(report);
  uint64_t unchecked = dcp_verify_report_unchecked(report);
  std::string read =
      fmt::format("{}, {} read", Count(items, "item"), HumanBytes(dcp_verify_report_bytes(report)));
  if (unchecked > 0) read += fmt::format(", {} without a checksum", Count(unchecked, "item"));
  if (damaged) {
    fmt::print("{} {}: {} in {}\n", Coloured("DAMAGED", 31), Escape(path),
               Count(dcp_verify_report_damage_count(report), "damaged place"), read);
  } else {
    fmt::print("{} {}: {}\n", Coloured("ok", 32), Escape(path), read);
  }
}

int RunVerify(Session& session, const std::string& path) {
  Checkpoint checkpoint;
  if (Failure failure = Checkpoint::Open(session, path, &checkpoint)) {
    return session.Fail(failure);
  }
  dcp_verify_table table = {};
  table.struct_size = sizeof table;
  table.on_damage = PrintDamage;
  VerifyReportHandle report;
  Failure failure = Try([&](dcp_error** error) {
    return dcp_checkpoint_verify(checkpoint.get(), session.json ? nullptr : &table, &session,
                                 session.cancel(), Out(report), error);
  });
  session.bar().Clear();
  bool damaged = failure.status() == DCP_CORRUPT;
  if ((failure && !damaged) || report == nullptr) return session.Fail(failure);
  if (session.json) {
    PrintJson(ReportJson(session, path, report.get()));
  } else {
    PrintSummary(path, report.get(), damaged);
  }
  return damaged ? kDamagedOrDifferent : kFine;
}

}  // namespace

Command AddVerify(CLI::App& app) {
  auto path = std::make_shared<std::string>(".");
  CLI::App* command = app.add_subcommand("verify", "Read everything and check every checksum");
  command->add_option("path", *path, "The checkpoint; the current folder when not given");
  return {command, [path](Session& session) { return RunVerify(session, *path); }};
}

}  // namespace dcp::cli
