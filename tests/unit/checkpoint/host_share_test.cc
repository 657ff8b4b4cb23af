#include "checkpoint/host_share.h"

#include <cstring>

#include "checkpoint/load.h"
#include "checkpoint/save.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/sample_state.h"
#include "support/temp_folder.h"
#include "support/thread_group.h"

namespace dcp {
namespace {

constexpr int32_t kRanks = 4;

std::string RanksOfOneHostMeet() {
  HostShare one;
  HostShare two;
  HostShare none;
  const std::vector<std::string> offers = {one.Offer(), "", two.Offer()};
  CHECK_THAT(!offers[0].empty() && !offers[2].empty());
  const std::string chosen = HostShare::Choose(offers);
  CHECK_THAT(!chosen.empty());
  const std::unique_ptr<SharedPieces> first = one.Join(chosen);
  const std::unique_ptr<SharedPieces> second = two.Join(chosen);
  CHECK_THAT(first != nullptr && second != nullptr);
  CHECK_THAT(none.Join(chosen) == nullptr);
  SharedPieceKey key;
  key.size = 1;
  const SharedPieces::Taken taken = first->Take(key, false);
  CHECK_THAT(taken.state == SharedPieces::State::kMine);
  first->bytes(taken.slot)[0] = std::byte{9};
  first->Publish(taken.slot);
  const SharedPieces::Taken found = second->Take(key, false);
  CHECK_THAT(found.state == SharedPieces::State::kReady);
  CHECK_THAT(second->bytes(found.slot)[0] == std::byte{9});
  second->Release(found.slot);
  return {};
}

std::string OneAloneHasNobody() {
  HostShare one;
  CHECK_THAT(HostShare::Choose({one.Offer(), ""}).empty());
  CHECK_THAT(one.Join("") == nullptr);
  return {};
}

// What other ranks send may be anything.
std::string WhatCannotBeReadIsNoOffer() {
  HostShare one;
  HostShare two;
  const std::string offer = one.Offer();
  const std::string chosen = HostShare::Choose({offer, two.Offer()});
  for (size_t size = 0; size < offer.size(); ++size) {
    CHECK_THAT(HostShare::Choose({offer.substr(0, size), offer}).empty());
  }
  for (size_t size = 0; size < chosen.size(); ++size) {
    CHECK_THAT(two.Join(chosen.substr(0, size)) == nullptr);
  }
  for (size_t at = 0; at < chosen.size(); ++at) {
    std::string changed = chosen;
    changed[at] = static_cast<char>(changed[at] ^ 0x55);
    // It may lead nowhere, or say another number of ranks, and nothing else.
    static_cast<void>(two.Join(changed));
  }
  CHECK_THAT(two.Join(chosen) != nullptr);
  return {};
}

ValuePtr Cut(const Tensor& whole, Tensor part, const Shape& offsets) {
  ShardedTensor sharded;
  sharded.dtype = whole.dtype;
  sharded.global_shape = whole.shape;
  sharded.shards.push_back({offsets, std::move(part)});
  return DictOf({{"x", Value::Of(sharded)}});
}

// Saved along dim 0 and loaded along dim 1, by ranks that share and that do not.
std::string LoadsAlongTheOtherDimension() {
  const TempFolder folder;
  std::shared_ptr<Store> store = *OpenStore(folder.path(), {});
  const Tensor whole = PatternTensor(DType::kFloat32, {4000, 1000}, 3);
  std::vector<Status> statuses(kRanks);
  ThreadGroup(kRanks).Run([&](Communicator& comm) {
    const Shape at = {comm.rank() * 1000, 0};
    statuses[static_cast<size_t>(comm.rank())] =
        Save(*store, comm, *Cut(whole, whole.Slice(at, Shape{1000, 1000}), at), {}, Engine())
            .status();
  });
  for (const Status& status : statuses) CHECK_OK(status);
  std::vector<char> right(kRanks, 0);  // a byte each: ranks write side by side
  std::vector<uint64_t> read(kRanks, 0);
  ThreadGroup(kRanks).Run([&](Communicator& comm) {
    const auto rank = static_cast<size_t>(comm.rank());
    const Shape at = {0, comm.rank() * 250};
    const Tensor part = *Tensor::Allocate(DType::kFloat32, Shape{4000, 250});
    auto loaded = Load(*store, comm, *Cut(whole, part, at), {}, Engine());
    statuses[rank] = loaded.status();
    if (!loaded.ok()) return;
    right[rank] = EqualElements(part, whole.Slice(at, part.shape)) ? 1 : 0;
    read[rank] = loaded->bytes_read;
  });
  uint64_t all = 0;
  for (size_t rank = 0; rank < kRanks; ++rank) {
    CHECK_OK(statuses[rank]);
    CHECK_THAT(right[rank] == 1);
    all += read[rank];
  }
  // At most each reads all for itself; how much they share depends on how they run.
  CHECK_THAT(all >= 16'000'000 && all < 70'000'000);
  return {};
}

std::string NarrowColumnsAreForOthers() {
  Metadata metadata;
  Entry entry;
  entry.name = "x";
  entry.kind = EntryKind::kTensor;
  entry.properties.dtype = DType::kFloat32;
  entry.size = {4096, 1024};
  entry.boxes = {0, 0, 4096, 1024};
  metadata.entries.push_back(entry);
  const auto reads = [&](const Shape& offsets, const Shape& lengths) {
    LoadPlan plan;
    ReadItem item;
    item.kind = EntryKind::kTensor;
    item.ndim = 2;
    plan.items.push_back(item);
    for (const Shape* dims : {&offsets, &offsets, &lengths}) {
      plan.dims.insert(plan.dims.end(), dims->begin(), dims->end());
    }
    return ReadsMuchForOthers(plan, metadata);
  };
  CHECK_THAT(reads({0, 256}, {4096, 256}));
  CHECK_THAT(!reads({0, 0}, {4096, 1024}));
  CHECK_THAT(!reads({0, 0}, {1024, 1024}));  // rows
  CHECK_THAT(!reads({0, 256}, {4096, 512}));
  CHECK_THAT(!reads({0, 256}, {100, 256}));  // little
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {DCP_CHECKED(RanksOfOneHostMeet), DCP_CHECKED(OneAloneHasNobody),
                              DCP_CHECKED(WhatCannotBeReadIsNoOffer),
                              DCP_CHECKED(LoadsAlongTheOtherDimension),
                              DCP_CHECKED(NarrowColumnsAreForOthers)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
