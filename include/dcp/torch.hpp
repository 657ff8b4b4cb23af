// dcp/torch.hpp - libdcp for C++ programs on libtorch: libdcp_torch.so, built on dcp.h and nothing
// else of libdcp. It belongs to one minor version of torch, which must also be the program's.
#ifndef DCP_TORCH_HPP_
#define DCP_TORCH_HPP_

#include <c10/util/intrusive_ptr.h>
#include <dcp/torch.h>

#include <cstdint>
#include <string>

namespace c10d {
class ProcessGroup;
class Store;
}  // namespace c10d

namespace dcp_torch {

// What dcp/torch.h says of a communicator's `prefix`, `host_rank` and `timeout_ms`.
struct StoreOptions {
  std::string prefix;
  int32_t host_rank = -1;
  int64_t timeout_ms = 60000;
};

// Over a clone of `store`: TCPStore, FileStore (which only grows), HashStore (threads of one
// process), one with a prefix, or any other that can be cloned. The store itself is not kept.
DCP_TORCH_API dcp_status StoreCommunicator(const c10::intrusive_ptr<c10d::Store> &store,
                                           int32_t rank, int32_t world_size,
                                           const StoreOptions &options, dcp_communicator **out,
                                           dcp_error **error);

// Of the ranks of `group`, over a clone of its store; as dcp_torch_communicator_from_group_name.
DCP_TORCH_API dcp_status GroupCommunicator(const c10::intrusive_ptr<c10d::ProcessGroup> &group,
                                           const StoreOptions &options, dcp_communicator **out,
                                           dcp_error **error);

}  // namespace dcp_torch

#endif  // DCP_TORCH_HPP_
