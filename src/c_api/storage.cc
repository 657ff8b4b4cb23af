#include "c_api/storage.h"

#include "storage/open.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

extern "C" {

void dcp_storage_options_init(dcp_storage_options* options, size_t struct_size) {
  dcp::c_api::InitOptions(options, struct_size, {0, 0, 1, 1});
}

dcp_status dcp_storage_open(const char* where, const dcp_storage_options* options,
                            dcp_storage** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    if (where == nullptr || *where == '\0') {
      return Error(Code::kInvalidArgument, "where is NULL or empty: give a path or a URL");
    }
    dcp_storage_options o;
    DCP_RETURN_IF_ERROR(
        dcp::c_api::CopyOptions(options, dcp_storage_options_init, &o, "dcp_storage_options"));
    dcp::LocalStoreOptions local;
    local.allow_symlinks = o.allow_symlinks != 0;
    local.io_uring = o.io_uring != 0;
    local.direct = o.direct != 0;
    DCP_ASSIGN_OR_RETURN(std::shared_ptr<dcp::Store> store, dcp::OpenStore(where, local));
    *out = new dcp_storage(std::move(store));
    return Status::Ok();
  });
}

dcp_status dcp_storage_memory(dcp_storage** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    *out = new dcp_storage(dcp::NewMemoryStore());
    return Status::Ok();
  });
}

dcp_status dcp_storage_new(const dcp_storage_table* table, void* user_data, const char* location,
                           dcp_storage** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_storage_table t;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &t, "dcp_storage_table"));
    if (!t.make_root || !t.create || !t.write || !t.finish || !t.abort || !t.open || !t.read ||
        !t.close || !t.rename || !t.remove || !t.list) {
      return Error(Code::kInvalidArgument,
                   "dcp_storage_table: every member but sync_folder and destroy must be given");
    }
    *out = new dcp_storage(dcp::c_api::NewTableStore(
        t, std::move(data), location == nullptr ? "custom storage" : location));
    return Status::Ok();
  });
}

const char* dcp_storage_location(const dcp_storage* storage) {
  return storage == nullptr ? "" : storage->location.c_str();
}

void dcp_storage_free(dcp_storage* storage) { dcp::c_api::Free(storage); }

}  // extern "C"
