#include <map>

#include "planner/load_planner.h"
#include "support/cmocka.h"
#include "unit/planner/layouts.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

LoadTarget Whole(std::string_view name, Shape size, DType dtype = DType::kFloat32) {
  LoadTarget target;
  target.name = name;
  target.kind = EntryKind::kTensor;
  target.dtype = dtype;
  target.global_size = size;
  target.offsets = Shape(size.size(), 0);
  target.sizes = std::move(size);
  return target;
}

LoadTarget Part(std::string_view name, Shape size, const OwnedBox& box) {
  LoadTarget target = Whole(name, std::move(size));
  target.offsets = box.offsets;
  target.sizes = box.sizes;
  return target;
}

LoadTarget Object(std::string_view name) {
  LoadTarget target;
  target.name = name;
  return target;
}

Metadata Of(std::vector<Entry> entries) {
  Metadata metadata;
  metadata.files = {"f"};
  metadata.entries = std::move(entries);
  metadata.BuildIndex();
  return metadata;
}

Entry ObjectEntry(std::string name) {
  Entry entry;
  entry.name = std::move(name);
  entry.locations = {{0, 0, 0, 1}};
  return entry;
}

// Plays the plan element by element: each target element is filled at most once, from the element
// of the same global index, and exactly when some saved chunk has it.
std::string Play(const Metadata& metadata, const std::vector<LoadTarget>& targets,
                 const std::vector<OwnedBox>& saved, const PlannedLoad& planned) {
  std::vector<std::map<Shape, int>> filled(targets.size());
  for (const ReadItem& item : planned.plan.items) {
    Box chunk = metadata.entries[item.entry].chunk(item.chunk);
    const LoadTarget& target = targets[item.target];
    Dims lengths = planned.plan.lengths(item);
    for (const Shape& at : AllIndices(Shape(lengths.begin(), lengths.end()))) {
      Shape from, to;
      for (size_t d = 0; d < at.size(); ++d) {
        int64_t stored = planned.plan.storage_offsets(item)[d] + at[d];
        int64_t wanted = planned.plan.dest_offsets(item)[d] + at[d];
        CHECK_THAT(stored >= 0 && stored < chunk.sizes[d]);
        CHECK_THAT(wanted >= 0 && wanted < target.sizes[d]);
        from.push_back(chunk.offsets[d] + stored);
        to.push_back(target.offsets[d] + wanted);
      }
      CHECK_THAT(from == to);
      CHECK_THAT(++filled[item.target][to] == 1);
    }
  }
  int64_t missing = 0, total = 0;
  for (size_t t = 0; t < targets.size(); ++t) {
    OwnedBox box{targets[t].offsets, targets[t].sizes};
    for (const Shape& at : AllIndices(targets[t].global_size)) {
      if (!Contains(box, at)) continue;
      bool held = std::any_of(saved.begin(), saved.end(),
                              [&](const OwnedBox& chunk) { return Contains(chunk, at); });
      CHECK_THAT(filled[t].count(at) == held);
      missing += !held;
      ++total;
    }
  }
  std::vector<std::string> expected;
  if (missing > 0) expected.push_back(fmt::format("t: {} of {} elements", missing, total));
  CHECK_THAT(planned.report.uncovered == expected);
  return {};
}

std::string AgreesWithBruteForce() {
  uint64_t seed = std::random_device()();
  print_message("seed %lu\n", static_cast<unsigned long>(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    Shape size;
    size_t ndim = random() % 4;
    for (size_t d = 0; d < ndim; ++d) size.push_back(random() % (ndim == 1 ? 60 : 9));
    std::vector<OwnedBox> saved = RandomCuts(size, random() % 40, random);
    if (random() % 3 == 0) saved.pop_back();
    for (size_t n = random() % 3; n > 0; --n) saved.push_back(RandomBox(size, random, true));
    if (!saved.empty() && random() % 3 == 0) saved.push_back(saved[0]);
    std::vector<LoadTarget> targets;
    if (random() % 2) {
      for (const OwnedBox& box : RandomCuts(size, random() % 12, random)) {
        targets.push_back(Part("t", size, box));
      }
    } else {
      for (size_t n = 1 + random() % 3; n > 0; --n) {
        targets.push_back(Part("t", size, RandomBox(size, random, true)));
      }
    }
    Metadata metadata = Of({TensorEntry("t", size, saved)});
    Result<PlannedLoad> planned = CreateLoadPlan(metadata, targets, LoadPlanOptions());
    CHECK_OK(planned);
    std::string problem = Play(metadata, targets, saved, *planned);
    if (!problem.empty()) return fmt::format("round {}: {}", round, problem);
    CHECK_THAT(planned->report.loaded == std::vector<std::string>{"t"});
  }
  return {};
}

std::string UpstreamsTexts() {
  Metadata metadata = Of({TensorEntry("t", {4}, {{{0}, {4}}}), ObjectEntry("o")});
  auto plan = [&](LoadTarget target, bool cast = true) {
    LoadPlanOptions options;
    options.allow_cast = cast;
    return CreateLoadPlan(metadata, {std::move(target)}, options).status();
  };
  CHECK_CODE(plan(Object("none")), Code::kNotFound);
  CHECK_THAT(plan(Object("none")).message() == "Missing key in checkpoint state_dict: none.");
  CHECK_CODE(plan(Whole("t", {5})), Code::kMismatch);
  CHECK_THAT(plan(Whole("t", {5})).message() ==
             "Size mismatch between saved torch.Size([4]) and current: torch.Size([5]) for t");
  CHECK_CODE(plan(Whole("t", {4, 1})), Code::kMismatch);
  CHECK_CODE(plan(Object("t")), Code::kMismatch);
  CHECK_THAT(plan(Object("t"))
                 .message()
                 .starts_with(
                     "Invalid checkpoint metadata for t, expected BytesStorageMetadata but found"));
  CHECK_CODE(plan(Whole("o", {4})), Code::kMismatch);
  CHECK_CODE(plan(Whole("t", {4}, DType::kBFloat16), false), Code::kMismatch);
  CHECK_CODE(plan(Part("t", {4}, {{3}, {2}})), Code::kInvalidArgument);
  CHECK_CODE(plan(Part("t", {4}, {{-1}, {2}})), Code::kInvalidArgument);
  CHECK_CODE(plan(Part("t", {4}, {{0, 0}, {1, 1}})), Code::kInvalidArgument);
  CHECK_CODE(plan(Part("t", {4}, {{INT64_MAX}, {INT64_MAX}})), Code::kInvalidArgument);
  metadata.entries[0].unknown_dtype = "float9";
  CHECK_CODE(plan(Whole("t", {4})), Code::kUnsupported);
  return {};
}

std::string Reports() {
  Metadata metadata = Of({TensorEntry("a", {4}, {{{0}, {4}}}), ObjectEntry("b"),
                          TensorEntry("c", {2}, {{{0}, {2}}}), ObjectEntry("d")});
  LoadPlanOptions options;
  options.allow_partial = true;
  std::vector<LoadTarget> targets = {Object("x"),
                                     Whole("c", {2}, DType::kFloat16),
                                     Object("b"),
                                     Part("a", {4}, {{0}, {2}}),
                                     Part("a", {4}, {{2}, {2}}),
                                     Object("x")};
  Result<PlannedLoad> planned = CreateLoadPlan(metadata, targets, options);
  CHECK_OK(planned);
  const LoadReport& report = planned->report;
  CHECK_THAT(report.loaded == (std::vector<std::string>{"c", "b", "a"}));
  CHECK_THAT(report.missing == std::vector<std::string>{"x"});
  CHECK_THAT(report.unexpected == std::vector<std::string>{"d"});
  CHECK_THAT(report.cast == std::vector<std::string>{"c: float32 -> float16"});
  CHECK_THAT(report.uncovered.empty());
  // One item a target, in the order of the targets.
  CHECK_THAT(planned->plan.items.size() == 4);
  for (uint32_t i = 0; i < 4; ++i) CHECK_THAT(planned->plan.items[i].target == i + 1);
  CHECK_THAT(planned->plan.items[1].kind == EntryKind::kBytes);
  return {};
}

std::string ChunksWithoutAFile() {
  Metadata metadata = Of({TensorEntry("t", {4}, {{{0}, {2}}, {{2}, {2}}}), ObjectEntry("o")});
  metadata.entries[0].locations[1] = Location();
  metadata.entries[1].locations[0] = Location();
  Status status = CreateLoadPlan(metadata, {Whole("t", {4})}, LoadPlanOptions()).status();
  CHECK_CODE(status, Code::kCorrupt);
  CHECK_THAT(status.message().find("chunk of t at offsets [2]") != std::string::npos);
  CHECK_OK(CreateLoadPlan(metadata, {Part("t", {4}, {{0}, {2}})}, LoadPlanOptions()));
  CHECK_CODE(CreateLoadPlan(metadata, {Object("o")}, LoadPlanOptions()), Code::kCorrupt);
  // Listed once without and once with a file: the file serves.
  Metadata twice = Of({TensorEntry("t", {4}, {{{0}, {4}}, {{0}, {4}}})});
  twice.entries[0].locations[0] = Location();
  Result<PlannedLoad> planned = CreateLoadPlan(twice, {Whole("t", {4})}, LoadPlanOptions());
  CHECK_OK(planned);
  CHECK_THAT(planned->plan.items.size() == 1 && planned->plan.items[0].chunk == 1);
  return {};
}

std::string ScalarsAndEmptyTensors() {
  Metadata metadata =
      Of({TensorEntry("s", {}, {{{}, {}}}), TensorEntry("e", {0, 3}, {{{0, 0}, {0, 3}}}),
          TensorEntry("z", {3}, {{{0}, {3}}, {{3}, {0}}}), TensorEntry("n", {}, {})});
  Result<PlannedLoad> planned = CreateLoadPlan(
      metadata, {Whole("s", {}), Whole("e", {0, 3}), Part("z", {3}, {{3}, {0}}), Whole("n", {})},
      LoadPlanOptions());
  CHECK_OK(planned);
  CHECK_THAT(planned->plan.items.size() == 1 && planned->plan.items[0].ndim == 0);
  CHECK_THAT(planned->plan.items[0].kind == EntryKind::kTensor);
  CHECK_THAT(planned->report.uncovered == std::vector<std::string>{"n: 1 of 1 elements"});
  return {};
}

// A reshard at a size where comparing all pairs would take minutes.
std::string LargeReshard() {
  Shape size = {40000, 40000};
  Metadata metadata = Of({TensorEntry("t", size, Grid(size, {40000, 1}))});
  std::vector<LoadTarget> targets;
  for (const OwnedBox& box : Grid(size, {20000, 1})) targets.push_back(Part("t", size, box));
  Result<PlannedLoad> planned = CreateLoadPlan(metadata, targets, LoadPlanOptions());
  CHECK_OK(planned);
  CHECK_THAT(planned->plan.items.size() == 40000 && planned->report.uncovered.empty());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(AgreesWithBruteForce),
      DCP_CHECKED(UpstreamsTexts),
      DCP_CHECKED(Reports),
      DCP_CHECKED(ChunksWithoutAFile),
      DCP_CHECKED(ScalarsAndEmptyTensors),
      DCP_CHECKED(LargeReshard),
  };
  return cmocka_run_group_tests_name("planner/load_plan", tests, nullptr, nullptr);
}
