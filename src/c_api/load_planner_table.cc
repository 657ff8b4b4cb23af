#include "c_api/plans.h"
#include "c_api/roles.h"
#include "c_api/tensor.h"
#include "c_api/value.h"

namespace dcp::c_api {
namespace {

class TableLoadPlanner final : public LoadPlanner {
 public:
  explicit TableLoadPlanner(LoadPlannerRole role) : role_(std::move(role)) {}

  Status SetUp(const ValuePtr& state, const Metadata& metadata, const std::vector<LoadTarget>&,
               bool is_coordinator) override {
    metadata_ = std::make_unique<dcp_metadata>(&metadata);
    if (table().set_up == nullptr) return Status::Ok();
    state_ = std::make_unique<dcp_value>(state);
    dcp_error* error = nullptr;
    const dcp_status code = table().set_up(role_->user(), state_.get(), metadata_.get(),
                                           is_coordinator ? 1 : 0, &error);
    return FromCallback(code, error, "planner set_up");
  }

  Status CreateLocalPlan(const std::function<Result<LoadPlan>()>& standard,
                         LoadPlan* plan) override {
    if (table().create_local_plan == nullptr) {
      DCP_ASSIGN_OR_RETURN(*plan, standard());
      return Status::Ok();
    }
    dcp_load_plan shown(plan, metadata_->shown);
    shown.standard = standard;
    dcp_error* error = nullptr;
    const dcp_status code = table().create_local_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "planner create_local_plan");
  }

  bool plans_globally() const override { return table().create_global_plan != nullptr; }

  Status CreateGlobalPlan(std::vector<LoadPlan>* plans) override {
    dcp_load_plans shown(plans, metadata_->shown);
    dcp_error* error = nullptr;
    const dcp_status code = table().create_global_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "planner create_global_plan");
  }

  Status FinishPlan(LoadPlan* plan) override {
    if (table().finish_plan == nullptr) return Status::Ok();
    dcp_load_plan shown(plan, metadata_->shown);
    dcp_error* error = nullptr;
    const dcp_status code = table().finish_plan(role_->user(), &shown, &error);
    return FromCallback(code, error, "planner finish_plan");
  }

  bool resolves_tensors() const override {
    return table().resolve_tensor != nullptr || table().commit_tensor != nullptr;
  }

  Result<Tensor> ResolveTensor(const LoadPlan& plan, size_t item, const Tensor& found) override {
    const bool has_target = plan.items[item].target != ReadItem::kNoTarget;
    if (table().resolve_tensor == nullptr) {
      if (has_target) return found;
      return Status(Code::kInvalidArgument,
                    "an item without a target is for a planner that resolves tensors");
    }
    const dcp_load_plan shown(&plan, metadata_->shown);
    const dcp_tensor place(found);
    dcp_tensor* out = nullptr;
    dcp_error* error = nullptr;
    const dcp_status code = table().resolve_tensor(role_->user(), &shown, item,
                                                   has_target ? &place : nullptr, &out, &error);
    const std::unique_ptr<dcp_tensor> taken(out);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "planner resolve_tensor"));
    if (taken != nullptr) return taken->tensor;
    return Status(Code::kCallback, "callback planner resolve_tensor gave no tensor");
  }

  Status CommitTensor(const LoadPlan& plan, size_t item, const Tensor& tensor) override {
    if (table().commit_tensor == nullptr) return Status::Ok();
    const dcp_load_plan shown(&plan, metadata_->shown);
    const dcp_tensor place(tensor);
    dcp_error* error = nullptr;
    const dcp_status code = table().commit_tensor(role_->user(), &shown, item, &place, &error);
    return FromCallback(code, error, "planner commit_tensor");
  }

  Result<bool> LoadBytes(const LoadPlan& plan, size_t item, const ValuePtr& value) override {
    if (table().load_bytes == nullptr) return false;
    const dcp_load_plan shown(&plan, metadata_->shown);
    const dcp_value given(value);
    int32_t taken = 0;
    dcp_error* error = nullptr;
    const dcp_status code = table().load_bytes(role_->user(), &shown, item, &given, &taken, &error);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "planner load_bytes"));
    return taken != 0;
  }

 private:
  const dcp_load_planner_table& table() const { return role_->table; }

  const LoadPlannerRole role_;
  std::unique_ptr<dcp_metadata> metadata_;
  std::unique_ptr<dcp_value> state_;
};

}  // namespace

std::shared_ptr<LoadPlanner> NewTableLoadPlanner(LoadPlannerRole role) {
  return std::make_shared<TableLoadPlanner>(std::move(role));
}

}  // namespace dcp::c_api
