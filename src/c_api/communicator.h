#ifndef DCP_C_API_COMMUNICATOR_H_
#define DCP_C_API_COMMUNICATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "c_api/handle.h"
#include "comm/communicator.h"
#include "comm/key_value.h"
#include "comm/transport.h"

struct dcp_communicator : dcp::c_api::Handle {
  explicit dcp_communicator(std::shared_ptr<dcp::Communicator> of) : comm(std::move(of)) {}
  std::shared_ptr<dcp::Communicator> comm;
};

struct dcp_buffers : dcp::c_api::Handle {
  explicit dcp_buffers(std::vector<std::string> of) : all(std::move(of)) {}
  std::vector<std::string> all;
};

namespace dcp::c_api {

// NULL: a group of one rank.
Result<std::shared_ptr<Communicator>> CommunicatorOf(dcp_communicator* communicator);

// Made of callers' tables, which were checked.
std::unique_ptr<Communicator> NewTableCommunicator(const dcp_communicator_table& table,
                                                   std::shared_ptr<UserData> data, int32_t rank,
                                                   int32_t world_size);
std::shared_ptr<Transport> NewTableTransport(const dcp_message_table& table,
                                             std::shared_ptr<UserData> data, int32_t rank,
                                             int32_t world_size);
std::shared_ptr<KeyValueStore> NewTableKeyValueStore(const dcp_key_value_table& table,
                                                     std::shared_ptr<UserData> data);

}  // namespace dcp::c_api

#endif  // DCP_C_API_COMMUNICATOR_H_
