#include "c_api/checkpoint.h"
#include "c_api/context.h"
#include "c_api/error.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::Guard;

struct dcp_verify_report : dcp::c_api::Handle {
  explicit dcp_verify_report(dcp::VerifySummary of) : summary(std::move(of)) {
    for (const dcp::Damage& place : summary.damage) {
      damage_errors.push_back(std::make_unique<dcp_error>(place.status));
    }
    for (const dcp::Damage& place : summary.unreadable) {
      unreadable_errors.push_back(std::make_unique<dcp_error>(place.status));
    }
  }
  dcp::VerifySummary summary;
  std::vector<std::unique_ptr<dcp_error>> damage_errors;      // one for each damage
  std::vector<std::unique_ptr<dcp_error>> unreadable_errors;  // one for each unreadable item
};

namespace {

void Describe(const dcp::Damage& damage, const dcp_error* error, dcp_damage* out) {
  out->name = damage.name.c_str();
  out->name_size = damage.name.size();
  out->file = damage.file.c_str();
  out->offset = damage.offset;
  out->error = error;
}

Status PlaceAt(const std::vector<dcp::Damage>& places,
               const std::vector<std::unique_ptr<dcp_error>>& errors, size_t index,
               dcp_damage* out) {
  if (out == nullptr || out->struct_size != sizeof *out) {
    return Error(Code::kInvalidArgument, "out is NULL, or its struct_size is not {}", sizeof *out);
  }
  if (index >= places.size()) {
    return Error(Code::kInvalidArgument, "index {} of {}", index, places.size());
  }
  Describe(places[index], errors[index].get(), out);
  return Status::Ok();
}

// What the whole verification comes to: `code` with the first place's details, or ok when there is
// none.
Status Outcome(Code code, const std::vector<dcp::Damage>& places) {
  if (places.empty()) return Status::Ok();
  const dcp::Damage& first = places.front();
  return Status(code, places.size() == 1 ? first.status.message()
                                         : fmt::format("{} (and {} more)", first.status.message(),
                                                       places.size() - 1))
      .WithDetail("file", first.file)
      .WithDetail("tensor", first.name)
      .WithDetail("offset", fmt::format("{}", first.offset));
}

}  // namespace

extern "C" {

uint64_t dcp_verify_report_items(const dcp_verify_report* report) {
  return report == nullptr ? 0 : report->summary.items_checked;
}

uint64_t dcp_verify_report_unchecked(const dcp_verify_report* report) {
  return report == nullptr ? 0 : report->summary.items_without_checksum;
}

uint64_t dcp_verify_report_bytes(const dcp_verify_report* report) {
  return report == nullptr ? 0 : report->summary.bytes_checked;
}

size_t dcp_verify_report_damage_count(const dcp_verify_report* report) {
  return report == nullptr ? 0 : report->summary.damage.size();
}

dcp_status dcp_verify_report_damage(const dcp_verify_report* report, size_t index, dcp_damage* out,
                                    dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(report, "report"));
    return PlaceAt(report->summary.damage, report->damage_errors, index, out);
  });
}

size_t dcp_verify_report_unreadable_count(const dcp_verify_report* report) {
  return report == nullptr ? 0 : report->summary.unreadable.size();
}

dcp_status dcp_verify_report_unreadable(const dcp_verify_report* report, size_t index,
                                        dcp_damage* out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(report, "report"));
    return PlaceAt(report->summary.unreadable, report->unreadable_errors, index, out);
  });
}

size_t dcp_verify_report_note_count(const dcp_verify_report* report) {
  return report == nullptr ? 0 : report->summary.notes.size();
}

const char* dcp_verify_report_note(const dcp_verify_report* report, size_t index) {
  return index < dcp_verify_report_note_count(report) ? report->summary.notes[index].c_str()
                                                      : nullptr;
}

void dcp_verify_report_free(dcp_verify_report* report) { dcp::c_api::Free(report); }

dcp_status dcp_checkpoint_verify(dcp_checkpoint* checkpoint, const dcp_verify_table* table,
                                 void* user_data, dcp_cancel* cancel, dcp_verify_report** report,
                                 dcp_error** error) {
  return Guard(error, [&]() -> Status {
    auto data = dcp::c_api::TakeUserData(table, user_data);
    if (report != nullptr) *report = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(checkpoint, "checkpoint"));
    DCP_ASSIGN_OR_RETURN(dcp::CancelToken token, dcp::c_api::TokenOf(cancel));
    std::function<void(const dcp::Damage&)> on_damage;
    dcp_verify_table t;
    if (table != nullptr) {
      DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &t, "dcp_verify_table"));
      if (t.on_damage == nullptr) {
        return Error(Code::kInvalidArgument, "dcp_verify_table: on_damage must be given");
      }
      on_damage = [&](const dcp::Damage& damage) {
        dcp_error described(damage.status);
        dcp_damage out = {};
        out.struct_size = sizeof out;
        Describe(damage, &described, &out);
        t.on_damage(data->get(), &out);
      };
    }
    auto summary = checkpoint->checkpoint->Verify(on_damage, token);
    if (!summary.ok()) return summary.status();
    Status found = Outcome(Code::kCorrupt, summary->damage);
    if (found.ok()) found = Outcome(Code::kUnsupported, summary->unreadable);
    if (report != nullptr) *report = new dcp_verify_report(*std::move(summary));
    return found;
  });
}

}  // extern "C"
