#include "planner/set_order.h"

#include <algorithm>
#include <numeric>

#include "support/cmocka.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

using Numbers = std::vector<uint32_t>;

Numbers Walk(const Numbers& members) {
  SetOrder order;
  const auto walked = order.Of(members);
  return {walked.begin(), walked.end()};
}

// What CPython 3.11 gives for list(set()) after adding them one by one.
std::string WalksAsPythonDoes() {
  CHECK_THAT(Walk({}).empty());
  CHECK_THAT(Walk({5}) == Numbers({5}));
  CHECK_THAT(Walk({1, 8}) == Numbers({8, 1}));
  CHECK_THAT(Walk({3, 11}) == Numbers({11, 3}));
  CHECK_THAT(Walk({0, 8, 16, 24}) == Numbers({0, 8, 16, 24}));
  CHECK_THAT(Walk({7, 15, 23, 31, 39}) == Numbers({39, 7, 15, 23, 31}));
  CHECK_THAT(Walk({100, 612, 1124, 1636, 2148, 2660}) ==
             Numbers({612, 2148, 1124, 1636, 100, 2660}));
  Numbers all(9000);
  std::iota(all.begin(), all.end(), 0);
  CHECK_THAT(Walk(all) == all);
  return {};
}

// Members keep their number however tables grow.
std::string KeepsEveryMember() {
  for (uint32_t step : {2u, 7u, 8u, 64u, 1000u}) {
    for (size_t count : {6u, 20u, 77u, 78u, 1000u}) {
      Numbers members;
      for (uint32_t i = 0; i < count; ++i) members.push_back(3 + i * step);
      Numbers walked = Walk(members);
      std::sort(walked.begin(), walked.end());
      CHECK_THAT(walked == members);
    }
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::WalksAsPythonDoes>),
      cmocka_unit_test(dcp::Checked<dcp::KeepsEveryMember>),
  };
  return cmocka_run_group_tests_name("planner/set_order", tests, nullptr, nullptr);
}
