#include "c_api/roles.h"

#include "c_api/value.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

namespace dcp::c_api {

Result<ValuePtr> TakeValue(dcp_value* value, const char* callback) {
  const std::unique_ptr<dcp_value> taken(value);
  if (taken != nullptr) return taken->value;
  return Error(Code::kCallback, "callback {} gave no value", callback);
}

}  // namespace dcp::c_api

namespace {

Status CheckMember(bool there, const char* name) {
  return there ? Status::Ok() : Error(Code::kInvalidArgument, "the table's {} is NULL", name);
}

// Makes a handle of a table. `check` looks at the members that must be there.
template <typename Handle, typename Table, typename Check>
dcp_status Make(const Table* table, void* user_data, const char* location, const char* what,
                Handle** out, dcp_error** error, const Check& check) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    auto role = std::make_shared<dcp::c_api::Role<Table>>();
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &role->table, what));
    DCP_RETURN_IF_ERROR(check(role->table));
    role->data = std::move(data);
    if (location != nullptr) role->location = location;
    auto made = std::make_unique<Handle>();
    made->role = std::move(role);
    *out = made.release();
    return Status::Ok();
  });
}

constexpr auto kNothing = [](const auto&) { return Status::Ok(); };

}  // namespace

extern "C" {

dcp_status dcp_save_planner_new(const dcp_save_planner_table* table, void* user_data,
                                dcp_save_planner** out, dcp_error** error) {
  return Make(table, user_data, nullptr, "dcp_save_planner_table", out, error, kNothing);
}

dcp_status dcp_load_planner_new(const dcp_load_planner_table* table, void* user_data,
                                dcp_load_planner** out, dcp_error** error) {
  return Make(table, user_data, nullptr, "dcp_load_planner_table", out, error, kNothing);
}

dcp_status dcp_storage_writer_new(const dcp_storage_writer_table* table, void* user_data,
                                  const char* location, dcp_storage_writer** out,
                                  dcp_error** error) {
  return Make(table, user_data, location, "dcp_storage_writer_table", out, error,
              [](const dcp_storage_writer_table& members) {
                Status there = CheckMember(members.write_data != nullptr, "write_data");
                return there.ok() ? CheckMember(members.finish != nullptr, "finish") : there;
              });
}

dcp_status dcp_storage_reader_new(const dcp_storage_reader_table* table, void* user_data,
                                  const char* location, dcp_storage_reader** out,
                                  dcp_error** error) {
  return Make(table, user_data, location, "dcp_storage_reader_table", out, error,
              [](const dcp_storage_reader_table& members) {
                Status there = CheckMember(members.read_metadata != nullptr, "read_metadata");
                return there.ok() ? CheckMember(members.read_data != nullptr, "read_data") : there;
              });
}

void dcp_save_planner_free(dcp_save_planner* planner) { dcp::c_api::Free(planner); }
void dcp_load_planner_free(dcp_load_planner* planner) { dcp::c_api::Free(planner); }
void dcp_storage_writer_free(dcp_storage_writer* writer) { dcp::c_api::Free(writer); }
void dcp_storage_reader_free(dcp_storage_reader* reader) { dcp::c_api::Free(reader); }

}  // extern "C"
