#include <fmt/format.h>

#include <memory>

#include "cli/checkpoint.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace dcp::cli {
namespace {

using PlaceAt = dcp_status (*)(const dcp_verify_report*, size_t, dcp_damage*, dcp_error**);

std::vector<dcp_damage> Places(const dcp_verify_report* report, size_t count, PlaceAt at) {
  std::vector<dcp_damage> places(count, dcp_damage{});
  for (size_t i = 0; i < count; ++i) {
    places[i].struct_size = sizeof(dcp_damage);
    (void)at(report, i, &places[i], nullptr);
  }
  return places;
}

std::vector<dcp_damage> Damages(const dcp_verify_report* report) {
  return Places(report, dcp_verify_report_damage_count(report), dcp_verify_report_damage);
}

std::vector<dcp_damage> Unreadable(const dcp_verify_report* report) {
  return Places(report, dcp_verify_report_unreadable_count(report), dcp_verify_report_unreadable);
}

Json DamageJson(const dcp_damage& damage) {
  Json json;
  SetName(json, "name", std::string_view(damage.name, damage.name_size));
  json["file"] = damage.file;
  json["offset"] = damage.offset;
  json["error"] = ErrorJson(damage.error);
  return json;
}

void PrintPlace(std::string_view label, const dcp_damage* damage) {
  std::string_view name(damage->name, damage->name_size);
  std::string place;
  if (damage->file[0] != '\0') {
    place = fmt::format(" in {}", Escape(damage->file));
    if (!name.empty()) place += fmt::format(" at {}", damage->offset);
  }
  fmt::print("{} {}{}\n  {}\n", label, name.empty() ? "the file" : Escape(name), place,
             Escape(dcp_error_message(damage->error)));
}

void PrintDamage(void* user_data, const dcp_damage* damage) {
  static_cast<Session*>(user_data)->bar().Clear();
  PrintPlace(Coloured("damaged:", 31), damage);
  std::fflush(stdout);
}

Json ReportJson(const Session& session, const std::string& path, const dcp_verify_report* report) {
  Json document = session.Document();
  document["path"] = path;
  document["items"] = dcp_verify_report_items(report);
  document["bytes"] = dcp_verify_report_bytes(report);
  document["unchecked_items"] = dcp_verify_report_unchecked(report);
  Json damages = Json::array();
  for (const dcp_damage& damage : Damages(report)) damages.push_back(DamageJson(damage));
  document["damaged"] = !damages.empty();
  document["damages"] = std::move(damages);
  Json unreadable = Json::array();
  for (const dcp_damage& item : Unreadable(report)) unreadable.push_back(DamageJson(item));
  document["unreadable"] = std::move(unreadable);
  Json notes = Json::array();
  for (size_t i = 0; i < dcp_verify_report_note_count(report); ++i) {
    notes.push_back(dcp_verify_report_note(report, i));
  }
  document["notes"] = std::move(notes);
  return document;
}

void PrintSummary(const std::string& path, const dcp_verify_report* report, bool damaged) {
  const std::vector<dcp_damage> unreadable = Unreadable(report);
  for (const dcp_damage& item : unreadable) PrintPlace(Coloured("not checked:", 33), &item);
  for (size_t i = 0; i < dcp_verify_report_note_count(report); ++i) {
    fmt::print("note: {}\n", Escape(dcp_verify_report_note(report, i)));
  }
  uint64_t items = dcp_verify_report_items(report);
  uint64_t unchecked = dcp_verify_report_unchecked(report);
  std::string read =
      fmt::format("{}, {} read", Count(items, "item"), HumanBytes(dcp_verify_report_bytes(report)));
  if (unchecked > 0) read += fmt::format(", {} without a checksum", Count(unchecked, "item"));
  if (!unreadable.empty()) {
    read += fmt::format(", {} not checked: the transform is not known here",
                        Count(unreadable.size(), "item"));
  }
  if (damaged) {
    fmt::print("{} {}: {} in {}\n", Coloured("DAMAGED", 31), Escape(path),
               Count(dcp_verify_report_damage_count(report), "damaged place"), read);
  } else if (!unreadable.empty()) {
    fmt::print("{} {}: {}\n", Coloured("NOT CHECKED", 33), Escape(path), read);
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
  if (report == nullptr) return session.Fail(failure);
  bool damaged = failure.status() == DCP_CORRUPT;
  if (session.json) {
    PrintJson(ReportJson(session, path, report.get()));
  } else {
    PrintSummary(path, report.get(), damaged);
  }
  if (damaged) return kDamagedOrDifferent;
  return failure ? kUsageOrUnreadable : kFine;
}

}  // namespace

Command AddVerify(CLI::App& app) {
  auto path = std::make_shared<std::string>(".");
  CLI::App* command = app.add_subcommand("verify", "Read everything and check every checksum");
  command->add_option("path", *path, "The checkpoint; the current folder when not given");
  return {command, [path](Session& session) { return RunVerify(session, *path); }};
}

}  // namespace dcp::cli
