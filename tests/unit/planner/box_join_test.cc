#include "planner/box_join.h"

#include <set>

#include "support/cmocka.h"
#include "unit/planner/layouts.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

using Pairs = std::set<std::pair<uint32_t, uint32_t>>;

BoxList ListOf(size_t ndim, const std::vector<OwnedBox>& boxes) {
  BoxList list(ndim);
  for (const OwnedBox& box : boxes) list.Add(box.view());
  return list;
}

// Empty when the join reports each pair once and the right ones.
std::string Compare(size_t ndim, const std::vector<OwnedBox>& left,
                    const std::vector<OwnedBox>& right) {
  Pairs expected, found;
  for (uint32_t i = 0; i < left.size(); ++i) {
    for (uint32_t j = 0; j < right.size(); ++j) {
      if (Overlap(left[i], right[j])) expected.emplace(i, j);
    }
  }
  size_t calls = 0;
  JoinBoxes(ListOf(ndim, left), ListOf(ndim, right), [&](uint32_t i, uint32_t j) {
    found.emplace(i, j);
    ++calls;
    return true;
  });
  CHECK_THAT(found == expected);
  CHECK_THAT(calls == found.size());

  Pairs expected_self, found_self;
  for (const auto& boxes : {left, right}) {
    expected_self.clear();
    found_self.clear();
    for (uint32_t i = 0; i < boxes.size(); ++i) {
      for (uint32_t j = i + 1; j < boxes.size(); ++j) {
        if (Overlap(boxes[i], boxes[j])) expected_self.emplace(i, j);
      }
    }
    calls = 0;
    JoinSelf(ListOf(ndim, boxes), [&](uint32_t i, uint32_t j) {
      found_self.emplace(std::min(i, j), std::max(i, j));
      ++calls;
      return true;
    });
    CHECK_THAT(found_self == expected_self);
    CHECK_THAT(calls == found_self.size());
  }
  return {};
}

std::string AgreesWithBruteForce() {
  uint64_t seed = std::random_device()();
  print_message("seed %lu\n", static_cast<unsigned long>(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    Shape size;
    for (size_t d = random() % 5; d > 0; --d) size.push_back(1 + random() % 40);
    auto some = [&](size_t most) {
      std::vector<OwnedBox> boxes;
      if (random() % 2) return RandomCuts(size, random() % most, random);
      for (size_t n = random() % most; n > 0; --n) boxes.push_back(RandomBox(size, random, false));
      return boxes;
    };
    std::string problem = Compare(size.size(), some(300), some(200));
    if (!problem.empty()) return fmt::format("round {}: {}", round, problem);
  }
  return {};
}

std::string StopsWhenTold() {
  std::vector<OwnedBox> boxes(1000, OwnedBox{{0, 0}, {5, 5}});
  size_t calls = 0;
  JoinSelf(ListOf(2, boxes), [&](uint32_t, uint32_t) { return ++calls < 3; });
  CHECK_THAT(calls == 3);
  return {};
}

// Sizes at which comparing all pairs would take minutes.
std::string LargeLayouts() {
  std::mt19937_64 random(7);
  std::vector<std::pair<size_t, std::vector<OwnedBox>>> layouts = {
      {1, Grid({1 << 30}, {60000})},
      {2, Grid({1 << 20, 1 << 20}, {250, 250})},
      {3, Grid({4096, 4096, 4096}, {40, 40, 40})},
      {2, RandomCuts({1 << 20, 1 << 20}, 60000, random)},
      {3, RandomCuts({1 << 20, 1 << 20, 1 << 10}, 60000, random)},
  };
  for (auto& [ndim, boxes] : layouts) {
    std::shuffle(boxes.begin(), boxes.end(), random);
    size_t overlaps = 0;
    JoinSelf(ListOf(ndim, boxes), [&](uint32_t, uint32_t) {
      ++overlaps;
      return true;
    });
    CHECK_THAT(overlaps == 0);
    boxes.push_back(boxes[boxes.size() / 2]);
    JoinSelf(ListOf(ndim, boxes), [&](uint32_t, uint32_t) {
      ++overlaps;
      return true;
    });
    CHECK_THAT(overlaps == 1);
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(AgreesWithBruteForce),
      DCP_CHECKED(StopsWhenTold),
      DCP_CHECKED(LargeLayouts),
  };
  return cmocka_run_group_tests_name("planner/box_join", tests, nullptr, nullptr);
}
