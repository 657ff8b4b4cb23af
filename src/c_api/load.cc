#include "checkpoint/load.h"

#include "c_api/communicator.h"
#include "c_api/context.h"
#include "c_api/roles.h"
#include "c_api/state_dict.h"
#include "c_api/storage.h"
#include "c_api/value.h"
#include "checkpoint/file_reader.h"
#include "metadata/path.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

struct dcp_load_report : dcp::c_api::Handle {
  dcp::LoadResult result;
};

namespace {

const std::vector<std::string>* ListOf(const dcp_load_report* report, int32_t list) {
  if (report == nullptr || report->forked()) return nullptr;
  const dcp::LoadReport& lists = report->result.report;
  switch (list) {
    case DCP_LOADED:
      return &lists.loaded;
    case DCP_MISSING:
      return &lists.missing;
    case DCP_UNEXPECTED:
      return &lists.unexpected;
    case DCP_CAST:
      return &lists.cast;
    case DCP_UNCOVERED:
      return &lists.uncovered;
    default:
      return nullptr;
  }
}

}  // namespace

extern "C" {

void dcp_load_options_init(dcp_load_options* options, size_t struct_size) {
  dcp_load_options defaults = {};
  defaults.allow_cast = 1;
  defaults.verify = 1;
  defaults.flatten = 1;
  defaults.timeout_ms = 600000;
  dcp::c_api::InitOptions(options, struct_size, defaults);
}

size_t dcp_load_report_count(const dcp_load_report* report, int32_t list) {
  const auto* lines = ListOf(report, list);
  return lines == nullptr ? 0 : lines->size();
}

dcp_status dcp_load_report_at(const dcp_load_report* report, int32_t list, size_t index,
                              const char** text, size_t* size, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(report, "report"));
    DCP_RETURN_IF_ERROR(CheckOut(text, "text"));
    DCP_RETURN_IF_ERROR(CheckOut(size, "size"));
    const auto* lines = ListOf(report, list);
    if (lines == nullptr || index >= lines->size()) {
      return Error(Code::kInvalidArgument, "no line {} in list {}", index, list);
    }
    *text = (*lines)[index].c_str();
    *size = (*lines)[index].size();
    return Status::Ok();
  });
}

size_t dcp_load_report_object_count(const dcp_load_report* report) {
  return report == nullptr || report->forked() ? 0 : report->result.objects.size();
}

dcp_status dcp_load_report_object(const dcp_load_report* report, size_t index, const char** name,
                                  size_t* name_size, dcp_value** path, dcp_value** value,
                                  dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (path != nullptr) *path = nullptr;
    if (value != nullptr) *value = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(report, "report"));
    if (index >= report->result.objects.size()) {
      return Error(Code::kInvalidArgument, "object {} of {}", index, report->result.objects.size());
    }
    const auto& [leaf, read] = report->result.objects[index];
    std::unique_ptr<dcp_value> path_out;
    if (path != nullptr) {
      path_out = std::make_unique<dcp_value>(dcp::PathToValue(leaf.path));
    }
    if (value != nullptr) *value = new dcp_value(read);
    if (path != nullptr) *path = path_out.release();
    if (name != nullptr) *name = leaf.name.c_str();
    if (name_size != nullptr) *name_size = leaf.name.size();
    return Status::Ok();
  });
}

uint64_t dcp_load_report_bytes_read(const dcp_load_report* report) {
  return report == nullptr ? 0 : report->result.bytes_read;
}

uint64_t dcp_load_report_bytes_unverified(const dcp_load_report* report) {
  return report == nullptr ? 0 : report->result.report.unverified_bytes;
}

void dcp_load_report_free(dcp_load_report* report) { dcp::c_api::Free(report); }

dcp_status dcp_load(dcp_context* context, dcp_storage* storage, const dcp_state_dict* state,
                    const dcp_load_options* options, dcp_load_report** report, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (report != nullptr) *report = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    dcp_load_options o;
    DCP_RETURN_IF_ERROR(
        dcp::c_api::CopyOptions(options, dcp_load_options_init, &o, "dcp_load_options"));
    DCP_ASSIGN_OR_RETURN(auto engine, dcp::c_api::EngineOf(context));
    dcp::LoadOptions load;
    load.allow_partial = o.allow_partial != 0;
    load.allow_cast = o.allow_cast != 0;
    load.verify = o.verify != 0;
    load.flatten = o.flatten != 0;
    load.timeout_ms = o.timeout_ms;
    load.coordinator = o.coordinator;
    DCP_ASSIGN_OR_RETURN(load.cancel, dcp::c_api::TokenOf(o.cancel));
    DCP_ASSIGN_OR_RETURN(auto comm, dcp::c_api::CommunicatorOf(o.communicator));
    if (o.planner != nullptr) {
      DCP_RETURN_IF_ERROR(CheckHandle(o.planner, "planner"));
      load.planner = dcp::c_api::NewTableLoadPlanner(o.planner->role);
    }
    std::unique_ptr<dcp::StorageReader> reader;
    if (o.storage_reader != nullptr) {
      DCP_RETURN_IF_ERROR(CheckHandle(o.storage_reader, "storage_reader"));
      reader = dcp::c_api::NewTableStorageReader(
          o.storage_reader->role, o.checkpoint_id == nullptr ? "" : o.checkpoint_id, engine);
    } else {
      DCP_RETURN_IF_ERROR(CheckHandle(storage, "storage"));
      reader = dcp::NewFileReader(*storage->store, load, *engine);
    }
    auto loaded = dcp::Load(*reader, *comm, state->ToValue(), load, *engine);
    if (!loaded.ok()) return loaded.status();
    if (report != nullptr) {
      auto made = std::make_unique<dcp_load_report>();
      made->result = *std::move(loaded);
      *report = made.release();
    }
    return Status::Ok();
  });
}

}  // extern "C"
