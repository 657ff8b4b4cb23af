#include "base/stream_copy.h"

#include <algorithm>
#include <vector>

#include "support/cmocka.h"

namespace dcp {
namespace {

// Copies whose target differs from memcpy's, or that write beyond it.
int CountWrongCopies() {
  constexpr size_t kMost = 5000;
  constexpr size_t kRoom = 200;
  std::vector<std::byte> from(kMost + kRoom);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 37 + i / 251);
  int wrong = 0;
  for (const size_t size : {0, 1, 63, 64, 255, 256, 257, 319, 320, 1024, 4099, 5000}) {
    for (size_t to_skip = 0; to_skip < 66; ++to_skip) {
      for (const size_t from_skip : {size_t{0}, size_t{1}, to_skip}) {
        std::vector<std::byte> to(kMost + kRoom, std::byte{0xEE});
        std::vector<std::byte> expected = to;
        std::copy_n(from.begin() + static_cast<int64_t>(from_skip), size,
                    expected.begin() + static_cast<int64_t>(to_skip));
        StreamCopy(to.data() + to_skip, from.data() + from_skip, size);
        StreamFence();
        if (to != expected) ++wrong;
      }
    }
  }
  return wrong;
}

void CopiesAsMemcpy(void**) { assert_int_equal(CountWrongCopies(), 0); }

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::CopiesAsMemcpy),
  };
  return cmocka_run_group_tests_name("base/stream_copy", tests, nullptr, nullptr);
}
