// A store around another one that writes down every call and makes chosen ones fail: for the order
// of a commit, and for faults at every step.
#ifndef DCP_TESTS_SUPPORT_FAULT_STORE_H_
#define DCP_TESTS_SUPPORT_FAULT_STORE_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/store.h"

namespace dcp {

// A call is one line, and its number is the line's place in the record, from 0:
//
//   make_root               list                   sync_folder
//   create P                open P                 remove P             rename FROM TO
//   write P OFFSET+SIZE     (Start)                written P            (Wait)
//   finish P SIZE durable   or: finish P SIZE volatile
//   abandon P               (destroyed unfinished; cannot fail)
//   read P OFFSET+SIZE      (ReadAt)               map P OFFSET+SIZE
//   queue P cold            or: queue P warm
//   fetch P OFFSET+SIZE     (a queue's Start)      fetched P            (a queue's Wait)
//
// Any thread. Files made by it may outlive it.
class FaultStore final : public Store {
 public:
  enum class Effect {
    kInstead,  // the call fails and is not made
    kAfter,    // the call is made, then reported as failed: its outcome is unknown to the caller
  };
  enum class Times { kOnce, kFromThenOn };

  explicit FaultStore(std::shared_ptr<Store> inner);
  ~FaultStore() override;

  // Call number `number` fails with `status`. Several may be set; the first that fits wins.
  void FailCall(size_t number, Status status, Times times = Times::kOnce,
                Effect effect = Effect::kInstead);
  // The next call whose line begins with `prefix` fails, or each from then on.
  void FailLine(std::string prefix, Status status, Times times = Times::kOnce,
                Effect effect = Effect::kInstead);
  // Calls whose line begins with `prefix` are left out: reported as done, neither made nor written
  // down. For calls without a result: make_root, rename, remove, sync_folder. For a finish that is
  // durable only durability is left out. This is how a test takes one sync away.
  void LeaveOut(std::string prefix);
  void Heal();  // no more faults, nothing left out

  // Runs before each call, on its thread, with the call's number and line; for example to kill the
  // process there. It may not use this store.
  void SetHook(std::function<void(size_t, const std::string&)> hook);

  struct Call {
    std::string line;
    std::string data;  // what a write writes, when KeepData
    bool failed;       // by one of the faults above
  };
  void KeepData(bool keep);
  std::vector<Call> Calls() const;
  std::vector<std::string> Lines() const;
  size_t call_count() const;
  void ClearCalls();  // numbers start at 0 again

  std::string_view location() const override;
  Status MakeRoot() override;
  Result<std::unique_ptr<WritableFile>> Create(std::string_view path,
                                               const CreateOptions& options) override;
  Result<std::unique_ptr<ReadableFile>> Open(std::string_view path) const override;
  Status Rename(std::string_view from, std::string_view to) override;
  Status Remove(std::string_view path) override;
  Result<std::vector<std::string>> List() const override;
  Status SyncFolder() override;

 private:
  class Script;
  class Writer;
  class Queue;
  class Reader;

  const std::shared_ptr<Store> inner_;
  const std::shared_ptr<Script> script_;
};

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_FAULT_STORE_H_
