#ifndef DCP_C_API_STORAGE_H_
#define DCP_C_API_STORAGE_H_

#include <memory>
#include <string>

#include "c_api/handle.h"
#include "storage/store.h"

struct dcp_storage : dcp::c_api::Handle {
  explicit dcp_storage(std::shared_ptr<dcp::Store> of)
      : store(std::move(of)), location(store->location()) {}
  std::shared_ptr<dcp::Store> store;
  std::string location;
};

namespace dcp::c_api {

// A store made of a caller's table, which was checked; `data` is shared by its open files.
std::shared_ptr<Store> NewTableStore(const dcp_storage_table& table, std::shared_ptr<UserData> data,
                                     std::string location);

}  // namespace dcp::c_api

#endif  // DCP_C_API_STORAGE_H_
