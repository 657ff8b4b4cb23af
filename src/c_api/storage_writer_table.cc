#include <shared_mutex>

#include "c_api/communicator.h"
#include "c_api/completion.h"
#include "c_api/plans.h"
#include "c_api/roles.h"
#include "c_api/storage_begin.h"
#include "c_api/value.h"
#include "writer/encode_item.h"

// Lives as long as its completion; shows nothing once the save has ended.
struct dcp_write_request : dcp::c_api::Handle {
  dcp_write_request(const dcp::WriteRequest* of, dcp::DeviceCopier* with)
      : request(of), save_id(of->save_id), copier(with) {
    plan.own = *of->plan;  // whoever is late may still look at it
  }

  void End() {
    std::unique_lock lock(mutex);
    request = nullptr;
  }

  mutable std::shared_mutex mutex;
  const dcp::WriteRequest* request;  // null when the save has ended
  dcp_save_plan plan;
  const std::string save_id;
  dcp::DeviceCopier* const copier;
};

namespace dcp::c_api {
namespace {

class TableStorageWriter final : public StorageWriter {
 public:
  TableStorageWriter(StorageWriterRole role, std::string checkpoint_id,
                     std::shared_ptr<const Engine> engine)
      : role_(std::move(role)),
        checkpoint_id_(std::move(checkpoint_id)),
        engine_(std::move(engine)) {}

  std::string_view location() const override { return role_->location; }
  std::string checkpoint_id() const override {
    return checkpoint_id_.empty() ? role_->location : checkpoint_id_;
  }
  bool needs_plan() const override { return true; }

  Status SetUp(const SaveSite& site) override {
    site_ = site;
    DCP_RETURN_IF_ERROR(BeginStorage(*role_, checkpoint_id_, "storage writer"));
    if (table().set_up == nullptr) return Status::Ok();
    dcp_error* error = nullptr;
    const dcp_status code =
        table().set_up(role_->user(), site.rank, site.world_size, site.is_coordinator ? 1 : 0,
                       site.use_collectives ? 1 : 0, &error);
    return FromCallback(code, error, "storage writer set_up");
  }

  Status PrepareLocalPlan(SavePlan* plan) override {
    if (table().prepare_local_plan == nullptr) return Status::Ok();
    dcp_save_plan shown(plan);
    dcp_error* error = nullptr;
    const dcp_status code = table().prepare_local_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "storage writer prepare_local_plan");
  }

  Status PrepareGlobalPlan(std::vector<SavePlan>* plans) override {
    if (table().prepare_global_plan == nullptr) return Status::Ok();
    dcp_save_plans shown(plans);
    std::vector<size_t> counts;
    for (const SavePlan& plan : *plans) counts.push_back(plan.items.size());
    dcp_error* error = nullptr;
    const dcp_status code = table().prepare_global_plan(role_->user(), &shown, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "storage writer prepare_global_plan"));
    for (size_t rank = 0; rank < counts.size(); ++rank) {
      if ((*plans)[rank].items.size() == counts[rank]) continue;
      return Error(Code::kCallback,
                   "callback storage writer prepare_global_plan changed the items of rank {}: it "
                   "may set storage data only",
                   rank);
    }
    return Status::Ok();
  }

  Result<Written> WriteData(const WriteRequest& request) override {
    wrote_ = true;
    auto shown = std::make_shared<dcp_write_request>(&request, engine_->copier.get());
    auto completion = std::make_shared<HostCompletion>();
    auto handle = std::make_unique<dcp_completion>(completion, shown, "storage writer write_data");
    dcp_error* error = nullptr;
    const dcp_status code =
        table().write_data(role_->user(), shown.get(), handle.release(), &error);
    Status begun = FromCallback(code, error, "storage writer write_data");
    Result<std::string> brought =
        begun.ok() ? completion->Await(site_.timeout_ms, site_.cancel, site_.progress,
                                       "storage writer write_data")
                   : Result<std::string>(begun);
    shown->End();
    if (!brought.ok()) return brought.status();
    Written written;
    written.results = *std::move(brought);
    written.items = request.jobs.size();
    for (const WriteJob& job : request.jobs) {
      written.bytes += static_cast<uint64_t>(job.payload_bytes());
    }
    return written;
  }

  Result<bool> Finish(Commit commit, std::vector<std::string>*) override {
    dcp_metadata metadata(commit.metadata);
    metadata.slots = commit.slots;
    metadata.first_rank = site_.use_collectives ? 0 : site_.rank;
    const dcp_buffers results(std::move(commit.results));
    dcp_error* error = nullptr;
    const dcp_status code = table().finish(role_->user(), &metadata, &results, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "storage writer finish"));
    return true;
  }

  Status Abandon(const Status& error) override {
    if (wrote_ && table().abandon != nullptr && error.code() != Code::kOutcomeUnknown) {
      table().abandon(role_->user());
    }
    return error;
  }

 private:
  const dcp_storage_writer_table& table() const { return role_->table; }

  const StorageWriterRole role_;
  const std::string checkpoint_id_;
  const std::shared_ptr<const Engine> engine_;
  SaveSite site_;
  bool wrote_ = false;
};

Status CheckLive(const dcp_write_request* request, size_t item) {
  if (request->request == nullptr) {
    return Status(Code::kInvalidArgument, "the save that asked for this has ended");
  }
  if (item < request->request->jobs.size()) return Status::Ok();
  return Error(Code::kInvalidArgument, "item {} of a plan of {}", item,
               request->request->jobs.size());
}

}  // namespace

std::unique_ptr<StorageWriter> NewTableStorageWriter(StorageWriterRole role,
                                                     std::string checkpoint_id,
                                                     std::shared_ptr<const Engine> engine) {
  return std::make_unique<TableStorageWriter>(std::move(role), std::move(checkpoint_id),
                                              std::move(engine));
}

}  // namespace dcp::c_api

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

extern "C" {

const dcp_save_plan* dcp_write_request_plan(const dcp_write_request* request) {
  return request == nullptr || request->forked() ? nullptr : &request->plan;
}

const char* dcp_write_request_save_id(const dcp_write_request* request) {
  return request == nullptr || request->forked() ? "" : request->save_id.c_str();
}

dcp_status dcp_write_request_value(const dcp_write_request* request, size_t item, dcp_value** out,
                                   dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(request, "request"));
    const std::shared_lock lock(request->mutex);
    DCP_RETURN_IF_ERROR(dcp::c_api::CheckLive(request, item));
    DCP_ASSIGN_OR_RETURN(dcp::ValuePtr value, request->request->resolve(item));
    *out = new dcp_value(std::move(value));
    return Status::Ok();
  });
}

dcp_status dcp_write_request_encode(const dcp_write_request* request, size_t item,
                                    dcp_byte_sink write, void* sink, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(request, "request"));
    if (write == nullptr) return Error(Code::kInvalidArgument, "write is NULL");
    const std::shared_lock lock(request->mutex);
    DCP_RETURN_IF_ERROR(dcp::c_api::CheckLive(request, item));
    DCP_ASSIGN_OR_RETURN(const dcp::ValuePtr value, request->request->resolve(item));
    return dcp::EncodeItem(*value, request->copier, [&](dcp::Bytes piece) {
      return dcp::c_api::FromCallback(write(sink, piece.data(), piece.size()), nullptr,
                                      "byte sink");
    });
  });
}

}  // extern "C"
