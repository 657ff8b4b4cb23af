#include <algorithm>
#include <mutex>

#include "c_api/completion.h"
#include "c_api/plans.h"
#include "c_api/roles.h"
#include "c_api/storage_begin.h"
#include "c_api/tensor.h"
#include "c_api/value.h"
#include "reader/place_item.h"
#include "tensorio/object_item.h"
#include "value/names.h"

// Lives as long as its completion; takes nothing once the load has ended.
struct dcp_read_request : dcp::c_api::Handle {
  dcp_read_request(const dcp::ReadRequest* of, dcp::DeviceCopier* with)
      : request(of),
        metadata(of->metadata),
        plan_shown(*of->plan),
        plan(&plan_shown, metadata.get()),
        copier(with),
        places(of->plan->items.size()),
        given(of->plan->items.size(), false) {}

  dcp::Status End() {
    std::lock_guard lock(mutex);
    const dcp::ReadRequest* ended = std::exchange(request, nullptr);
    const auto lacking = std::find(given.begin(), given.end(), false);
    if (lacking == given.end()) return dcp::Status::Ok();
    const dcp::ReadItem& item = ended->plan->items[static_cast<size_t>(lacking - given.begin())];
    return dcp::Error(dcp::Code::kCallback, "callback storage reader read_data gave nothing of {}",
                      dcp::PrintableName(ended->metadata->entries[item.entry].name));
  }

  std::mutex mutex;
  const dcp::ReadRequest* request;                      // null when the load has ended
  const std::shared_ptr<const dcp::Metadata> metadata;  // whoever is late may still look
  dcp::LoadPlan plan_shown;
  const dcp_load_plan plan;
  dcp::DeviceCopier* const copier;
  std::vector<std::optional<dcp::Tensor>> places;  // asked for, by item
  std::vector<bool> given;
  uint64_t bytes = 0;
};

namespace dcp::c_api {
namespace {

class TableStorageReader final : public StorageReader {
 public:
  TableStorageReader(StorageReaderRole role, std::string checkpoint_id,
                     std::shared_ptr<const Engine> engine)
      : role_(std::move(role)),
        checkpoint_id_(std::move(checkpoint_id)),
        engine_(std::move(engine)) {}

  Result<Metadata> ReadMetadata() override {
    DCP_RETURN_IF_ERROR(BeginStorage(*role_, checkpoint_id_, "storage reader"));
    dcp_error* error = nullptr;
    dcp_metadata* out = nullptr;
    const dcp_status code = table().read_metadata(role_->user(), &out, &error);
    const std::unique_ptr<dcp_metadata> taken(out);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "storage reader read_metadata"));
    if (taken == nullptr || taken->shown != &taken->own) {
      return Status(Code::kCallback, "callback storage reader read_metadata gave no metadata");
    }
    return std::move(taken->own);
  }

  Status SetUp(const Metadata& metadata, const LoadSite& site) override {
    site_ = site;
    metadata_ = std::make_unique<dcp_metadata>(&metadata);
    if (table().set_up == nullptr) return Status::Ok();
    dcp_error* error = nullptr;
    const dcp_status code = table().set_up(role_->user(), metadata_.get(), site.rank,
                                           site.world_size, site.is_coordinator ? 1 : 0, &error);
    return FromCallback(code, error, "storage reader set_up");
  }

  Status PrepareLocalPlan(LoadPlan* plan) override {
    if (table().prepare_local_plan == nullptr) return Status::Ok();
    dcp_load_plan shown(plan, metadata_->shown);
    dcp_error* error = nullptr;
    const dcp_status code = table().prepare_local_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "storage reader prepare_local_plan");
  }

  bool plans_globally() const override { return table().prepare_global_plan != nullptr; }

  Status PrepareGlobalPlan(std::vector<LoadPlan>* plans) override {
    dcp_load_plans shown(plans, metadata_->shown);
    dcp_error* error = nullptr;
    const dcp_status code = table().prepare_global_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "storage reader prepare_global_plan");
  }

  Result<ReadOutcome> ReadData(const ReadRequest& request) override {
    auto shown = std::make_shared<dcp_read_request>(&request, engine_->copier.get());
    auto completion = std::make_shared<HostCompletion>();
    auto handle = std::make_unique<dcp_completion>(completion, shown, "storage reader read_data");
    dcp_error* error = nullptr;
    const dcp_status code = table().read_data(role_->user(), shown.get(), handle.release(), &error);
    Status begun = FromCallback(code, error, "storage reader read_data");
    Result<std::string> brought =
        begun.ok() ? completion->Await(site_.timeout_ms, site_.cancel, site_.progress,
                                       "storage reader read_data")
                   : Result<std::string>(begun);
    const Status whole = shown->End();
    if (!brought.ok()) return brought.status();
    DCP_RETURN_IF_ERROR(whole);
    ReadOutcome outcome;
    outcome.bytes_read = shown->bytes;
    return outcome;
  }

 private:
  const dcp_storage_reader_table& table() const { return role_->table; }

  const StorageReaderRole role_;
  const std::string checkpoint_id_;
  const std::shared_ptr<const Engine> engine_;
  LoadSite site_;
  std::unique_ptr<dcp_metadata> metadata_;
};

// Runs a call on an item while the load is there.
template <typename Call>
dcp_status OnItem(dcp_read_request* request, size_t number, dcp_error** error, const Call& call) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(request, "request"));
    const std::lock_guard lock(request->mutex);
    if (request->request == nullptr) {
      return Status(Code::kInvalidArgument, "the load that asked for this has ended");
    }
    const std::vector<ReadItem>& items = request->request->plan->items;
    if (number >= items.size()) {
      return Error(Code::kInvalidArgument, "item {} of a plan of {}", number, items.size());
    }
    const ReadItem& item = items[number];
    const Entry& entry = request->request->metadata->entries[item.entry];
    return call(item, entry).WithDetail("tensor", entry.name);
  });
}

Result<Tensor> PlaceOf(dcp_read_request* request, size_t number) {
  std::optional<Tensor>& place = request->places[number];
  if (!place) {
    DCP_ASSIGN_OR_RETURN(Tensor tensor, request->request->tensor(number));
    place = std::move(tensor);
  }
  return *place;
}

Status Commit(dcp_read_request* request, size_t number) {
  DCP_ASSIGN_OR_RETURN(const Tensor place, PlaceOf(request, number));
  if (request->request->late) DCP_RETURN_IF_ERROR(request->request->commit(number, place));
  request->bytes += static_cast<uint64_t>(place.num_bytes());
  request->places[number].reset();
  request->given[number] = true;
  return Status::Ok();
}

Status CheckTensor(const Entry& entry, bool tensor) {
  if ((entry.kind == EntryKind::kTensor) == tensor) return Status::Ok();
  return Error(Code::kMismatch, "{} is {}", PrintableName(entry.name),
               tensor ? "an object, not a tensor" : "a tensor, not an object");
}

}  // namespace

std::unique_ptr<StorageReader> NewTableStorageReader(StorageReaderRole role,
                                                     std::string checkpoint_id,
                                                     std::shared_ptr<const Engine> engine) {
  return std::make_unique<TableStorageReader>(std::move(role), std::move(checkpoint_id),
                                              std::move(engine));
}

}  // namespace dcp::c_api

using dcp::Code;
using dcp::Entry;
using dcp::Error;
using dcp::ReadItem;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::CheckTensor;
using dcp::c_api::OnItem;

extern "C" {

const dcp_load_plan* dcp_read_request_plan(const dcp_read_request* request) {
  return request == nullptr || request->forked() ? nullptr : &request->plan;
}

dcp_status dcp_read_request_decode(dcp_read_request* request, size_t item, const void* data,
                                   size_t size, dcp_error** error) {
  return OnItem(request, item, error, [&](const ReadItem& read, const Entry& entry) -> Status {
    if (data == nullptr && size > 0) return Error(Code::kInvalidArgument, "data is NULL");
    const dcp::MemorySource source(dcp::AsBytes(data, size));
    if (entry.kind == dcp::EntryKind::kBytes) {
      DCP_ASSIGN_OR_RETURN(dcp::ValuePtr value, dcp::DecodeObjectItem(source, dcp::ObjectLimits()));
      DCP_RETURN_IF_ERROR(request->request->object(item, std::move(value)));
      request->given[item] = true;
      request->bytes += size;
      return Status::Ok();
    }
    dcp::TensorRead into;
    into.entry = &entry;
    into.chunk = read.chunk;
    into.storage_offsets = request->request->plan->storage_offsets(read);
    into.lengths = request->request->plan->lengths(read);
    DCP_ASSIGN_OR_RETURN(into.dest, dcp::c_api::PlaceOf(request, item));
    DCP_RETURN_IF_ERROR(dcp::PlaceTensorItem(source, into, request->copier));
    return dcp::c_api::Commit(request, item);
  });
}

dcp_status dcp_read_request_tensor(dcp_read_request* request, size_t item, dcp_tensor** out,
                                   dcp_error** error) {
  if (out != nullptr) *out = nullptr;
  return OnItem(request, item, error, [&](const ReadItem&, const Entry& entry) -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    DCP_RETURN_IF_ERROR(CheckTensor(entry, true));
    DCP_ASSIGN_OR_RETURN(dcp::Tensor place, dcp::c_api::PlaceOf(request, item));
    *out = new dcp_tensor(std::move(place));
    return Status::Ok();
  });
}

dcp_status dcp_read_request_commit(dcp_read_request* request, size_t item, dcp_error** error) {
  return OnItem(request, item, error, [&](const ReadItem&, const Entry& entry) -> Status {
    DCP_RETURN_IF_ERROR(CheckTensor(entry, true));
    return dcp::c_api::Commit(request, item);
  });
}

dcp_status dcp_read_request_object(dcp_read_request* request, size_t item, const dcp_value* value,
                                   dcp_error** error) {
  return OnItem(request, item, error, [&](const ReadItem&, const Entry& entry) -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(value, "value"));
    DCP_RETURN_IF_ERROR(CheckTensor(entry, false));
    DCP_RETURN_IF_ERROR(request->request->object(item, value->value));
    request->given[item] = true;
    return Status::Ok();
  });
}

}  // extern "C"
