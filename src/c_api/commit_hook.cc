#include "c_api/commit_hook.h"

#include "c_api/value.h"

using dcp::Status;
using dcp::c_api::CheckOut;
using dcp::c_api::Guard;

namespace dcp::c_api {
namespace {

class TableCommitHook final : public CommitHook {
 public:
  TableCommitHook(const dcp_commit_hook_table& table, std::shared_ptr<UserData> data)
      : table_(table), data_(std::move(data)) {}
  Status PreCommit(const std::string& path, const ValuePtr& extra) override {
    return Call(table_.pre_commit, path, extra, "pre_commit");
  }
  Status PostCommit(const std::string& path, const ValuePtr& extra) override {
    return Call(table_.post_commit, path, extra, "post_commit");
  }

 private:
  using Member = dcp_status (*)(void*, const char*, const dcp_value*, dcp_error**);
  Status Call(Member member, const std::string& path, const ValuePtr& extra, const char* name) {
    if (member == nullptr) return Status::Ok();
    const dcp_value value(extra);
    dcp_error* error = nullptr;
    const dcp_status code =
        member(data_->get(), path.c_str(), extra == nullptr ? nullptr : &value, &error);
    return FromCallback(code, error, name);
  }

  const dcp_commit_hook_table table_;
  const std::shared_ptr<UserData> data_;
};

}  // namespace
}  // namespace dcp::c_api

extern "C" {

dcp_status dcp_commit_hook_new(const dcp_commit_hook_table* table, void* user_data,
                               dcp_commit_hook** out, dcp_error** error) {
  return Guard(error, [&]() -> Status {
    std::shared_ptr<dcp::c_api::UserData> data = dcp::c_api::TakeUserData(table, user_data);
    DCP_RETURN_IF_ERROR(CheckOut(out, "out"));
    *out = nullptr;
    dcp_commit_hook_table copy;
    DCP_RETURN_IF_ERROR(dcp::c_api::CopyTable(table, &copy, "dcp_commit_hook_table"));
    *out =
        new dcp_commit_hook(std::make_shared<dcp::c_api::TableCommitHook>(copy, std::move(data)));
    return Status::Ok();
  });
}

void dcp_commit_hook_free(dcp_commit_hook* hook) { dcp::c_api::Free(hook); }

}  // extern "C"
