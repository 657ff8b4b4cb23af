// Planners, storage writers and storage readers of callers' tables.
#ifndef DCP_C_API_ROLES_H_
#define DCP_C_API_ROLES_H_

#include <memory>
#include <string>

#include "c_api/handle.h"
#include "checkpoint/load_roles.h"
#include "checkpoint/save_roles.h"
#include "staging/engine.h"

namespace dcp::c_api {

// A caller's table with its user data.
template <typename Table>
struct Role {
  Table table;
  std::shared_ptr<UserData> data;
  std::string location;  // of storage
  void* user() const { return data->get(); }
};

using SavePlannerRole = std::shared_ptr<const Role<dcp_save_planner_table>>;
using LoadPlannerRole = std::shared_ptr<const Role<dcp_load_planner_table>>;
using StorageWriterRole = std::shared_ptr<const Role<dcp_storage_writer_table>>;
using StorageReaderRole = std::shared_ptr<const Role<dcp_storage_reader_table>>;

// For one save or load. `checkpoint_id`: empty when none was given. `engine` outlives them.
std::shared_ptr<SavePlanner> NewTableSavePlanner(SavePlannerRole role);
std::shared_ptr<LoadPlanner> NewTableLoadPlanner(LoadPlannerRole role);
std::unique_ptr<StorageWriter> NewTableStorageWriter(StorageWriterRole role,
                                                     std::string checkpoint_id,
                                                     std::shared_ptr<const Engine> engine);
std::unique_ptr<StorageReader> NewTableStorageReader(StorageReaderRole role,
                                                     std::string checkpoint_id,
                                                     std::shared_ptr<const Engine> engine);

// The value a callback put out, taken.
Result<ValuePtr> TakeValue(dcp_value* value, const char* callback);

}  // namespace dcp::c_api

struct dcp_save_planner : dcp::c_api::Handle {
  dcp::c_api::SavePlannerRole role;
};
struct dcp_load_planner : dcp::c_api::Handle {
  dcp::c_api::LoadPlannerRole role;
};
struct dcp_storage_writer : dcp::c_api::Handle {
  dcp::c_api::StorageWriterRole role;
};
struct dcp_storage_reader : dcp::c_api::Handle {
  dcp::c_api::StorageReaderRole role;
};

#endif  // DCP_C_API_ROLES_H_
