// Ranks of one process save and load in turns while stores fail, calls are cancelled and saves run
// in the background, all at random: stress_ranks <rounds> <seed>. After each round every rank has
// the same outcome, and the store holds the checkpoint that was committed last.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>

#include "checkpoint/async_save.h"
#include "checkpoint/load.h"
#include "checkpoint/save.h"
#include "reader/metadata_files.h"
#include "storage/open.h"
#include "support/fault_store.h"
#include "support/rank_state.h"
#include "support/thread_group.h"

namespace dcp {
namespace {

constexpr int32_t kRanks = 8;
const Status kBroken(Code::kIo, "the disk is on fire");

using Random = std::mt19937_64;

int64_t Between(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

// What one rank is to do, drawn before the ranks begin.
struct Part {
  bool fails = false;
  size_t call = 0;  // of its store's
  bool cancels = false;
};

struct Round {
  bool loads = false;
  bool in_background = false;
  SaveOptions options;
  std::vector<Part> parts;
};

Round Draw(Random& random) {
  Round round;
  round.loads = Between(random, 0, 3) == 0;
  round.in_background = Between(random, 0, 1) == 0;
  round.options.coordinator = static_cast<int32_t>(Between(random, 0, kRanks - 1));
  round.options.use_collectives = Between(random, 0, 3) != 0;
  round.options.files = static_cast<int32_t>(Between(random, 1, 2));
  round.options.timeout_ms = 120000;
  round.parts.resize(kRanks);
  if (Between(random, 0, 1) == 0) return round;
  for (int64_t bad = Between(random, 1, 2); bad > 0; --bad) {
    Part& part = round.parts[static_cast<size_t>(Between(random, 0, kRanks - 1))];
    part.cancels = Between(random, 0, 3) == 0;
    part.fails = !part.cancels;
    part.call = static_cast<size_t>(Between(random, 0, 14));
  }
  return round;
}

class Stress {
 public:
  explicit Stress(uint64_t seed) : random_(seed) {}

  // Empty when all is well.
  std::string Try(uint64_t number) {
    const Round round = Draw(random_);
    std::vector<Status> statuses(kRanks);
    group_.Run([&](Communicator& comm) {
      const auto rank = static_cast<size_t>(comm.rank());
      FaultStore store(store_);
      if (round.parts[rank].fails) store.FailCall(round.parts[rank].call, kBroken);
      statuses[rank] =
          round.loads ? LoadOnce(store, comm, round) : SaveOnce(store, comm, round, number);
    });
    return round.loads ? AfterLoad(round, statuses) : AfterSave(round, number, statuses);
  }

  uint64_t saved() const { return saved_; }
  uint64_t failed() const { return failed_; }

 private:
  Status SaveOnce(FaultStore& store, Communicator& comm, const Round& round, uint64_t number) {
    SaveOptions options = round.options;
    options.cancel = CancelToken();
    if (round.parts[static_cast<size_t>(comm.rank())].cancels) options.cancel.Cancel();
    const ValuePtr state = RankState(comm.rank(), kRanks, number);
    if (!round.in_background) return Save(store, comm, *state, options, Engine()).status();
    const std::shared_ptr<Store> borrowed(std::shared_ptr<Store>(), &store);
    const std::shared_ptr<Communicator> group(std::shared_ptr<Communicator>(), &comm);
    auto future = SaveAsync(borrowed, group, state, options, std::make_shared<Engine>());
    return future.ok() ? (*future)->Wait(Deadline::Never()).status() : future.status();
  }

  Status LoadOnce(FaultStore& store, Communicator& comm, const Round& round) {
    LoadOptions options;
    options.coordinator = round.options.coordinator;
    options.timeout_ms = round.options.timeout_ms;
    if (round.parts[static_cast<size_t>(comm.rank())].cancels) options.cancel.Cancel();
    const ValuePtr state = RankState(comm.rank(), kRanks, 999999);
    Status status = Load(store, comm, *state, options, Engine()).status();
    if (!status.ok() || Matches(*state, RankState(comm.rank(), kRanks, last_))) return status;
    return Error(Code::kInternal, "rank {} loaded something else", comm.rank());
  }

  static bool Matches(const Value& state, const ValuePtr& expected) {
    const Value &loaded = **state.Find("sharded"), &saved = **expected->Find("sharded");
    return EqualElements(loaded.sharded->shards[0].tensor, saved.sharded->shards[0].tensor) &&
           Equal(**state.Find("replicated"), **expected->Find("replicated"));
  }

  std::string AfterLoad(const Round& round, const std::vector<Status>& statuses) {
    if (last_ == 0) return {};  // there is nothing yet
    return SameOutcome(round, statuses);
  }

  std::string SameOutcome(const Round& round, const std::vector<Status>& statuses) {
    const bool good = statuses[0].ok();
    for (const Status& status : statuses) {
      if (status.ok() != good && status.code() != Code::kOutcomeUnknown &&
          statuses[0].code() != Code::kOutcomeUnknown) {
        return fmt::format("ranks differ: {} and {}", statuses[0].ToString(), status.ToString());
      }
      for (const RankFailure& failure : status.rank_failures()) {
        const Part& part = round.parts[static_cast<size_t>(failure.rank)];
        if (part.fails || part.cancels) continue;
        return fmt::format("rank {} is blamed: {}", failure.rank, status.ToString());
      }
      if (status.code() == Code::kInternal) return status.ToString();
    }
    return {};
  }

  std::string AfterSave(const Round& round, uint64_t number, const std::vector<Status>& statuses) {
    std::string wrong = SameOutcome(round, statuses);
    if (!wrong.empty()) return wrong;
    bool unknown = false, good = true;
    for (const Status& status : statuses) {
      unknown = unknown || status.code() == Code::kOutcomeUnknown;
      good = good && status.ok();
    }
    ++(good ? saved_ : failed_);
    auto committed = ReadCommittedMetadata(*store_);
    if (good) last_ = number;
    if (unknown) {
      // A rank's rename failed: without collectives the others' may be in place. The next save is
      // to mend it.
      store_ = NewMemoryStore();
      last_ = 0;
      return {};
    }
    if (last_ == 0) return committed.ok() ? "a save that failed left a checkpoint" : "";
    return Holds();
  }

  std::string Holds() {
    const std::unique_ptr<Communicator> alone = NewSingleCommunicator();
    Tensor whole = PatternTensor(DType::kFloat32, {2 * kRanks, 3}, 999999);
    const ValuePtr target = DictOf({{"sharded", Value::Of(whole)}, {"step", Value::None()}});
    auto loaded = Load(*store_, *alone, *target, {}, Engine());
    if (!loaded.ok()) return "the last checkpoint: " + loaded.status().ToString();
    const bool same =
        EqualElements(whole, PatternTensor(DType::kFloat32, {2 * kRanks, 3}, last_)) &&
        loaded->objects.size() == 1 &&
        Equal(*loaded->objects[0].second, *Value::Int(static_cast<int64_t>(last_)));
    return same ? "" : fmt::format("the store does not hold save {}", last_);
  }

  Random random_;
  ThreadGroup group_{kRanks};
  std::shared_ptr<Store> store_ = NewMemoryStore();
  uint64_t last_ = 0;  // the number of the save that is committed
  uint64_t saved_ = 0;
  uint64_t failed_ = 0;
};

}  // namespace
}  // namespace dcp

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: stress_ranks <rounds> <seed>\n");
    return 2;
  }
  const uint64_t rounds = std::strtoull(argv[1], nullptr, 10);
  const uint64_t seed = std::strtoull(argv[2], nullptr, 10);
  dcp::Stress stress(seed);
  for (uint64_t round = 1; round <= rounds; ++round) {
    const std::string wrong = stress.Try(round);
    if (wrong.empty()) continue;
    std::fprintf(stderr, "round %llu of seed %llu: %s\n", static_cast<unsigned long long>(round),
                 static_cast<unsigned long long>(seed), wrong.c_str());
    return 1;
  }
  std::printf("%llu rounds of 8 ranks: %llu saves committed, %llu failed\n",
              static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(stress.saved()),
              static_cast<unsigned long long>(stress.failed()));
  return 0;
}
