// Stores that stop answering, fail or are refused.
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "dcp/torch.hpp"
#include "stubborn_store.h"
#include "support/cmocka.h"

namespace {

constexpr int64_t kShort = 200;
constexpr int64_t kLong = 60000;
constexpr int64_t kSome = 2000;  // where one rank may fail and the other wait for it

struct Told {
  dcp_status status = DCP_OK;
  std::string message;
  std::vector<int32_t> ranks;
  std::vector<dcp_status> theirs;
};

Told Tell(dcp_status status, dcp_error* error) {
  Told told;
  told.status = status;
  if (error != nullptr) told.message = dcp_error_message(error);
  for (size_t i = 0; i < dcp_error_rank_failure_count(error); ++i) {
    int32_t rank = -1;
    const dcp_error* failure = dcp_error_rank_failure(error, i, &rank, nullptr);
    told.ranks.push_back(rank);
    told.theirs.push_back(dcp_error_status(failure));
  }
  dcp_error_free(error);
  return told;
}

Told Barrier(dcp_communicator* comm, int64_t timeout_ms) {
  dcp_error* error = nullptr;
  const dcp_status status = dcp_communicator_barrier(comm, timeout_ms, &error);
  return Tell(status, error);
}

c10::intrusive_ptr<c10d::Store> Stubborn(const std::shared_ptr<StubbornState>& state) {
  return c10::make_intrusive<StubbornStore>(state);
}

dcp_communicator* Make(const c10::intrusive_ptr<c10d::Store>& store, int32_t rank,
                       int32_t world_size, int32_t host_rank) {
  dcp_communicator* comm = nullptr;
  const dcp_torch::StoreOptions options = {"libdcp/1", host_rank};
  dcp_torch::StoreCommunicator(store, rank, world_size, options, &comm, nullptr);
  return comm;
}

// Two ranks on a thread each.
struct Pair {
  dcp_communicator* comms[2];
  explicit Pair(const c10::intrusive_ptr<c10d::Store>& store)
      : comms{Make(store, 0, 2, 0), Make(store, 1, 2, 0)} {}
  ~Pair() { Free(); }
  void Free() {
    for (dcp_communicator*& comm : comms) {
      dcp_communicator_free(comm);
      comm = nullptr;
    }
  }
  std::vector<Told> Both(const std::function<Told(dcp_communicator*)>& call) {
    std::vector<Told> told(2);
    std::thread other([&] { told[1] = call(comms[1]); });
    told[0] = call(comms[0]);
    other.join();
    return told;
  }
};

// Of rank 0's bytes, which arrive at both.
Told Broadcast(dcp_communicator* comm, const std::string& bytes) {
  dcp_error* error = nullptr;
  dcp_buffers* got = nullptr;
  const dcp_status status =
      dcp_communicator_broadcast(comm, bytes.data(), bytes.size(), 0, kLong, &got, &error);
  Told told = Tell(status, error);
  size_t size = 0;
  const auto* data = static_cast<const char*>(dcp_buffers_at(got, 0, &size));
  if (status == DCP_OK && bytes != std::string(data, size)) told.message = "other bytes";
  dcp_buffers_free(got);
  return told;
}

Told FrozenForOne() {
  const auto state = std::make_shared<StubbornState>();
  dcp_communicator* comm = Make(Stubborn(state), 1, 2, 0);
  state->Freeze(true);
  Told told = Barrier(comm, kShort);
  // The call that hangs is not waited for again.
  const Told again = Barrier(comm, kLong * 60);
  if (again.status != told.status || again.ranks != told.ranks) told = again;
  state->Freeze(false);
  dcp_communicator_free(comm);
  return told;
}

void a_store_that_does_not_answer(void**) {
  const Told told = FrozenForOne();
  assert_int_equal(told.status, DCP_TIMEOUT);
  assert_int_equal(told.ranks.size(), 1);
  assert_int_equal(told.ranks[0], 0);
  assert_int_equal(told.theirs[0], DCP_TIMEOUT);
}

// How many rounds of calls were made until both succeeded.
int RoundsAfterFreeze(std::vector<Told>* frozen) {
  const auto state = std::make_shared<StubbornState>();
  Pair pair(Stubborn(state));
  state->Freeze(true);
  *frozen = pair.Both([](dcp_communicator* comm) { return Barrier(comm, kShort); });
  state->Freeze(false);
  // A call that comes while the one that was given up ends fails once more.
  for (int round = 1; round < 100; ++round) {
    const auto told = pair.Both([](dcp_communicator* comm) { return Barrier(comm, kSome); });
    if (told[0].status == DCP_OK && told[1].status == DCP_OK) return round;
  }
  return -1;
}

void a_store_that_answers_again(void**) {
  std::vector<Told> frozen;
  const int rounds = RoundsAfterFreeze(&frozen);
  for (const Told& told : frozen) {
    assert_int_equal(told.status, DCP_TIMEOUT);
    assert_int_equal(told.ranks.size(), 1);
    assert_int_equal(told.ranks[0], 0);
  }
  assert_true(rounds > 0);
}

Told OfBroken(int32_t host_rank) {
  const auto state = std::make_shared<StubbornState>();
  dcp_communicator* comm = Make(Stubborn(state), 1, 3, host_rank);
  {
    const std::lock_guard lock(state->mutex);
    state->failure = "the cable is cut\nat every frame";
  }
  Told told = Barrier(comm, kLong);
  dcp_communicator_free(comm);
  return told;
}

void a_store_that_fails(void**) {
  const Told hosted = OfBroken(2);
  assert_int_equal(hosted.status, DCP_RANK_FAILED);
  assert_int_equal(hosted.ranks.size(), 1);
  assert_int_equal(hosted.ranks[0], 2);
  assert_int_equal(hosted.theirs[0], DCP_IO);
  assert_true(hosted.message.find("the cable is cut") != std::string::npos);
  assert_true(hosted.message.find("frame") == std::string::npos);
  const Told elsewhere = OfBroken(-1);  // the one that was waited for is named
  assert_int_equal(elsewhere.status, DCP_RANK_FAILED);
  assert_int_equal(elsewhere.ranks.size(), 1);
  assert_int_equal(elsewhere.ranks[0], 0);
  assert_int_equal(elsewhere.theirs[0], DCP_IO);
}

// What nobody waits for is told by a later call.
bool KeysThatStayAreTold() {
  const auto state = std::make_shared<StubbornState>();
  state->keeps_keys = true;
  Pair pair(Stubborn(state));
  for (int round = 0; round < 100; ++round) {
    for (const Told& told :
         pair.Both([](dcp_communicator* comm) { return Barrier(comm, kSome); })) {
      if (told.message.find("keys are kept") != std::string::npos) return true;
    }
  }
  return false;
}

void keys_that_cannot_be_deleted(void**) { assert_true(KeysThatStayAreTold()); }

struct Left {
  std::vector<Told> told;
  size_t keys = 0;
  size_t largest = 0;
  int calls_of_original = 0;
};

Left AfterLargeOnes() {
  const auto state = std::make_shared<StubbornState>();
  Pair pair(Stubborn(state));
  const std::string bytes((9 << 20) + 5, 'x');
  Left left;
  left.told = pair.Both([&](dcp_communicator* comm) { return Broadcast(comm, bytes); });
  pair.Free();
  // Keys are deleted by threads that nobody waits for without end.
  for (;;) {
    const std::lock_guard lock(state->mutex);
    left.keys = state->values.size();
    if (left.keys == 0) break;
  }
  left.largest = state->largest;
  left.calls_of_original = state->calls_of_original;
  return left;
}

void large_buffers_leave_nothing(void**) {
  const Left left = AfterLargeOnes();
  for (const Told& told : left.told) {
    assert_int_equal(told.status, DCP_OK);
    assert_string_equal(told.message.c_str(), "");
  }
  assert_int_equal(left.keys, 0);
  assert_in_range(left.largest, 1 << 20, (4 << 20) + 64);
  assert_int_equal(left.calls_of_original, 0);
}

Told FrozenClone() {
  const auto state = std::make_shared<StubbornState>();
  const auto store = Stubborn(state);
  state->Freeze(true);
  dcp_error* error = nullptr;
  dcp_communicator* comm = nullptr;
  const dcp_status status =
      dcp_torch::StoreCommunicator(store, 1, 2, {"libdcp/1", 0, 100}, &comm, &error);
  Told told = Tell(status, error);
  state->Freeze(false);
  dcp_communicator_free(comm);
  return told;
}

void a_store_that_cannot_be_reached(void**) {
  const Told told = FrozenClone();
  assert_int_equal(told.status, DCP_TIMEOUT);
  assert_int_equal(told.ranks.size(), 1);
  assert_int_equal(told.ranks[0], 0);
}

std::vector<Told> OverTcp() {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.waitWorkers = false;
  const auto server = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  Pair pair(c10::make_intrusive<c10d::HashStore>());  // for its threads
  pair.Free();
  for (int32_t rank = 0; rank < 2; ++rank) {
    dcp_error* error = nullptr;
    const dcp_status status = dcp_torch_communicator_from_tcp_store(
        "127.0.0.1", server->getPort(), "libdcp/1", rank, 2, 0, kLong, &pair.comms[rank], &error);
    if (status != DCP_OK) return {Tell(status, error)};
  }
  return pair.Both([](dcp_communicator* comm) { return Broadcast(comm, "by its address"); });
}

void a_tcp_store_by_its_address(void**) {
  const std::vector<Told> both = OverTcp();
  for (const Told& told : both) {
    assert_string_equal(told.message.c_str(), "");
    assert_int_equal(told.status, DCP_OK);
  }
  assert_int_equal(both.size(), 2);
}

std::vector<Told> OverHashStore() {
  Pair pair(c10::make_intrusive<c10d::HashStore>());
  return pair.Both([](dcp_communicator* comm) { return Broadcast(comm, "threads of a process"); });
}

void a_hash_store(void**) {
  for (const Told& told : OverHashStore()) {
    assert_string_equal(told.message.c_str(), "");
    assert_int_equal(told.status, DCP_OK);
  }
}

std::vector<dcp_status> Refusals() {
  const auto store = Stubborn(std::make_shared<StubbornState>());
  dcp_communicator* comm = nullptr;
  std::vector<dcp_status> all;
  all.push_back(dcp_torch::StoreCommunicator(nullptr, 0, 1, {"p"}, &comm, nullptr));
  all.push_back(dcp_torch::StoreCommunicator(store, 0, 1, {"p"}, nullptr, nullptr));
  all.push_back(dcp_torch::StoreCommunicator(store, 1, 1, {"p"}, &comm, nullptr));
  all.push_back(dcp_torch::StoreCommunicator(store, 0, 1, {"p", 1}, &comm, nullptr));
  all.push_back(dcp_torch_communicator_from_group_name(nullptr, "p", -1, 100, &comm, nullptr));
  all.push_back(dcp_torch_communicator_from_group_name("g", nullptr, -1, 100, &comm, nullptr));
  all.push_back(
      dcp_torch_communicator_from_tcp_store(nullptr, 1, "p", 0, 1, -1, 100, &comm, nullptr));
  return all;
}

void what_is_refused(void**) {
  for (const dcp_status status : Refusals()) assert_int_equal(status, DCP_INVALID_ARGUMENT);
}

Told UnknownGroup() {
  dcp_communicator* comm = nullptr;
  dcp_error* error = nullptr;
  const dcp_status status =
      dcp_torch_communicator_from_group_name("nobody", "p", -1, 100, &comm, &error);
  return Tell(status, error);
}

void a_group_that_is_not_known(void**) {
  const Told told = UnknownGroup();
  assert_int_equal(told.status, DCP_NOT_FOUND);
  assert_true(told.message.find("'nobody'") != std::string::npos);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_store_that_does_not_answer),
      cmocka_unit_test(a_store_that_answers_again),
      cmocka_unit_test(a_store_that_fails),
      cmocka_unit_test(keys_that_cannot_be_deleted),
      cmocka_unit_test(large_buffers_leave_nothing),
      cmocka_unit_test(a_store_that_cannot_be_reached),
      cmocka_unit_test(a_tcp_store_by_its_address),
      cmocka_unit_test(a_hash_store),
      cmocka_unit_test(what_is_refused),
      cmocka_unit_test(a_group_that_is_not_known),
  };
  return cmocka_run_group_tests_name("torch/store", tests, nullptr, nullptr);
}
