#include "checkpoint/async_save.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "checkpoint/load.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/sample_state.h"

namespace dcp {
namespace {

// Holds the save's thread at its first file until opened.
class Gate {
 public:
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

std::shared_ptr<FaultStore> GatedStore(const std::shared_ptr<Store>& inner,
                                       const std::shared_ptr<Gate>& gate) {
  auto store = std::make_shared<FaultStore>(inner);
  store->SetHook([gate](size_t, const std::string& line) {
    if (line.starts_with("create __")) gate->Wait();
  });
  return store;
}

Result<std::shared_ptr<SaveFuture>> Start(std::shared_ptr<Store> store, ValuePtr state,
                                          const SaveOptions& options = {}) {
  return SaveAsync(std::move(store), NewSingleCommunicator(), std::move(state), options,
                   std::make_shared<Engine>());
}

std::string TheCallerMayGoOn() {
  std::shared_ptr<Store> memory = NewMemoryStore();
  auto gate = std::make_shared<Gate>();
  ValuePtr state = SampleState(1);
  Tensor weight = (*(*state->Find("model"))->Find("weight"))->tensor;
  auto future = Start(GatedStore(memory, gate), state);
  CHECK_OK(future);
  CHECK_THAT(!(*future)->done());
  CHECK_CODE((*future)->Wait(Deadline::FromMilliseconds(20)), Code::kTimeout);
  std::memset(weight.data, 0x7f, static_cast<size_t>(weight.num_bytes()));
  std::atomic<int> called{0};
  std::atomic<int> fine{0};
  auto count = [&](const Result<SaveResult>& result) {
    ++called;
    if (result.ok()) ++fine;
  };
  (*future)->OnDone(count);
  CHECK_THAT(called == 0);
  gate->Open();
  auto first = (*future)->Wait(Deadline::Never());
  CHECK_OK(first);
  auto again = (*future)->Wait(Deadline::FromMilliseconds(0));
  CHECK_OK(again);
  CHECK_THAT(first->save_id == again->save_id);
  CHECK_THAT((*future)->done());
  (*future)->OnDone(count);  // at once
  for (int i = 0; i < 5000 && called < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK_THAT(called == 2 && fine == 2);

  ValuePtr blank = BlankState();
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  CHECK_OK(Load(*memory, *comm, *blank, {}, Engine()));
  ValuePtr expected = SampleState(1);
  CHECK_THAT(Equal(**blank->Find("model"), **expected->Find("model")));
  return {};
}

std::string CancellingEndsIt() {
  std::shared_ptr<Store> memory = NewMemoryStore();
  auto gate = std::make_shared<Gate>();
  auto future = Start(GatedStore(memory, gate), SampleState(1));
  CHECK_OK(future);
  (*future)->Cancel();
  gate->Open();
  CHECK_CODE((*future)->Wait(Deadline::Never()), Code::kCancelled);
  CHECK_THAT(memory->List()->empty());
  return {};
}

std::string FailuresComeBackAgainAndAgain() {
  auto store = std::make_shared<FaultStore>(NewMemoryStore());
  store->FailLine("rename", Status(Code::kIo, "the disk is on fire"));
  auto future = Start(store, SampleState(1));
  CHECK_OK(future);
  CHECK_CODE((*future)->Wait(Deadline::Never()), Code::kIo);
  CHECK_CODE((*future)->Wait(Deadline::Never()), Code::kIo);
  return {};
}

std::string TheWorkGoesOnWithoutItsFuture() {
  std::shared_ptr<Store> memory = NewMemoryStore();
  auto gate = std::make_shared<Gate>();
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  {
    auto future = Start(GatedStore(memory, gate), SampleState(1));
    CHECK_OK(future);
    (*future)->OnDone([&](const Result<SaveResult>&) {
      std::lock_guard lock(mutex);
      done = true;
      ended.notify_all();
    });
  }
  gate->Open();
  std::unique_lock lock(mutex);
  bool in_time = ended.wait_for(lock, std::chrono::seconds(60), [&] { return done; });
  CHECK_THAT(in_time);
  std::unique_ptr<Communicator> comm = NewSingleCommunicator();
  CHECK_OK(Load(*memory, *comm, *BlankState(), {}, Engine()));
  return {};
}

std::string StagingFailuresComeAtOnce() {
  Tensor tensor = PatternTensor(DType::kFloat32, {3}, 1);
  tensor.device = {2, 0};
  CHECK_CODE(Start(NewMemoryStore(), DictOf({{"t", Value::Of(tensor)}})), Code::kUnsupported);
  SaveOptions options;
  options.cancel.Cancel();
  CHECK_CODE(Start(NewMemoryStore(), SampleState(1), options), Code::kCancelled);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::TheCallerMayGoOn>),
      cmocka_unit_test(dcp::Checked<dcp::CancellingEndsIt>),
      cmocka_unit_test(dcp::Checked<dcp::FailuresComeBackAgainAndAgain>),
      cmocka_unit_test(dcp::Checked<dcp::TheWorkGoesOnWithoutItsFuture>),
      cmocka_unit_test(dcp::Checked<dcp::StagingFailuresComeAtOnce>),
  };
  return cmocka_run_group_tests_name("checkpoint/async", tests, nullptr, nullptr);
}
