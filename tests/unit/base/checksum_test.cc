#include "base/checksum.h"

#include <vector>

#include "support/cmocka.h"

namespace dcp {
namespace {

void KnownValue(void**) { assert_int_equal(Crc32(0, AsBytes("123456789")), 0xcbf43926); }

void CombiningEqualsOnePass(void**) {
  std::vector<std::byte> data(50000);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 + i / 7);
  uint32_t whole = Crc32(0, data);
  Crc32Appender appender(16384);
  uint32_t crc = 0;
  for (size_t at = 0; at < 49152; at += 16384) {
    crc = appender.Append(crc, Crc32(0, Bytes(data).subspan(at, 16384)));
  }
  crc = Crc32Combine(crc, Crc32(0, Bytes(data).subspan(49152)), data.size() - 49152);
  std::vector<std::byte> copy(data.size());
  uint32_t copied = Crc32Copy(0, copy.data(), data);
  bool same = copy == data;
  std::vector<std::byte>().swap(copy);
  std::vector<std::byte>().swap(data);
  assert_int_equal(crc, whole);
  assert_int_equal(copied, whole);
  assert_true(same);
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::KnownValue),
      cmocka_unit_test(dcp::CombiningEqualsOnePass),
  };
  return cmocka_run_group_tests_name("base/checksum", tests, nullptr, nullptr);
}
