#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "dcp/torch.hpp"
#include "failure.h"
#include "store_client.h"

namespace dcp_torch {
namespace {

dcp_status Invalid(const char* what, dcp_error** error) {
  return Fail(DCP_INVALID_ARGUMENT, what, error);
}

// What every entry begins with, `body` after it.
template <typename Body>
dcp_status Enter(dcp_communicator** out, dcp_error** error, const Body& body) {
  if (error != nullptr) *error = nullptr;
  if (out != nullptr) *out = nullptr;
  const dcp_status fits = dcp_torch_check(error);
  if (fits != DCP_OK) return fits;
  return Guard(error, [&] { return out == nullptr ? Invalid("out is NULL", error) : body(); });
}

dcp_status Communicator(StoreClient::Open open, int32_t rank, int32_t world_size,
                        const StoreOptions& options, dcp_communicator** out, dcp_error** error) {
  if (options.host_rank < -1 || options.host_rank >= world_size) {
    return Invalid("host_rank is no rank of the group; -1: none of them hosts the store", error);
  }
  std::unique_ptr<StoreClient> client;
  const dcp_status status =
      StoreClient::New(std::move(open), options.host_rank, options.timeout_ms, &client, error);
  if (status != DCP_OK) return status;
  const dcp_key_value_table table = StoreTable();
  return dcp_communicator_from_store(&table, client.release(), options.prefix.c_str(), rank,
                                     world_size, out, error);
}

dcp_status OfGroup(const c10::intrusive_ptr<c10d::ProcessGroup>& group, const StoreOptions& options,
                   dcp_communicator** out, dcp_error** error) {
  if (!group) return Invalid("there is no process group", error);
  const c10::intrusive_ptr<c10d::Store> store = group->getStore();
  if (!store) {
    return Fail(DCP_UNSUPPORTED,
                "the process group has no store: make a communicator of a store instead", error);
  }
  return Communicator([store] { return store->clone(); }, group->getRank(), group->getSize(),
                      options, out, error);
}

}  // namespace

dcp_status StoreCommunicator(const c10::intrusive_ptr<c10d::Store>& store, int32_t rank,
                             int32_t world_size, const StoreOptions& options,
                             dcp_communicator** out, dcp_error** error) {
  return Enter(out, error, [&] {
    if (!store) return Invalid("there is no store", error);
    return Communicator([store] { return store->clone(); }, rank, world_size, options, out, error);
  });
}

dcp_status GroupCommunicator(const c10::intrusive_ptr<c10d::ProcessGroup>& group,
                             const StoreOptions& options, dcp_communicator** out,
                             dcp_error** error) {
  return Enter(out, error, [&] { return OfGroup(group, options, out, error); });
}

}  // namespace dcp_torch

extern "C" dcp_status dcp_torch_communicator_from_group_name(const char* group_name,
                                                             const char* prefix, int32_t host_rank,
                                                             int64_t timeout_ms,
                                                             dcp_communicator** out,
                                                             dcp_error** error) {
  return dcp_torch::Enter(out, error, [&] {
    if (group_name == nullptr) return dcp_torch::Invalid("group_name is NULL", error);
    if (prefix == nullptr) return dcp_torch::Invalid("prefix is NULL", error);
    c10::intrusive_ptr<c10d::ProcessGroup> group;
    try {
      group = c10d::resolve_process_group(group_name);
    } catch (const c10::Error& problem) {
      return dcp_torch::Fail(DCP_NOT_FOUND,
                             "this process knows no process group '" + std::string(group_name) +
                                 "': " + dcp_torch::FirstLine(problem),
                             error);
    }
    return dcp_torch::OfGroup(group, {prefix, host_rank, timeout_ms}, out, error);
  });
}

extern "C" dcp_status dcp_torch_communicator_from_tcp_store(
    const char* host, uint16_t port, const char* prefix, int32_t rank, int32_t world_size,
    int32_t host_rank, int64_t timeout_ms, dcp_communicator** out, dcp_error** error) {
  return dcp_torch::Enter(out, error, [&] {
    if (host == nullptr) return dcp_torch::Invalid("host is NULL", error);
    if (prefix == nullptr) return dcp_torch::Invalid("prefix is NULL", error);
    c10d::TCPStoreOptions options;
    options.port = port;
    options.waitWorkers = false;
    // 0 would be c10d's "for ever".
    const int64_t day = 24LL * 3600 * 1000;
    options.timeout =
        std::chrono::milliseconds(timeout_ms < 0 ? day : std::clamp<int64_t>(timeout_ms, 1, day));
    const auto open = [name = std::string(host), options]() -> c10::intrusive_ptr<c10d::Store> {
      return c10::make_intrusive<c10d::TCPStore>(name, options);
    };
    return dcp_torch::Communicator(open, rank, world_size, {prefix, host_rank, timeout_ms}, out,
                                   error);
  });
}
