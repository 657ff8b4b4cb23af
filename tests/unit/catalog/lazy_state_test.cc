// What copies are made of: tensors that are read when they are written.
#include <malloc.h>

#include "catalog/checkpoint.h"
#include "catalog/lazy_state.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/sample_state.h"
#include "support/written_checkpoint.h"

namespace dcp {
namespace {

constexpr int kTensors = 24;
constexpr int64_t kRows = 1100;  // of 1 KiB: more than 1 MiB a tensor

Result<std::vector<FlatLeaf>> Leaves(const std::shared_ptr<Store>& store) {
  std::vector<std::pair<std::string, ValuePtr>> tensors;
  for (int i = 0; i < kTensors; ++i) {
    tensors.emplace_back(fmt::format("t{:02}", i),
                         Value::Of(PatternTensor(DType::kFloat32, {kRows, 256}, uint64_t(i))));
  }
  DCP_RETURN_IF_ERROR(WriteCheckpoint(*store, {DictOf(std::move(tensors))}));
  DCP_ASSIGN_OR_RETURN(auto checkpoint,
                       Checkpoint::Open(store, OpenOptions(), std::make_shared<Engine>()));
  return LazyLeaves(std::move(checkpoint));
}

std::string TensorsAreReadInAnyPieces() {
  auto leaves = Leaves(NewMemoryStore());
  CHECK_OK(leaves);
  CHECK_THAT(leaves->size() == kTensors);
  const Tensor& lazy = (*leaves)[3].value->tensor;
  CHECK_THAT(lazy.data == nullptr && lazy.source != nullptr);
  const Tensor whole = PatternTensor(DType::kFloat32, {kRows, 256}, 3);
  const size_t total = static_cast<size_t>(whole.num_bytes());
  for (size_t piece : {size_t{1000}, size_t{65536}, total}) {
    std::vector<std::byte> read(total);
    for (size_t at = 0; at < total; at += piece) {
      const size_t size = std::min(piece, total - at);
      CHECK_OK(lazy.source->Read(at, MutableBytes(read).subspan(at, size)));
    }
    CHECK_THAT(std::memcmp(read.data(), whole.data, total) == 0);
  }
  return {};
}

// However many tensors were read, memory is not kept for them.
std::string WhatWasReadIsLetGo() {
  auto leaves = Leaves(NewMemoryStore());
  CHECK_OK(leaves);
  const auto allocated = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  std::vector<std::byte> piece(64 << 10);
  std::vector<size_t> after;  // each tensor
  for (const FlatLeaf& leaf : *leaves) {
    const uint64_t total = static_cast<uint64_t>(leaf.value->tensor.num_bytes());
    for (uint64_t at = 0; at < total; at += piece.size()) {
      const size_t size = std::min<uint64_t>(piece.size(), total - at);
      CHECK_OK(leaf.value->tensor.source->Read(at, MutableBytes(piece).first(size)));
    }
    after.push_back(allocated());
  }
  if (after.back() == 0) {
    print_message("this allocator does not count: not checked\n");
    return {};
  }
  const size_t grown = after.back() > after.front() ? after.back() - after.front() : 0;
  if (grown > kRows * 1024) return fmt::format("{} bytes are kept", grown);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::TensorsAreReadInAnyPieces>),
      cmocka_unit_test(dcp::Checked<dcp::WhatWasReadIsLetGo>),
  };
  return cmocka_run_group_tests_name("catalog/lazy_state", tests, nullptr, nullptr);
}
