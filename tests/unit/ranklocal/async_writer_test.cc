// Rank-local saves in the background: what is copied, who waits for whom, what failures are told.
#include "ranklocal/async_writer.h"

#include <condition_variable>
#include <mutex>

#include "ranklocal/rank_reader.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/sample_state.h"

namespace dcp {
namespace {

const std::shared_ptr<const Engine> kEngine = std::make_shared<Engine>();

ValuePtr State(const Tensor& weight, int64_t step) {
  return DictOf({{"weight", Value::Of(weight)}, {"step", Value::Int(step)}});
}

// Holds the writing thread until it is opened; notes what it was told.
class Gate final : public CommitHook {
 public:
  Status PreCommit(const std::string&, const ValuePtr& extra) override {
    std::unique_lock lock(mutex_);
    if (extra != nullptr) extra_ = extra;
    inside_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    return outcome;
  }
  Status PostCommit(const std::string&, const ValuePtr&) override { return Status::Ok(); }

  void AwaitInside() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return inside_; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  ValuePtr extra() {
    const std::lock_guard lock(mutex_);
    return extra_;
  }

  Status outcome;  // set while nothing is written

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool inside_ = false;
  bool open_ = false;
  ValuePtr extra_;
};

struct Setup {
  Setup() {
    auto made = RankWriter::New({}, nullptr, gate, kEngine);
    writer =
        std::make_unique<AsyncRankWriter>(std::shared_ptr<RankWriter>(*std::move(made)), kEngine);
  }
  std::shared_ptr<Store> store = NewMemoryStore();
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::unique_ptr<AsyncRankWriter> writer;
};

std::string TensorsAreCopiedFirst() {
  Setup s;
  const Tensor weight = PatternTensor(DType::kFloat32, {300, 7}, 1);
  const Tensor same = PatternTensor(DType::kFloat32, {300, 7}, 1);
  auto pending = s.writer->Write(s.store, State(weight, 1), Value::Of(weight));
  CHECK_OK(pending);
  s.gate->AwaitInside();
  for (int64_t i = 0; i < weight.num_bytes(); ++i) weight.data[i] = std::byte{0x55};
  CHECK_THAT(!(*pending)->done());
  CHECK_CODE(s.writer->Close(Deadline::Now()), Code::kTimeout);
  s.gate->Open();
  const Result<uint64_t>* bytes = (*pending)->Wait(Deadline::Never());
  CHECK_OK(*bytes);
  CHECK_THAT(**bytes > 300 * 7 * 4);
  CHECK_THAT(EqualElements(s.gate->extra()->tensor, same));
  auto read = ReadRankFile(*s.store, 0);
  CHECK_OK(read);
  CHECK_THAT(Equal(**read, *State(same, 1)));
  CHECK_OK(s.writer->Close(Deadline::Never()));
  CHECK_OK(s.writer->Close(Deadline::Now()));
  CHECK_CODE(s.writer->Write(s.store, State(same, 2), nullptr), Code::kInvalidArgument);
  return {};
}

std::string TheNextOneWaits() {
  Setup s;
  const ValuePtr state = State(PatternTensor(DType::kInt32, {10}, 1), 1);
  auto first = s.writer->Write(s.store, state, nullptr);
  CHECK_OK(first);
  s.gate->AwaitInside();
  // It waits; cancelled, it does not, and nothing of it is written.
  CancelToken cancel;
  cancel.Cancel();
  CHECK_CODE(s.writer->Write(s.store, state, nullptr, cancel), Code::kCancelled);
  CHECK_THAT(!(*first)->done());
  s.gate->Open();
  auto second = s.writer->Write(s.store, State(PatternTensor(DType::kInt32, {10}, 1), 2), nullptr);
  CHECK_OK(second);
  CHECK_THAT((*first)->done());
  CHECK_OK(*(*second)->Wait(Deadline::Never()));
  auto read = ReadRankFile(*s.store, 0);
  CHECK_OK(read);
  int64_t step = 0;
  CHECK_THAT((*(*read)->Find("step"))->ToInt64(&step) && step == 2);
  return {};
}

std::string FailuresAreToldOnceMore() {
  Setup s;
  s.gate->Open();
  s.gate->outcome = Status(Code::kIo, "no room");
  const ValuePtr state = State(PatternTensor(DType::kInt32, {10}, 1), 1);
  auto first = s.writer->Write(s.store, state, nullptr);
  CHECK_OK(first);
  Status told = s.writer->Write(s.store, state, nullptr).status();
  CHECK_CODE(told, Code::kIo);
  CHECK_THAT(told.message() == "the save before failed: no room");
  CHECK_CODE(*(*first)->Wait(Deadline::Now()), Code::kIo);  // its own waiters hear it at any time
  CHECK_OK(s.writer->Write(s.store, state, nullptr));
  CHECK_CODE(s.writer->Close(Deadline::Never()), Code::kIo);
  CHECK_OK(s.writer->Close(Deadline::Never()));

  Setup cancelled;
  CancelToken cancel;
  CHECK_OK(cancelled.writer->Write(cancelled.store, state, nullptr, cancel));
  cancelled.gate->AwaitInside();
  cancelled.gate->outcome = Status(Code::kCancelled, "by its owner");
  cancelled.gate->Open();
  CHECK_OK(cancelled.writer->Close(Deadline::Never()));
  return {};
}

// The writer may go while a write is under way.
std::string GoneBeforeTheEnd() {
  Setup s;
  const ValuePtr state = State(PatternTensor(DType::kInt32, {10}, 1), 1);
  auto pending = s.writer->Write(s.store, state, nullptr);
  CHECK_OK(pending);
  s.gate->AwaitInside();
  s.writer.reset();
  s.gate->Open();
  CHECK_OK(*(*pending)->Wait(Deadline::Never()));
  CHECK_OK(ReadRankFile(*s.store, 0));
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(TensorsAreCopiedFirst),
      DCP_CHECKED(TheNextOneWaits),
      DCP_CHECKED(FailuresAreToldOnceMore),
      DCP_CHECKED(GoneBeforeTheEnd),
  };
  return cmocka_run_group_tests_name("ranklocal/async_writer", tests, nullptr, nullptr);
}
