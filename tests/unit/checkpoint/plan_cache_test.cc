#include "checkpoint/plan_cache.h"

#include <functional>

#include "checkpoint/commit.h"
#include "checkpoint/plan_wire.h"
#include "support/cmocka.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

// Every rank has a row of each of `tensors` tensors, all have one more, and an object.
struct Job {
  uint32_t ranks = 6;
  uint32_t tensors = 5;
  DType dtype_of_rank_2 = DType::kFloat32;  // of the tensor that all have
  uint64_t object_size = 100;               // of who writes it, in its file
  uint64_t generation = 0;
  uint32_t crc = 1;  // what else is written
  std::string id = "/runs/1";
  bool lowest = false;
};

SavePlan PlanOf(const Job& job, uint32_t rank) {
  SavePlan plan;
  plan.storage_data = std::string(1, static_cast<char>(job.generation));
  plan.properties.resize(2);
  plan.properties[1].dtype = rank == 2 ? job.dtype_of_rank_2 : DType::kFloat32;
  const int64_t ranks = job.ranks;
  const auto add = [&](std::string name, WriteKind kind, Shape box_and_global) {
    WriteItem item;
    item.name = item.source = static_cast<uint32_t>(plan.items.size());
    item.kind = kind;
    item.ndim = static_cast<uint8_t>(box_and_global.size() / 3);
    item.properties = kind == WriteKind::kTensor ? 1 : 0;
    item.box = static_cast<uint32_t>(plan.dims.size());
    item.global = item.box + 2 * item.ndim;
    plan.dims.insert(plan.dims.end(), box_and_global.begin(), box_and_global.end());
    plan.planner_data.emplace_back(name, Path{name});
    plan.names.push_back(std::move(name));
    plan.items.push_back(item);
  };
  add("step", WriteKind::kBytes, {});
  add("all", WriteKind::kTensor, {0, 7, 7});
  for (uint32_t i = 0; i < job.tensors; ++i) {
    add(fmt::format("layers.{}.weight", i), WriteKind::kShard, {rank, 0, 1, 3, ranks, 3});
  }
  return plan;
}

OutcomeMessage OutcomeOf(const Job& job, uint32_t rank, const SavePlan& plan,
                         const std::vector<uint32_t>& sources, const std::string& save_id) {
  OutcomeMessage message;
  message.save_id = save_id;
  message.outcome.files.push_back(DataFileName(static_cast<int32_t>(rank), 0, job.generation));
  uint64_t at = 0;
  for (const uint32_t source : sources) {
    const bool object = plan.items[source].kind == WriteKind::kBytes;
    WrittenItem item{};
    item.offset = at;
    item.length = object ? job.object_size : 1600 + source;
    item.crc32 = job.crc * 7919 + rank * 31 + source;
    at += item.length;
    message.outcome.items.push_back(item);
  }
  return message;
}

// Ranks and coordinator in one thread; what they say goes through the messages alone.
struct Family {
  CoordinatorPlanCache coordinator;
  std::vector<RankPlanCache> ranks;
  // Of the last save.
  size_t asked = 0;
  size_t told_up = 0, told_down = 0, told_results = 0;  // bytes
  std::string file;

  std::string Save(const Job& job, uint32_t deaf = UINT32_MAX);
};

// What a save without caches writes.
Result<std::string> Expected(const Job& job, const std::string& save_id) {
  std::vector<SavePlan> plans;
  for (uint32_t rank = 0; rank < job.ranks; ++rank) plans.push_back(PlanOf(job, rank));
  GlobalPlanOptions options;
  options.dedup_to_lowest_rank = job.lowest;
  DCP_ASSIGN_OR_RETURN(GlobalSavePlan global, CreateGlobalSavePlan(plans, options));
  Metadata& metadata = global.metadata;
  for (uint32_t rank = 0; rank < job.ranks; ++rank) {
    std::vector<uint32_t> sources;
    for (const WriteItem& item : global.ranks[rank].items) sources.push_back(item.source);
    const OutcomeMessage message = OutcomeOf(job, rank, plans[rank], sources, save_id);
    for (size_t i = 0; i < sources.size(); ++i) {
      const GlobalSavePlan::Slot slot = global.slots[rank][i];
      const WrittenItem& item = message.outcome.items[i];
      metadata.entries[slot.entry].locations[slot.chunk] =
          Location{rank, 0, item.offset, item.length, item.crc32, true};
    }
    metadata.files.push_back(message.outcome.files[0]);
  }
  metadata.version = "1.0.0";
  metadata.storage_meta.emplace();
  metadata.storage_meta->checkpoint_id = job.id;
  metadata.storage_meta->save_id = save_id;
  return EncodeMetadata(metadata, Dialect::kDefault);
}

// `deaf`: a rank that never hears that the save is committed.
std::string Family::Save(const Job& job, uint32_t deaf) {
  static int number = 0;
  const std::string save_id = fmt::format("6d0c2a4e-0000-4000-8000-{:012x}", ++number);
  asked = told_up = told_down = told_results = 0;
  ranks.resize(job.ranks);
  coordinator.Begin(job.ranks, job.lowest ? "lowest" : "");
  std::vector<SavePlan> plans;
  for (uint32_t rank = 0; rank < job.ranks; ++rank) {
    plans.push_back(PlanOf(job, rank));
    auto told = ranks[rank].Tell(plans[rank]);
    CHECK_OK(told);
    told_up += told->size();
    CHECK_OK(coordinator.Hear(rank, *told));
  }
  for (uint32_t rank : coordinator.Unknown()) {
    ++asked;
    CHECK_OK(coordinator.Hear(rank, ranks[rank].TellWhole()));
  }
  CHECK_THAT(coordinator.Unknown().empty());
  GlobalPlanOptions options;
  options.dedup_to_lowest_rank = job.lowest;
  CHECK_OK(coordinator.Plan(options));
  for (uint32_t rank = 0; rank < job.ranks; ++rank) {
    CHECK_THAT(coordinator.storage_data(rank) == plans[rank].storage_data);
    const std::string told = coordinator.Tell(rank, save_id, plans[rank].storage_data);
    told_down += told.size();
    auto heard = DecodeToldAssignment(told);
    CHECK_OK(heard);
    std::vector<uint32_t> sources;
    if (heard->kind == ToldKind::kSame) {
      CHECK_THAT(heard->save_id == save_id && heard->storage_data == plans[rank].storage_data);
      auto same = ranks[rank].Same(*heard);
      CHECK_OK(same);
      sources = *same;
    } else {
      CHECK_THAT(heard->kind == ToldKind::kAssignment);
      auto assignment = DecodeAssignment(told);
      CHECK_OK(assignment);
      sources = assignment->sources;
      CHECK_OK(ranks[rank].Assigned(sources));
    }
    auto result = ranks[rank].TellOutcome(OutcomeOf(job, rank, plans[rank], sources, save_id));
    CHECK_OK(result);
    told_results += result->size();
    CHECK_OK(coordinator.HearOutcome(rank, *result, save_id, job.generation));
  }
  CoordinatorPlanCache::Commit commit;
  commit.checkpoint_id = job.id;
  commit.save_id = save_id;
  commit.generation = job.generation;
  commit.version = "1.0.0";
  auto image = coordinator.Finish(commit);
  CHECK_OK(image);
  file = AsText((*image)->bytes());
  auto expected = Expected(job, save_id);
  CHECK_OK(expected);
  CHECK_THAT(file == *expected);
  CHECK_OK(coordinator.Committed());
  for (uint32_t rank = 0; rank < job.ranks; ++rank) {
    if (rank != deaf) CHECK_OK(ranks[rank].Committed());
  }
  return {};
}

#define SAVE(...)                                                     \
  if (std::string wrong = family.Save(__VA_ARGS__); !wrong.empty()) { \
    return fmt::format("line {}: {}", __LINE__, wrong);               \
  }

bool AllSame(const Family& family, const Job& job) {
  const size_t items = job.ranks * job.tensors + 2;
  return family.asked == 0 && family.told_up == 32 * job.ranks &&
         family.told_down == 32 * job.ranks && family.told_results == 32 * job.ranks + 4 * items &&
         !family.coordinator.planned_anew() && family.coordinator.patched();
}

std::string TheSameLayoutTravelsAsKeys() {
  if (!HasSha256()) return {};
  Family family;
  Job job;
  SAVE(job);
  CHECK_THAT(family.coordinator.planned_anew() && !family.coordinator.patched());
  CHECK_THAT(family.asked == 0 && family.told_up > 32 * job.ranks);
  for (uint32_t crc = 2; crc < 6; ++crc) {
    job.crc = crc;
    job.generation = crc;
    job.id = fmt::format("/runs/{}", std::string(crc, 'x'));
    SAVE(job);
    // The first time the names of files become longer.
    if (crc == 2) continue;
    CHECK_THAT(AllSame(family, job));
  }
  return {};
}

std::string ChangesTravel() {
  if (!HasSha256()) return {};
  Family family;
  Job job;
  SAVE(job);
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  // A dtype on one rank: its plan comes whole, the others' do not.
  job.dtype_of_rank_2 = DType::kFloat64;
  SAVE(job);
  CHECK_THAT(family.coordinator.planned_anew() && family.asked == 0);
  CHECK_THAT(family.told_up > 32 * job.ranks && family.told_up < 2 * 32 * job.ranks);
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  // An object of another size: only where things lie is new.
  job.object_size = 164;
  SAVE(job);
  CHECK_THAT(!family.coordinator.planned_anew() && !family.coordinator.patched());
  CHECK_THAT(family.told_up == 32 * job.ranks && family.told_down == 32 * job.ranks);
  // That rank's key is new, too.
  job.crc = 77;
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  // Another tensor, another number of ranks, another option.
  job.tensors = 6;
  SAVE(job);
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  job.ranks = 4;
  SAVE(job);
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  job.lowest = true;
  SAVE(job);
  CHECK_THAT(family.coordinator.planned_anew() && family.asked == job.ranks);
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  return {};
}

std::string WhoForgotIsAsked() {
  if (!HasSha256()) return {};
  Family family;
  Job job;
  SAVE(job);
  family.ranks[3] = RankPlanCache();  // restarted: tells all of its own accord
  SAVE(job);
  CHECK_THAT(family.asked == 0 && family.coordinator.planned_anew());
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  family.coordinator = CoordinatorPlanCache();
  SAVE(job);
  CHECK_THAT(family.asked == job.ranks);
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  family.coordinator.Forget();  // after a failure
  SAVE(job);
  CHECK_THAT(family.asked == job.ranks);
  // A rank that never heard of a commit whose results were new to it.
  job.object_size = 1000;
  SAVE(job, 0);
  job.object_size = 1001;
  SAVE(job);
  CHECK_THAT(family.asked == 1);
  SAVE(job);
  CHECK_THAT(AllSame(family, job));
  return {};
}

// Every truncation and every extension is refused; every changed byte is survived.
std::string DamagedMessagesAreRefused() {
  PlanKey key{};
  const std::string id = "6d0c2a4e-0000-4000-8000-00000000abcd";
  const std::vector<uint32_t> crcs = {1, 2, 3};
  const auto plan = [](std::string_view bytes) {
    CoordinatorPlanCache cache;
    cache.Begin(1, "");
    DCP_RETURN_IF_ERROR(cache.Hear(0, bytes));
    return cache.Unknown().empty() ? cache.Plan({}) : Status::Ok();
  };
  const auto assignment = [](std::string_view bytes) {
    return DecodeToldAssignment(bytes).status();
  };
  const auto placement = [](std::string_view bytes) { return DecodeToldPlacement(bytes).status(); };
  CHECK_CODE(plan(""), Code::kCorrupt);
  for (const std::string_view data : {"", "g", "12345678", "123456789"}) {
    const std::string same = EncodeSamePlan(key, data);
    CHECK_THAT(same.size() == (data.size() <= 8 ? 32 : 24 + data.size()));
    auto told = DecodeToldPlan(same);
    CHECK_OK(told);
    CHECK_THAT(told->key == key && told->storage_data == data);
    CHECK_CODE(plan(same.substr(0, 31)), Code::kCorrupt);
    for (size_t at = 0; at < same.size(); ++at) {
      std::string changed = same;
      changed[at] = static_cast<char>(changed[at] ^ 0xff);
      (void)plan(changed);
    }
  }
  const std::string whole = EncodeWholePlan(EncodePlan(PlanOf(Job(), 0), ""), "data");
  CHECK_OK(DecodeToldPlan(whole));
  for (size_t size = 0; size < whole.size(); ++size) {
    if (HasSha256()) CHECK_CODE(plan(whole.substr(0, size)), Code::kCorrupt);
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x55);
    (void)plan(changed);
  }
  const std::string same = *EncodeSameAssignment(key, id, "12345678");
  CHECK_THAT(same.size() == 32 && DecodeToldAssignment(same)->save_id == id);
  CHECK_CODE(assignment(same.substr(0, 31)), Code::kCorrupt);
  CHECK_CODE(assignment(same + '\0'), Code::kCorrupt);
  CHECK_THAT(!EncodeSameAssignment(key, "an id", "") && !EncodeSameAssignment(key, id, whole));
  CHECK_THAT(DecodeToldAssignment(EncodeAsk(true))->kind == ToldKind::kTellWhole);
  CHECK_THAT(DecodeToldAssignment(EncodeAsk(false))->kind == ToldKind::kWait);
  CHECK_CODE(assignment(EncodeAsk(true) + "x"), Code::kCorrupt);
  const std::string placed = *EncodeSamePlacement(key, id, crcs);
  CHECK_THAT(placed.size() == 32 + 12);
  for (size_t size = 1; size < placed.size(); ++size) {
    if (size != 32 && size != 36 && size != 40) {
      CHECK_CODE(placement(placed.substr(0, size)), Code::kCorrupt);
    }
  }
  return {};
}

// Claims of a rank that the coordinator does not share.
std::string FalseClaimsAreRefused() {
  if (!HasSha256()) return {};
  Family family;
  Job job;
  SAVE(job);
  SAVE(job);
  const std::string id = "6d0c2a4e-0000-4000-8000-00000000abcd";
  CoordinatorPlanCache& coordinator = family.coordinator;
  coordinator.Begin(job.ranks, "");
  std::vector<std::string> told;
  for (uint32_t rank = 0; rank < job.ranks; ++rank) {
    told.push_back(*family.ranks[rank].Tell(PlanOf(job, rank)));
    CHECK_OK(coordinator.Hear(rank, told.back()));
  }
  CHECK_OK(coordinator.Plan({}));
  PlanKey other{};
  other.fill(std::byte{1});
  const std::vector<uint32_t> crcs(job.tensors, 9);
  const auto hear = [&](uint32_t rank, const std::string& message) {
    return coordinator.HearOutcome(rank, message, id, 0);
  };
  const PlanKey key = *DecodeToldPlan(told[3])->key;
  CHECK_CODE(hear(3, *EncodeSamePlacement(other, id, crcs)), Code::kCorrupt);
  CHECK_CODE(hear(3, *EncodeSamePlacement(key, id, {})), Code::kInternal);
  CHECK_CODE(hear(3, *EncodeSamePlacement(key, "6d0c2a4e-0000-4000-8000-000000000000", crcs)),
             Code::kInternal);
  CHECK_OK(hear(3, *EncodeSamePlacement(key, id, crcs)));
  OutcomeMessage outcome = OutcomeOf(job, 3, PlanOf(job, 3), {2, 3, 4, 5, 6}, id);
  CHECK_OK(hear(3, EncodeOutcomeMessage(outcome)));
  outcome.outcome.files[0] = DataFileName(2, 0, 0);
  CHECK_CODE(hear(3, EncodeOutcomeMessage(outcome)), Code::kInternal);
  auto wrong = DecodeToldAssignment(*EncodeSameAssignment(other, id, ""));
  CHECK_CODE(family.ranks[3].Same(*wrong).status(), Code::kCorrupt);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::TheSameLayoutTravelsAsKeys>),
      cmocka_unit_test(dcp::Checked<dcp::ChangesTravel>),
      cmocka_unit_test(dcp::Checked<dcp::WhoForgotIsAsked>),
      cmocka_unit_test(dcp::Checked<dcp::DamagedMessagesAreRefused>),
      cmocka_unit_test(dcp::Checked<dcp::FalseClaimsAreRefused>),
  };
  return cmocka_run_group_tests_name("checkpoint/plan_cache", tests, nullptr, nullptr);
}
