#include "c_api/save.h"

#include "c_api/communicator.h"
#include "c_api/context.h"
#include "c_api/future.h"
#include "c_api/state_dict.h"
#include "c_api/storage.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

namespace dcp::c_api {

Result<SaveRequest> SaveRequestOf(const dcp_save_options* options) {
  dcp_save_options o;
  DCP_RETURN_IF_ERROR(CopyOptions(options, dcp_save_options_init, &o, "dcp_save_options"));
  if (o.files < 1 || o.files > 65536) {
    return Error(Code::kInvalidArgument, "files is {}: 1 to 65536 is allowed", o.files);
  }
  if (o.dialect != DCP_DIALECT_DEFAULT && o.dialect != DCP_DIALECT_TORCH_2_1) {
    return Error(Code::kInvalidArgument, "{} is no dialect", o.dialect);
  }
  if (o.transform_count > 0 && o.transforms == nullptr) {
    return Error(Code::kInvalidArgument, "transforms is NULL");
  }
  SaveRequest request;
  SaveOptions& save = request.options;
  save.overwrite = o.overwrite != 0;
  save.durable = o.durable != 0;
  save.flatten = o.flatten != 0;
  save.files = o.files;
  save.file_per_item = o.file_per_item != 0;
  save.dialect = static_cast<Dialect>(o.dialect);
  save.block_checksums = o.block_checksums != 0;
  save.timeout_ms = o.timeout_ms;
  for (size_t i = 0; i < o.transform_count; ++i) {
    if (o.transforms[i] == nullptr) return Error(Code::kInvalidArgument, "transform {} is NULL", i);
    save.transforms.emplace_back(o.transforms[i]);
  }
  if (o.checkpoint_id != nullptr) save.checkpoint_id = o.checkpoint_id;
  save.coordinator = o.coordinator;
  save.dedup_to_lowest_rank = o.dedup_to_lowest_rank != 0;
  save.use_collectives = o.use_collectives != 0;
  DCP_ASSIGN_OR_RETURN(save.cancel, TokenOf(o.cancel));
  DCP_ASSIGN_OR_RETURN(request.comm, CommunicatorOf(o.communicator));
  if (o.planner != nullptr) {
    DCP_RETURN_IF_ERROR(CheckHandle(o.planner, "planner"));
    save.planner = NewTableSavePlanner(o.planner->role);
  }
  if (o.storage_writer != nullptr) {
    DCP_RETURN_IF_ERROR(CheckHandle(o.storage_writer, "storage_writer"));
    request.writer = o.storage_writer->role;
  }
  if (o.plan_cache != nullptr) {
    DCP_RETURN_IF_ERROR(CheckHandle(o.plan_cache, "plan_cache"));
    save.plan_cache = o.plan_cache->cache;
  }
  return request;
}

Status DeliverReport(const Result<SaveResult>& result, dcp_save_report** report) {
  if (!result.ok()) return result.status();
  if (report != nullptr) *report = new dcp_save_report(*result);
  return Status::Ok();
}

}  // namespace dcp::c_api

extern "C" {

dcp_status dcp_plan_cache_new(dcp_plan_cache** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    if (!dcp::HasSha256()) {
      return Status(Code::kUnsupported,
                    "plan caches need SHA-256, and this build has no libcrypto");
    }
    *out = new dcp_plan_cache;
    return Status::Ok();
  });
}

void dcp_plan_cache_free(dcp_plan_cache* cache) { dcp::c_api::Free(cache); }

void dcp_save_options_init(dcp_save_options* options, size_t struct_size) {
  dcp_save_options defaults = {};
  defaults.overwrite = 1;
  defaults.durable = 1;
  defaults.flatten = 1;
  defaults.files = 1;
  defaults.dialect = DCP_DIALECT_DEFAULT;
  defaults.block_checksums = 1;
  defaults.timeout_ms = 600000;
  defaults.use_collectives = 1;
  dcp::c_api::InitOptions(options, struct_size, defaults);
}

const char* dcp_save_report_save_id(const dcp_save_report* report) {
  return report == nullptr ? "" : report->result.save_id.c_str();
}

uint64_t dcp_save_report_bytes(const dcp_save_report* report) {
  return report == nullptr ? 0 : report->result.bytes_written;
}

uint64_t dcp_save_report_items(const dcp_save_report* report) {
  return report == nullptr ? 0 : report->result.items_written;
}

uint64_t dcp_save_report_files(const dcp_save_report* report) {
  return report == nullptr ? 0 : report->result.files_written;
}

int32_t dcp_save_report_plan_reused(const dcp_save_report* report) {
  return report != nullptr && report->result.plan_reused ? 1 : 0;
}

size_t dcp_save_report_warning_count(const dcp_save_report* report) {
  return report == nullptr ? 0 : report->result.warnings.size();
}

const char* dcp_save_report_warning(const dcp_save_report* report, size_t index) {
  return index < dcp_save_report_warning_count(report) ? report->result.warnings[index].c_str()
                                                       : nullptr;
}

void dcp_save_report_free(dcp_save_report* report) { dcp::c_api::Free(report); }

dcp_status dcp_save(dcp_context* context, dcp_storage* storage, const dcp_state_dict* state,
                    const dcp_save_options* options, dcp_save_report** report, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (report != nullptr) *report = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    DCP_ASSIGN_OR_RETURN(auto engine, dcp::c_api::EngineOf(context));
    DCP_ASSIGN_OR_RETURN(auto save, dcp::c_api::SaveRequestOf(options));
    if (save.writer != nullptr) {
      const auto writer =
          dcp::c_api::NewTableStorageWriter(save.writer, save.options.checkpoint_id, engine);
      return dcp::c_api::DeliverReport(
          dcp::Save(*writer, *save.comm, state->ToValue(), save.options, *engine), report);
    }
    DCP_RETURN_IF_ERROR(CheckHandle(storage, "storage"));
    return dcp::c_api::DeliverReport(
        dcp::Save(*storage->store, *save.comm, state->ToValue(), save.options, *engine), report);
  });
}

dcp_status dcp_save_async(dcp_context* context, dcp_storage* storage, const dcp_state_dict* state,
                          const dcp_save_options* options, dcp_future** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(state, "state"));
    DCP_ASSIGN_OR_RETURN(auto engine, dcp::c_api::EngineOf(context));
    DCP_ASSIGN_OR_RETURN(auto save, dcp::c_api::SaveRequestOf(options));
    auto future = std::make_unique<dcp_future>();
    if (save.writer != nullptr) {
      std::shared_ptr<dcp::StorageWriter> writer =
          dcp::c_api::NewTableStorageWriter(save.writer, save.options.checkpoint_id, engine);
      DCP_ASSIGN_OR_RETURN(future->save,
                           dcp::SaveAsync(std::move(writer), std::move(save.comm), state->ToValue(),
                                          save.options, std::move(engine)));
    } else {
      DCP_RETURN_IF_ERROR(CheckHandle(storage, "storage"));
      DCP_ASSIGN_OR_RETURN(future->save,
                           dcp::SaveAsync(storage->store, std::move(save.comm), state->ToValue(),
                                          save.options, std::move(engine)));
    }
    if (context != nullptr) context->saves->Add(future->save);
    *out = future.release();
    return Status::Ok();
  });
}

dcp_status dcp_future_wait(dcp_future* future, int64_t timeout_ms, dcp_save_report** report,
                           dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (report != nullptr) *report = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(future, "future"));
    return dcp::c_api::DeliverReport(
        future->save->Wait(dcp::Deadline::FromMilliseconds(timeout_ms)), report);
  });
}

int32_t dcp_future_done(const dcp_future* future) {
  return future != nullptr && !future->forked() && future->save->done() ? 1 : 0;
}

void dcp_future_cancel(dcp_future* future) {
  if (future != nullptr && !future->forked()) future->save->Cancel();
}

dcp_status dcp_future_on_done(dcp_future* future, void (*done)(void*), void* user_data,
                              void (*destroy)(void*), dcp_error** error) {
  return Guard(error, [&]() -> Status {
    auto data = std::make_shared<dcp::c_api::UserData>(user_data, destroy);
    DCP_RETURN_IF_ERROR(CheckHandle(future, "future"));
    if (done == nullptr) return Error(Code::kInvalidArgument, "done is NULL");
    future->save->OnDone([data = std::move(data), done](const auto&) { done(data->get()); });
    return Status::Ok();
  });
}

void dcp_future_free(dcp_future* future) { dcp::c_api::Free(future); }

}  // extern "C"
