#include <cstring>
#include <memory>

#include "base/thread_pool.h"
#include "checkpoint/commit.h"
#include "checkpoint/plan_cache.h"
#include "checkpoint/plan_wire.h"
#include "driver/measure.h"
#include "planning/commands.h"
#include "planning/simulated_plans.h"

namespace dcp::bench {
namespace {

constexpr const char* kSaveIds[] = {"6d0c2a4e-0000-4000-8000-000000000001",
                                    "6d0c2a4e-0000-4000-8000-000000000002"};

void Require(const Status& status) {
  if (!status.ok()) Die(status.ToString());
}
template <typename T>
T Require(dcp::Result<T> result) {
  Require(result.status());
  return *std::move(result);
}

std::string OutcomeOf(RankPlanCache& cache, uint32_t rank, size_t items, uint32_t save) {
  OutcomeMessage message;
  message.save_id = kSaveIds[save];
  message.outcome.files.push_back(DataFileName(static_cast<int32_t>(rank), 0, 0));
  for (size_t i = 0; i < items; ++i) {
    WrittenItem item{};
    item.offset = i * 140000;
    item.length = 132000;
    item.crc32 = static_cast<uint32_t>((save + 1) * 2654435761u * (rank * 4099 + i));
    message.outcome.items.push_back(item);
  }
  return Require(cache.TellOutcome(message));
}

// All ranks of one save, as they come to the coordinator.
class Family {
 public:
  Family(const Job& job, size_t workers) : job_(job), workers_(workers), ranks_(job.ranks) {}

  // Both sides remember this one.
  void FirstSave() {
    coordinator_.Begin(job_.ranks, "");
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) {
      Require(coordinator_.Hear(rank, Require(ranks_[rank].Tell(SimulatedPlan(job_, rank)))));
    }
    Require(coordinator_.Plan({}));
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) {
      const Assignment assignment =
          Require(DecodeAssignment(coordinator_.Tell(rank, kSaveIds[0], "")));
      Require(ranks_[rank].Assigned(assignment.sources));
      items_.push_back(assignment.sources.size());
      Require(coordinator_.HearOutcome(rank, OutcomeOf(ranks_[rank], rank, items_[rank], 0),
                                       kSaveIds[0], 0));
    }
    Finish(0);
    Require(coordinator_.Committed());
    for (RankPlanCache& rank : ranks_) Require(rank.Committed());
  }

  // What the ranks will say; the coordinator's part of it has to be played before.
  void Prepare() {
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) {
      up_.push_back(Require(ranks_[rank].Tell(SimulatedPlan(job_, rank))));
    }
    coordinator_.Begin(job_.ranks, "");
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) Require(coordinator_.Hear(rank, up_[rank]));
    Require(coordinator_.Plan({}));
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) {
      const auto told = Require(DecodeToldAssignment(coordinator_.Tell(rank, kSaveIds[1], "")));
      Require(ranks_[rank].Same(told));
      results_.push_back(OutcomeOf(ranks_[rank], rank, items_[rank], 1));
    }
  }

  void SecondSave() {
    coordinator_.Begin(job_.ranks, "");
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) Require(coordinator_.Hear(rank, up_[rank]));
    if (!coordinator_.Unknown().empty()) Die("a rank is unknown");
    Require(coordinator_.Plan({}));
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) {
      down_.push_back(coordinator_.Tell(rank, kSaveIds[1], ""));
    }
    for (uint32_t rank = 0; rank < job_.ranks; ++rank) {
      Require(coordinator_.HearOutcome(rank, results_[rank], kSaveIds[1], 0));
    }
    Finish(1);
  }

  void Tell(Result* result) const {
    uint64_t up = 0, down = 0, results = 0;
    for (const std::string& message : up_) up = std::max<uint64_t>(up, message.size());
    for (const std::string& message : down_) down = std::max<uint64_t>(down, message.size());
    for (const std::string& message : results_) results += message.size();
    result->Add("up_bytes", up);
    result->Add("down_bytes", down);
    result->Add("result_bytes", results);
    result->Add("metadata_bytes", given_);
    result->Add("patched", uint64_t{coordinator_.patched()});
    result->Add("items", uint64_t{job_.ranks} * job_.items);
  }

 private:
  void Finish(uint32_t save) {
    CoordinatorPlanCache::Commit commit;
    commit.checkpoint_id = "/checkpoints/step-1000";
    commit.save_id = kSaveIds[save];
    commit.version = "1.0.0";
    commit.workers = workers_;
    given_ = 0;
    Require(Require(coordinator_.Finish(commit))->Give([&](Bytes piece) {
      given_ += piece.size();
      return Status::Ok();
    }));
  }

  const Job job_;
  const size_t workers_;
  CoordinatorPlanCache coordinator_;
  std::vector<RankPlanCache> ranks_;
  std::vector<size_t> items_;
  std::vector<std::string> up_, down_, results_;
  uint64_t given_ = 0;
};

}  // namespace

void SecondSaveCommand(const Arguments& arguments) {
  const auto workers = static_cast<int32_t>(arguments.Number("workers", 0));
  Family family(JobOf(arguments), WorkerCount(workers));
  family.FirstSave();
  family.Prepare();
  Measure measure;
  family.SecondSave();
  Result result;
  measure.Stop(&result);
  family.Tell(&result);
  result.Print();
}

void MemcpyCommand(const Arguments& arguments) {
  const uint64_t size = arguments.Number("bytes");
  const auto from = std::make_unique<char[]>(size), to = std::make_unique<char[]>(size);
  std::memset(from.get(), 1, size);
  std::memset(to.get(), 2, size);
  Measure measure;
  std::memcpy(to.get(), from.get(), size);
  Result result;
  measure.Stop(&result);
  if (size > 0 && to[size - 1] != from[size - 1]) Die("memcpy did not copy");
  result.Print();
}

}  // namespace dcp::bench
