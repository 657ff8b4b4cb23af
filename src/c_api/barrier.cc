#include "c_api/barrier.h"

#include "c_api/communicator.h"
#include "c_api/context.h"
#include "c_api/value.h"

using dcp::Code;
using dcp::Error;
using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

namespace dcp::c_api {
namespace {

class TableBarrier final : public Barrier {
 public:
  TableBarrier(const dcp_barrier_table& table, std::shared_ptr<UserData> data)
      : table_(table), data_(std::move(data)) {}
  Status Execute(Silence timeout) override {
    dcp_error* error = nullptr;
    const dcp_status code = table_.execute(data_->get(), timeout.count(), &error);
    return FromCallback(code, error, "barrier execute");
  }

 private:
  const dcp_barrier_table table_;
  const std::shared_ptr<UserData> data_;
};

// A factory of the caller's.
class TableFactory {
 public:
  TableFactory(const dcp_barrier_factory_table& table, std::shared_ptr<UserData> data)
      : table_(table), data_(std::move(data)) {}

  Result<std::shared_ptr<Barrier>> operator()(const ValuePtr& arguments) const {
    dcp_value given(arguments);
    dcp_barrier* out = nullptr;
    dcp_error* error = nullptr;
    const dcp_status code =
        table_.make(data_->get(), arguments == nullptr ? nullptr : &given, &out, &error);
    const std::unique_ptr<dcp_barrier> made(out);
    DCP_RETURN_IF_ERROR(FromCallback(code, error, "barrier make"));
    if (made == nullptr) {
      return Status(Code::kCallback, "callback barrier make succeeded and gave no barrier");
    }
    return made->barrier;
  }

 private:
  dcp_barrier_factory_table table_;
  std::shared_ptr<UserData> data_;
};

}  // namespace

Result<std::shared_ptr<Barrier>> BarrierOf(dcp_barrier* barrier) {
  if (barrier == nullptr) return std::shared_ptr<Barrier>();
  DCP_RETURN_IF_ERROR(CheckHandle(barrier, "barrier"));
  return barrier->barrier;
}

Result<std::shared_ptr<Barrier>> BarrierFromConfig(dcp_context* context, const char* type,
                                                   const dcp_value* arguments) {
  if (type == nullptr) return std::shared_ptr<Barrier>();
  ValuePtr given;
  if (arguments != nullptr) {
    DCP_RETURN_IF_ERROR(CheckHandle(arguments, "arguments"));
    given = arguments->value;
  }
  if (context == nullptr) return BarrierRegistry().Make(type, given);
  DCP_RETURN_IF_ERROR(CheckHandle(context, "context"));
  return context->barriers.Make(type, given);
}

}  // namespace dcp::c_api

extern "C" {

dcp_status dcp_barrier_from_communicator(dcp_communicator* communicator, dcp_barrier** out,
                                         dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(communicator, "communicator"));
    *out = new dcp_barrier(dcp::NewCommunicatorBarrier(communicator->comm));
    return Status::Ok();
  });
}

dcp_status dcp_barrier_new(const dcp_barrier_table* table, void* user_data, dcp_barrier** out,
                           dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_barrier_table copy;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &copy, "dcp_barrier_table"));
    if (copy.execute == nullptr) {
      return Error(Code::kInvalidArgument, "dcp_barrier_table: execute must be given");
    }
    *out = new dcp_barrier(std::make_shared<dcp::c_api::TableBarrier>(copy, std::move(data)));
    return Status::Ok();
  });
}

dcp_status dcp_context_register_barrier(dcp_context* context, const char* type,
                                        const dcp_barrier_factory_table* table, void* user_data,
                                        dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckHandle(context, "context"));
    if (type == nullptr || *type == '\0') {
      return Error(Code::kInvalidArgument, "type is NULL or empty");
    }
    dcp_barrier_factory_table copy;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &copy, "dcp_barrier_factory_table"));
    if (copy.make == nullptr) {
      return Error(Code::kInvalidArgument, "dcp_barrier_factory_table: make must be given");
    }
    return context->barriers.Add(type, dcp::c_api::TableFactory(copy, std::move(data)));
  });
}

dcp_status dcp_barrier_from_config(dcp_context* context, const char* type,
                                   const dcp_value* arguments, dcp_barrier** out,
                                   dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    DCP_ASSIGN_OR_RETURN(std::shared_ptr<dcp::Barrier> barrier,
                         dcp::c_api::BarrierFromConfig(context, type, arguments));
    if (barrier != nullptr) *out = new dcp_barrier(std::move(barrier));
    return Status::Ok();
  });
}

dcp_status dcp_barrier_execute(dcp_barrier* barrier, int64_t timeout_ms, dcp_cancel* cancel,
                               dcp_error** error) {
  return Guard(error, [&]() -> Status {
    DCP_RETURN_IF_ERROR(CheckHandle(barrier, "barrier"));
    DCP_ASSIGN_OR_RETURN(const dcp::CancelToken token, dcp::c_api::TokenOf(cancel));
    return dcp::ExecuteInTime(barrier->barrier, dcp::Silence(timeout_ms), token);
  });
}

void dcp_barrier_free(dcp_barrier* barrier) { dcp::c_api::Free(barrier); }

}  // extern "C"
