#include "c_api/plans.h"
#include "c_api/roles.h"
#include "c_api/value.h"

namespace dcp::c_api {
namespace {

class TableSavePlanner final : public SavePlanner {
 public:
  explicit TableSavePlanner(SavePlannerRole role) : role_(std::move(role)) {}

  Status SetUp(const ValuePtr& state, bool is_coordinator) override {
    if (table().set_up == nullptr) return Status::Ok();
    const dcp_value shown(state);
    dcp_error* error = nullptr;
    const dcp_status code = table().set_up(role_->user(), &shown, is_coordinator ? 1 : 0, &error);
    return FromCallback(code, error, "planner set_up");
  }

  Status CreateLocalPlan(const std::function<Result<SavePlan>()>& standard,
                         SavePlan* plan) override {
    if (table().create_local_plan == nullptr) {
      DCP_ASSIGN_OR_RETURN(*plan, standard());
      return Status::Ok();
    }
    dcp_save_plan shown(plan);
    shown.standard = standard;
    dcp_error* error = nullptr;
    const dcp_status code = table().create_local_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "planner create_local_plan");
  }

  bool plans_globally() const override { return table().create_global_plan != nullptr; }

  Status CreateGlobalPlan(std::vector<SavePlan>* plans) override {
    dcp_save_plans shown(plans);
    dcp_error* error = nullptr;
    const dcp_status code = table().create_global_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "planner create_global_plan");
  }

  Status FinishPlan(SavePlan* plan) override {
    if (table().finish_plan == nullptr) return Status::Ok();
    dcp_save_plan shown(plan);
    dcp_error* error = nullptr;
    const dcp_status code = table().finish_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "planner finish_plan");
  }

  bool resolves_data() const override {
    return table().resolve_data != nullptr || table().lookup_object != nullptr ||
           table().transform_object != nullptr;
  }

  Result<ValuePtr> ResolveData(const SavePlan& plan, size_t item, ValuePtr found) override {
    dcp_value* out = nullptr;
    dcp_error* error = nullptr;
    if (table().resolve_data != nullptr) {
      dcp_save_plan shown(&plan);
      shown.resolved = item;
      shown.found = std::move(found);
      const dcp_status code = table().resolve_data(role_->user(), &shown, item, &out, &error);
      return Taken(FromCallback(code, error, "planner resolve_data"), out, "planner resolve_data");
    }
    dcp_write_item shown;
    shown.struct_size = sizeof shown;
    DCP_RETURN_IF_ERROR(ShowItem(plan, item, &shown));
    if (table().lookup_object != nullptr) {
      const dcp_status code = table().lookup_object(role_->user(), &shown, &out, &error);
      DCP_ASSIGN_OR_RETURN(found, Taken(FromCallback(code, error, "planner lookup_object"), out,
                                        "planner lookup_object"));
    }
    if (table().transform_object == nullptr || found == nullptr) return found;
    out = nullptr;
    error = nullptr;
    const dcp_value object(found);
    const dcp_status code = table().transform_object(role_->user(), &shown, &object, &out, &error);
    return Taken(FromCallback(code, error, "planner transform_object"), out,
                 "planner transform_object");
  }

 private:
  const dcp_save_planner_table& table() const { return role_->table; }

  static Result<ValuePtr> Taken(const Status& status, dcp_value* out, const char* callback) {
    Result<ValuePtr> value = TakeValue(out, callback);
    return status.ok() ? value : status;
  }

  const SavePlannerRole role_;
};

}  // namespace

std::shared_ptr<SavePlanner> NewTableSavePlanner(SavePlannerRole role) {
  return std::make_shared<TableSavePlanner>(std::move(role));
}

}  // namespace dcp::c_api
