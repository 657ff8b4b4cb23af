#include <fmt/format.h>

#include "base/checksum.h"
#include "support/cmocka.h"
#include "tensorio/records.h"
#include "tensorio/tensor_item.h"
#include "tensorio/tensor_pickle.h"

namespace dcp {
namespace {

std::string_view TableOf(const std::vector<uint32_t>& crcs) {
  return AsText(std::as_bytes(std::span(crcs)));
}

// The suffix record by record, for this payload alone. An empty `table` is none.
std::string FreshSuffix(DType dtype, const Shape& shape, uint64_t payload_size,
                        uint32_t payload_crc, std::string_view table) {
  std::string pickle;
  AppendTensorPickle(dtype, shape, ContiguousStrides(shape), *NumElements(shape), &pickle);
  const uint32_t pickle_crc = Crc32(0, AsBytes(pickle));
  zip::LayoutWriter writer(records::kPrefix);
  writer.BeginRecord(records::kPickle, pickle.size(), nullptr);
  writer.EndRecord(pickle_crc, nullptr);
  records::AppendHead(&writer, nullptr);
  std::string out;
  writer.BeginRecord("data/0", payload_size, nullptr);
  writer.EndRecord(payload_crc, &out);
  uint64_t names = records::Hash(records::kHashStart, "data.pkl data/0");
  uint64_t crcs = records::Hash(records::Hash(records::kHashStart, pickle_crc), payload_crc);
  if (!table.empty()) {
    names = records::Hash(names, records::kBlockTable);
    crcs = records::Hash(crcs, Crc32(0, AsBytes(table)));
    records::Append(records::kBlockTable, table, &writer, &out);
  }
  records::Append("version", "3\n", &writer, &out);
  records::Append(".data/serialization_id", fmt::format("{:020}{:020}", names, crcs), &writer,
                  &out);
  writer.Finish(&out);
  return out;
}

// One layout serves payloads of many checksums. Counts the suffixes that differ from fresh ones.
int WrongOnes(DType dtype, const Shape& shape, bool block_checksums) {
  Result<TensorItemLayout> layout =
      TensorItemLayout::Create(dtype, shape, ContiguousStrides(shape), block_checksums);
  if (!layout.ok()) return 1;
  const uint64_t size = layout->payload_size();
  const bool table = block_checksums && size > kChecksumBlock;
  std::vector<uint32_t> blocks((size + kChecksumBlock - 1) / kChecksumBlock);
  int wrong = table == layout->block_checksums() ? 0 : 1;
  for (uint32_t crc : {0u, 1u, 0x80000000u, 0xcbf43926u, 0xffffffffu}) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      blocks[i] = crc * 2654435761u + static_cast<uint32_t>(i);
    }
    std::string suffix = "kept";
    layout->AppendSuffix(crc, blocks, &suffix);
    const std::string fresh =
        FreshSuffix(dtype, shape, size, crc, table ? TableOf(blocks) : std::string_view());
    if (suffix != "kept" + fresh || fresh.size() != layout->suffix_size()) ++wrong;
  }
  return wrong;
}

void SuffixesAreThoseMadeAfresh(void**) {
  const Shape shapes[] = {{},      {0},     {1},        {3, 0, 5},   {16, 64},     {4096},
                          {16384}, {16385}, {128, 256}, {7, 11, 13}, {3, 1, 40000}};
  int wrong = 0;
  for (const Shape& shape : shapes) {
    for (DType dtype : {DType::kUInt8, DType::kBool, DType::kFloat32, DType::kBFloat16,
                        DType::kComplex128, DType::kFloat8E4M3FN}) {
      for (bool block_checksums : {false, true}) wrong += WrongOnes(dtype, shape, block_checksums);
    }
  }
  assert_int_equal(wrong, 0);
}

// Where records get ZIP64 fields and longer descriptors.
void SuffixesOfLargePayloadsAreThoseMadeAfresh(void**) {
  int wrong = 0;
  for (int64_t size : {4294966000, 4294966700, 4294967294, 4294967295, 5000000000}) {
    for (bool block_checksums : {false, true}) {
      wrong += WrongOnes(DType::kUInt8, {size}, block_checksums);
    }
  }
  assert_int_equal(wrong, 0);
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::SuffixesAreThoseMadeAfresh),
      cmocka_unit_test(dcp::SuffixesOfLargePayloadsAreThoseMadeAfresh),
  };
  return cmocka_run_group_tests_name("tensorio/item_suffix", tests, nullptr, nullptr);
}
