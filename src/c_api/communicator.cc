#include "c_api/communicator.h"

#include <vector>

#include "comm/local.h"
#include "comm/message_communicator.h"

using dcp::Code;
using dcp::Error;
using dcp::Silence;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

namespace dcp::c_api {

Result<std::shared_ptr<Communicator>> CommunicatorOf(dcp_communicator* communicator) {
  if (communicator == nullptr) return std::shared_ptr<Communicator>(NewSingleCommunicator());
  DCP_RETURN_IF_ERROR(CheckHandle(communicator, "communicator"));
  return communicator->comm;
}

namespace {

constexpr int32_t kMostLocal = 4096;

Status CheckGroup(int32_t rank, int32_t world_size) {
  if (world_size >= 1 && rank >= 0 && rank < world_size) return Status::Ok();
  return Error(Code::kInvalidArgument, "rank {} of a group of {}", rank, world_size);
}

Status CheckMember(bool there, const char* name) {
  return there ? Status::Ok() : Error(Code::kInvalidArgument, "the table's {} is NULL", name);
}

Status CheckData(const void* data, size_t size) {
  if (data != nullptr || size == 0) return Status::Ok();
  return Error(Code::kInvalidArgument, "data is NULL, its size {}", size);
}

std::string StringOf(const void* data, size_t size) {
  return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
}

// Runs one collective call, which gives a Result of buffers.
template <typename Call>
dcp_status Collective(dcp_communicator* communicator, const void* data, size_t size,
                      dcp_buffers** out, dcp_error** error, const Call& call) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(communicator, "communicator"));
    DCP_RETURN_IF_ERROR(CheckData(data, size));
    Result<std::vector<std::string>> buffers = call(*communicator->comm, StringOf(data, size));
    if (!buffers.ok()) return buffers.status();
    *out = new dcp_buffers(*std::move(buffers));
    return Status::Ok();
  });
}

Result<std::vector<std::string>> AsOne(Result<std::string> buffer) {
  if (!buffer.ok()) return buffer.status();
  std::vector<std::string> one;
  one.push_back(*std::move(buffer));
  return one;
}

}  // namespace
}  // namespace dcp::c_api

using dcp::c_api::AsOne;
using dcp::c_api::CheckGroup;
using dcp::c_api::CheckMember;
using dcp::c_api::Collective;
using Buffers = dcp::Result<std::vector<std::string>>;

extern "C" {

dcp_status dcp_communicator_single(dcp_communicator** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = new dcp_communicator(dcp::NewSingleCommunicator());
    return Status::Ok();
  });
}

dcp_status dcp_communicator_local(int32_t world_size, dcp_communicator** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    if (world_size < 1 || world_size > dcp::c_api::kMostLocal) {
      return Error(Code::kInvalidArgument, "a local group of {} ranks: 1 to {} is allowed",
                   world_size, dcp::c_api::kMostLocal);
    }
    std::vector<std::unique_ptr<dcp_communicator>> handles;
    for (auto& comm : dcp::NewLocalCommunicators(world_size)) {
      handles.push_back(std::make_unique<dcp_communicator>(std::move(comm)));
    }
    for (auto& handle : handles) *out++ = handle.release();
    return Status::Ok();
  });
}

dcp_status dcp_communicator_new(const dcp_communicator_table* table, void* user_data, int32_t rank,
                                int32_t world_size, dcp_communicator** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_communicator_table copy;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &copy, "dcp_communicator_table"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.gather != nullptr, "gather"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.scatter != nullptr, "scatter"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.broadcast != nullptr, "broadcast"));
    DCP_RETURN_IF_ERROR(CheckGroup(rank, world_size));
    *out = new dcp_communicator(
        dcp::c_api::NewTableCommunicator(copy, std::move(data), rank, world_size));
    return Status::Ok();
  });
}

dcp_status dcp_communicator_from_messages(const dcp_message_table* table, void* user_data,
                                          int32_t rank, int32_t world_size, dcp_communicator** out,
                                          dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_message_table copy;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &copy, "dcp_message_table"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.send != nullptr, "send"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.receive != nullptr, "receive"));
    DCP_RETURN_IF_ERROR(CheckGroup(rank, world_size));
    *out = new dcp_communicator(dcp::NewMessageCommunicator(
        dcp::c_api::NewTableTransport(copy, std::move(data), rank, world_size)));
    return Status::Ok();
  });
}

dcp_status dcp_communicator_from_store(const dcp_key_value_table* table, void* user_data,
                                       const char* prefix, int32_t rank, int32_t world_size,
                                       dcp_communicator** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_key_value_table copy;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &copy, "dcp_key_value_table"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.set != nullptr, "set"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.get != nullptr, "get"));
    DCP_RETURN_IF_ERROR(CheckMember(copy.remove != nullptr, "remove"));
    DCP_RETURN_IF_ERROR(CheckOut(prefix, "prefix"));
    DCP_RETURN_IF_ERROR(CheckGroup(rank, world_size));
    *out = new dcp_communicator(dcp::NewMessageCommunicator(dcp::NewKeyValueTransport(
        dcp::c_api::NewTableKeyValueStore(copy, std::move(data)), prefix, rank, world_size)));
    return Status::Ok();
  });
}

int32_t dcp_communicator_rank(const dcp_communicator* communicator) {
  return communicator == nullptr ? 0 : communicator->comm->rank();
}

int32_t dcp_communicator_world_size(const dcp_communicator* communicator) {
  return communicator == nullptr ? 1 : communicator->comm->world_size();
}

size_t dcp_buffers_count(const dcp_buffers* buffers) {
  return buffers == nullptr ? 0 : buffers->all.size();
}

const void* dcp_buffers_at(const dcp_buffers* buffers, size_t index, size_t* size) {
  if (size != nullptr) *size = 0;
  if (index >= dcp_buffers_count(buffers)) return nullptr;
  if (size != nullptr) *size = buffers->all[index].size();
  return buffers->all[index].data();
}

void dcp_buffers_free(dcp_buffers* buffers) { dcp::c_api::Free(buffers); }

dcp_status dcp_communicator_gather(dcp_communicator* communicator, const void* data, size_t size,
                                   int32_t root, int64_t timeout_ms, dcp_buffers** out,
                                   dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(communicator, "communicator"));
    DCP_RETURN_IF_ERROR(dcp::c_api::CheckData(data, size));
    DCP_ASSIGN_OR_RETURN(
        dcp::Communicator::Gathered gathered,
        communicator->comm->Gather(dcp::c_api::StringOf(data, size), root, Silence(timeout_ms)));
    *out = new dcp_buffers(std::move(gathered.buffers));
    if (gathered.failed.empty()) return Status::Ok();
    return dcp::FailedRanksError(std::move(gathered.failed), communicator->comm->world_size(),
                                 "gather");
  });
}

dcp_status dcp_communicator_scatter(dcp_communicator* communicator, const dcp_buffer* parts,
                                    size_t part_count, int32_t root, int64_t timeout_ms,
                                    dcp_buffers** out, dcp_error** error) {
  return Collective(communicator, nullptr, 0, out, error,
                    [&](dcp::Communicator& comm, std::string) -> Buffers {
                      std::vector<std::string> copies;
                      if (comm.rank() == root) {
                        if (parts == nullptr && part_count > 0) {
                          return Error(Code::kInvalidArgument, "parts is NULL");
                        }
                        for (size_t i = 0; i < part_count; ++i) {
                          DCP_RETURN_IF_ERROR(dcp::c_api::CheckData(parts[i].data, parts[i].size));
                          copies.push_back(dcp::c_api::StringOf(parts[i].data, parts[i].size));
                        }
                      }
                      return AsOne(comm.Scatter(std::move(copies), root, Silence(timeout_ms)));
                    });
}

dcp_status dcp_communicator_broadcast(dcp_communicator* communicator, const void* data, size_t size,
                                      int32_t root, int64_t timeout_ms, dcp_buffers** out,
                                      dcp_error** error) {
  return Collective(communicator, data, size, out, error,
                    [&](dcp::Communicator& comm, std::string bytes) {
                      return AsOne(comm.Broadcast(std::move(bytes), root, Silence(timeout_ms)));
                    });
}

dcp_status dcp_communicator_all_gather(dcp_communicator* communicator, const void* data,
                                       size_t size, int64_t timeout_ms, dcp_buffers** out,
                                       dcp_error** error) {
  return Collective(communicator, data, size, out, error,
                    [&](dcp::Communicator& comm, std::string bytes) {
                      return comm.AllGather(std::move(bytes), Silence(timeout_ms));
                    });
}

dcp_status dcp_communicator_barrier(dcp_communicator* communicator, int64_t timeout_ms,
                                    dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(communicator, "communicator"));
    return communicator->comm->Barrier(Silence(timeout_ms));
  });
}

void dcp_communicator_still_here(dcp_communicator* communicator, int32_t root, int64_t timeout_ms) {
  if (communicator == nullptr || communicator->forked()) return;
  try {
    communicator->comm->StillHere(root, Silence(timeout_ms));
  } catch (...) {
    // The others then wait no longer than they would have.
  }
}

void dcp_communicator_free(dcp_communicator* communicator) { dcp::c_api::Free(communicator); }

}  // extern "C"
