// Local plans of tests/fixtures/plans against what PyTorch made of them: entries, chunks, their
// order, and the rank that wrote each, all read from the checkpoints of tests/fixtures/golden.
#include <fstream>
#include <iterator>

#include "checkpoint/commit.h"
#include "exchange/plan_json.h"
#include "metadata/codec.h"
#include "support/checks.h"

namespace dcp {
namespace {

constexpr std::string_view kFixtures = DCP_FIXTURES;

struct Case {
  std::string_view plans;       // without ".json"
  std::string_view checkpoint;  // below golden/, without "/ckpt"
};
constexpr Case kCases[] = {
    {"fsdp2-w2", "torch-2.13/w2/fsdp2"},
    {"fsdp2-w4", "torch-2.13/w4/fsdp2"},
    {"fsdp2-w4", "torch-2.15/w4/fsdp2"},
    {"uneven-w2", "torch-2.13/w2/uneven"},
    {"uneven-w4", "torch-2.13/w4/uneven"},
    {"uneven-w4", "torch-2.15/w4/uneven"},
    {"sharded_tensor-w2", "torch-2.13/w2/sharded_tensor"},
    {"sharded_tensor-w4", "torch-2.13/w4/sharded_tensor"},
    {"sharded_tensor-w4", "torch-2.15/w4/sharded_tensor"},
    {"overwritten-w2", "torch-2.13/w2/overwritten"},
    {"overwritten-w4", "torch-2.13/w4/overwritten"},
    {"overwritten-w4", "torch-2.15/w4/overwritten"},
    {"tp2d-w4", "torch-2.13/w4/tp2d"},
    {"tp2d-w4", "torch-2.15/w4/tp2d"},
    {"sharded-w2", "torch-2.4/w2/sharded"},
    {"sharded-w2", "torch-2.8/w2/sharded"},
};
// Every rank for itself: a `__N.metadata` each.
constexpr Case kAlone[] = {
    {"no_collectives-w2", "torch-2.13/w2/no_collectives"},
    {"no_collectives-w4", "torch-2.13/w4/no_collectives"},
    {"no_collectives-w4", "torch-2.15/w4/no_collectives"},
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<SavePlan> PlansOf(const Case& c) {
  const std::string text = ReadFile(fmt::format("{}/plans/{}.json", kFixtures, c.plans));
  return PlansFromJson(Json::parse(text).at("plans"));
}

Result<Metadata> MetadataOf(const Case& c, std::string_view file) {
  const std::string path = fmt::format("{}/golden/{}/ckpt/{}", kFixtures, c.checkpoint, file);
  return DecodeMetadata(AsBytes(ReadFile(path)), path);
}

// "fqn [offsets] rank" of every item, in the order of entries and chunks.
std::vector<std::string> Owners(const Metadata& metadata) {
  std::vector<std::string> owners;
  for (const Entry& entry : metadata.entries) {
    for (size_t i = 0; i < entry.chunk_count(); ++i) {
      DataFile file{-1, 0, 0};
      const Location& location = entry.locations[i];
      if (!location.missing()) ParseDataFileName(metadata.files[location.file], &file);
      owners.push_back(
          fmt::format("{} {} {}", entry.name, ToString(entry.chunk(i).offsets), file.rank));
    }
  }
  return owners;
}

// The same plan's, as if every rank had written into a file of its own.
void Locate(GlobalSavePlan* global, size_t first_rank) {
  for (size_t rank = 0; rank < global->slots.size(); ++rank) {
    for (const GlobalSavePlan::Slot slot : global->slots[rank]) {
      Location& location = global->metadata.entries[slot.entry].locations[slot.chunk];
      location.file = static_cast<uint32_t>(rank);
    }
    global->metadata.files.push_back(DataFileName(static_cast<int32_t>(first_rank + rank), 0, 0));
  }
}

std::string Compare(const Metadata& theirs, std::vector<SavePlan> plans, size_t first_rank) {
  Result<GlobalSavePlan> global = CreateGlobalSavePlan(std::move(plans), {});
  CHECK_OK(global);
  Locate(&*global, first_rank);
  const Json expected = EntriesToJson(theirs), found = EntriesToJson(global->metadata);
  if (expected != found) return fmt::format("{}\nis not\n{}", found.dump(), expected.dump());
  CHECK_THAT(!expected.empty());
  const auto owners = Owners(theirs), ours = Owners(global->metadata);
  if (owners != ours) {
    return fmt::format("{}\nis not\n{}", fmt::join(ours, "; "), fmt::join(owners, "; "));
  }
  const auto& paths = theirs.planner_data;
  CHECK_THAT(!paths || paths == global->metadata.planner_data);
  return {};
}

std::string SavesTogether() {
  for (const Case& c : kCases) {
    const Result<Metadata> theirs = MetadataOf(c, ".metadata");
    CHECK_OK(theirs);
    const std::string problem = Compare(*theirs, PlansOf(c), 0);
    if (!problem.empty()) return fmt::format("{}: {}", c.checkpoint, problem);
  }
  return {};
}

std::string SavesAlone() {
  for (const Case& c : kAlone) {
    const std::vector<SavePlan> plans = PlansOf(c);
    for (size_t rank = 0; rank < plans.size(); ++rank) {
      const Result<Metadata> theirs = MetadataOf(c, fmt::format("__{}.metadata", rank));
      CHECK_OK(theirs);
      const std::string problem = Compare(*theirs, {plans[rank]}, rank);
      if (!problem.empty()) return fmt::format("{}, rank {}: {}", c.checkpoint, rank, problem);
    }
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::SavesTogether>),
      cmocka_unit_test(dcp::Checked<dcp::SavesAlone>),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
