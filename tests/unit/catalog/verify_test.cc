// What verify finds, and that it goes on after it.
#include <algorithm>
#include <random>
#include <set>

#include "catalog/checkpoint.h"
#include "storage/open.h"
#include "support/checks.h"
#include "support/fault_store.h"
#include "support/sample_state.h"
#include "support/shuffled_store.h"
#include "support/written_checkpoint.h"

namespace dcp {
namespace {

Result<VerifySummary> VerifyIn(const std::shared_ptr<Store>& store,
                               const std::shared_ptr<Engine>& engine = std::make_shared<Engine>(),
                               CancelToken cancel = {},
                               const std::function<void(const Damage&)>& on_damage = {}) {
  DCP_ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::Open(store, OpenOptions(), engine));
  return checkpoint->Verify(on_damage, cancel);
}

std::shared_ptr<Store> Written(const WrittenOptions& options = {}) {
  std::shared_ptr<Store> store = NewMemoryStore();
  Status written = WriteCheckpoint(*store, {SampleState(1)}, options);
  if (!written.ok()) print_error("%s\n", written.ToString().c_str());
  return store;
}

Status FlipByte(Store& store, std::string_view name, size_t at) {
  DCP_ASSIGN_OR_RETURN(std::string bytes, ReadWholeFile(store, name, 1 << 24));
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  return WriteWholeFile(store, name, AsBytes(bytes), false);
}

std::string AWholeCheckpoint() {
  std::shared_ptr<Store> store = Written();
  auto engine = std::make_shared<Engine>();
  struct Last final : ProgressSink {
    Status Update(const ProgressEvent& next) override {
      event = next;
      return Status::Ok();
    }
    ProgressEvent event{};
  };
  auto sink = std::make_shared<Last>();
  engine->progress = sink;
  auto verified = VerifyIn(store, engine);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty() && verified->notes.empty());
  CHECK_THAT(verified->items_checked == 7);
  CHECK_THAT(verified->items_without_checksum == 0);
  CHECK_THAT(verified->bytes_checked > 40 * 1024);
  CHECK_THAT(sink->event.phase == ProgressPhase::kVerify);
  CHECK_THAT(sink->event.bytes_done == sink->event.bytes_total);
  CHECK_THAT(sink->event.items_done == 7);
  return {};
}

// A changed byte in each item in turn, then in all: each is named, the rest is still checked.
std::string EveryDamagedItemIsNamed() {
  std::shared_ptr<Store> store = Written();
  auto opened = Checkpoint::Open(store, OpenOptions(), std::make_shared<Engine>());
  CHECK_OK(opened);
  const Metadata metadata = (*opened)->metadata();
  for (const Entry& entry : metadata.entries) {
    std::shared_ptr<Store> damaged = Written();
    const Location& location = entry.locations[0];
    CHECK_OK(FlipByte(*damaged, "__0_0.distcp", location.offset + location.length / 2));
    int told = 0;
    auto verified =
        VerifyIn(damaged, std::make_shared<Engine>(), {}, [&](const Damage&) { ++told; });
    CHECK_OK(verified);
    CHECK_THAT(verified->damage.size() == 1 && told == 1);
    const Damage& damage = verified->damage[0];
    if (damage.name != entry.name) return entry.name + " is not named";
    CHECK_THAT(damage.file == "__0_0.distcp");
    CHECK_THAT(damage.offset == location.offset);
    CHECK_CODE(damage.status, Code::kCorrupt);
    CHECK_THAT(verified->items_checked == 7);
    CHECK_OK(FlipByte(*store, "__0_0.distcp", location.offset + location.length / 2));
  }
  auto verified = VerifyIn(store);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.size() == 7);
  CHECK_THAT(std::is_sorted(verified->damage.begin(), verified->damage.end(),
                            [](const Damage& a, const Damage& b) { return a.offset < b.offset; }));
  return {};
}

// Small items come by in pieces that hold many, and end in the middle of some.
std::string ManySmallItems() {
  constexpr size_t kItems = 450;
  std::vector<std::pair<std::string, ValuePtr>> tensors;
  for (size_t i = 0; i < kItems; ++i) {
    tensors.emplace_back(fmt::format("t{}", i),
                         Value::Of(PatternTensor(DType::kFloat32, {5000}, i)));
  }
  std::shared_ptr<Store> store = NewMemoryStore();
  CHECK_OK(WriteCheckpoint(*store, {DictOf(tensors)}));
  auto verified = VerifyIn(store);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty() && verified->items_checked == kItems);
  CHECK_THAT(verified->items_without_checksum == 0);

  // A piece that cannot be read: its items are read one by one.
  for (const char* call : {"read __0_0.distcp 0+", "fetch __0_0.distcp 0+"}) {
    auto faulty = std::make_shared<FaultStore>(store);
    faulty->FailLine(call, Status(Code::kIo, "the disk is on fire"));
    verified = VerifyIn(faulty);
    CHECK_OK(verified);
    CHECK_THAT(verified->damage.empty() && verified->items_checked == kItems);
  }

  auto opened = Checkpoint::Open(store, OpenOptions(), std::make_shared<Engine>());
  CHECK_OK(opened);
  const Metadata metadata = (*opened)->metadata();
  std::set<std::string> damaged;
  for (size_t i = 3; i < kItems; i += 11) {
    const Location& location = metadata.entries[i].locations[0];
    CHECK_OK(FlipByte(*store, "__0_0.distcp", location.offset + location.length / 2));
    damaged.insert(metadata.entries[i].name);
  }
  verified = VerifyIn(store);
  CHECK_OK(verified);
  std::set<std::string> named;
  for (const Damage& damage : verified->damage) named.insert(damage.name);
  CHECK_THAT(named == damaged && verified->damage.size() == damaged.size());
  CHECK_THAT(verified->items_checked == kItems);
  return {};
}

std::string MissingAndShortFiles() {
  std::shared_ptr<Store> store = Written();
  auto bytes = ReadWholeFile(*store, "__0_0.distcp", 1 << 24);
  CHECK_OK(bytes);
  CHECK_OK(store->Remove("__0_0.distcp"));
  auto verified = VerifyIn(store);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.size() == 8);  // the file, and each of its items
  std::set<std::string> names;
  for (const Damage& damage : verified->damage) {
    names.insert(damage.name);
    CHECK_THAT(damage.file == "__0_0.distcp");
    CHECK_CODE(damage.status, Code::kCorrupt);
    CHECK_THAT(damage.status.message().find("__0_0.distcp") != std::string::npos);
  }
  CHECK_THAT(names.size() == 8 && names.contains(""));
  CHECK_OK(WriteWholeFile(*store, "__0_0.distcp",
                          AsBytes(std::string_view(*bytes).substr(0, bytes->size() - 1)), false));
  verified = VerifyIn(store);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.size() == 1);
  CHECK_THAT(verified->damage[0].status.message().find("which has") != std::string::npos);
  return {};
}

std::string LiesInTheMetadata() {
  {
    WrittenOptions options;
    options.change = [](Metadata& metadata) {
      metadata.entries[1].locations[0] = metadata.entries[0].locations[0];
    };
    auto verified = VerifyIn(Written(options));
    CHECK_OK(verified);
    bool overlap = false;
    for (const Damage& damage : verified->damage) {
      overlap = overlap || damage.status.message().find("overlap") != std::string::npos;
    }
    CHECK_THAT(overlap);
  }
  {
    WrittenOptions options;
    options.change = [](Metadata& metadata) {
      for (Entry& entry : metadata.entries) {
        if (entry.name == "model.weight") entry.size = {41, 256};
      }
    };
    auto verified = VerifyIn(Written(options));
    CHECK_OK(verified);
    CHECK_THAT(verified->damage.size() == 1);
    CHECK_THAT(verified->damage[0].name == "model.weight");
    CHECK_THAT(verified->damage[0].status.message().find("tensor-volume") != std::string::npos);
  }
  WrittenOptions options;
  options.change = [](Metadata& metadata) {
    metadata.entries[2].locations[0].offset = int64_t{1} << 62;
  };
  auto verified = VerifyIn(Written(options));
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.size() == 1);
  CHECK_THAT(verified->items_checked == 6);
  return {};
}

// Padding lies in no item, so in no checksum: that it is zeros is all there is to check.
std::string PaddingIsChecked() {
  std::shared_ptr<Store> store = NewMemoryStore();
  CHECK_OK(WriteCheckpoint(*store, {SampleState(1, 1100)}));  // more than 1 MiB: aligned
  auto opened = Checkpoint::Open(store, OpenOptions(), std::make_shared<Engine>());
  CHECK_OK(opened);
  std::vector<std::pair<uint64_t, uint64_t>> items;
  for (const Entry& entry : (*opened)->metadata().entries) {
    items.emplace_back(entry.locations[0].offset, entry.locations[0].length);
  }
  std::sort(items.begin(), items.end());
  uint64_t end = 0, gaps = 0;
  for (const auto& [offset, length] : items) {
    for (uint64_t at : {end, offset - 1}) {
      if (offset == end) break;
      ++gaps;
      CHECK_OK(FlipByte(*store, "__0_0.distcp", at));
      auto verified = VerifyIn(store);
      CHECK_OK(verified);
      CHECK_THAT(verified->damage.size() == 1);
      CHECK_THAT(verified->damage[0].status.message().find(
                     fmt::format("byte {} of __0_0.distcp", at)) == 0);
      CHECK_OK(FlipByte(*store, "__0_0.distcp", at));
    }
    end = offset + length;
  }
  CHECK_THAT(gaps > 0);
  auto verified = VerifyIn(store);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty());
  return {};
}

// Large tensors with small items between them, as training states are.
ValuePtr LargeState() {
  std::vector<std::pair<std::string, ValuePtr>> entries;
  for (int i = 0; i < 3; ++i) {
    entries.emplace_back(fmt::format("large{}", i),
                         Value::Of(PatternTensor(DType::kFloat32, {1000 + 300 * i, 1024}, i)));
    entries.emplace_back(fmt::format("small{}", i),
                         Value::Of(PatternTensor(DType::kBFloat16, {70}, i + 10)));
  }
  entries.emplace_back("note", Value::String("a text"));
  return DictOf(std::move(entries));
}

// A sweep finds what reading item by item finds: any byte of an item or of the padding between
// items; with checksums in the metadata, and with those of the records alone.
std::string LargeItemsAreSwept() {
  std::mt19937 random(3);
  for (const bool known : {true, false}) {
    WrittenOptions options;
    if (!known) {
      options.block_checksums = false;
      options.change = [](Metadata& metadata) {
        for (Entry& entry : metadata.entries) {
          for (Location& location : entry.locations) location.has_crc32 = false;
        }
        metadata.storage_meta.reset();
      };
    }
    std::shared_ptr<Store> store = NewMemoryStore();
    CHECK_OK(WriteCheckpoint(*store, {LargeState()}, options));
    auto opened = Checkpoint::Open(store, OpenOptions(), std::make_shared<Engine>());
    CHECK_OK(opened);
    for (const size_t alignment : {1, 4096}) {
      // With and without a queue; in memory there is none.
      const auto queued = std::make_shared<ShuffledStore>(store, alignment);
      auto whole = VerifyIn(queued);
      CHECK_OK(whole);
      CHECK_THAT(whole->damage.empty() && whole->notes.empty());
      CHECK_THAT(whole->items_checked == 7 && whole->items_without_checksum == 0);
    }
    const auto queued = std::make_shared<ShuffledStore>(store, 4096);
    for (const Entry& entry : (*opened)->metadata().entries) {
      const Location& location = entry.locations[0];
      for (int round = 0; round < 4; ++round) {
        // The first and the last byte, then anywhere.
        const uint64_t at = location.offset + (round == 0   ? 0
                                               : round == 1 ? location.length - 1
                                                            : random() % location.length);
        CHECK_OK(FlipByte(*store, "__0_0.distcp", at));
        auto swept = VerifyIn(queued);
        auto plain = VerifyIn(store);
        CHECK_OK(swept);
        CHECK_OK(plain);
        CHECK_THAT(swept->items_checked == 7);
        CHECK_THAT(swept->damage.size() == plain->damage.size());
        CHECK_THAT(!known || swept->damage.size() == 1);
        for (size_t i = 0; i < swept->damage.size(); ++i) {
          CHECK_THAT(swept->damage[i].name == entry.name);
          CHECK_THAT(swept->damage[i].status.ToString() == plain->damage[i].status.ToString());
        }
        CHECK_OK(FlipByte(*store, "__0_0.distcp", at));
      }
      if (!known || entry.name != "large1") continue;
      CHECK_OK(FlipByte(*store, "__0_0.distcp", location.offset - 1));
      auto swept = VerifyIn(queued);
      CHECK_OK(swept);
      CHECK_THAT(swept->damage.size() == 1 && swept->items_checked == 7);
      CHECK_THAT(swept->damage[0].status.message().find("padding") != std::string::npos);
      CHECK_OK(FlipByte(*store, "__0_0.distcp", location.offset - 1));
    }
  }
  return {};
}

class Flipped final : public Transform {
 public:
  std::string_view name() const override { return "stream.flipped"; }
  std::string_view version() const override { return "1"; }
  Result<std::unique_ptr<TransformStream>> NewEncoder() const override {
    return std::unique_ptr<TransformStream>(std::make_unique<Stream>());
  }
  Result<std::unique_ptr<TransformStream>> NewDecoder(std::string_view) const override {
    return NewEncoder();
  }

 private:
  struct Stream final : TransformStream {
    Status Push(Bytes in, const ByteSink& out) override {
      std::string bytes(AsText(in));
      for (char& byte : bytes) byte = static_cast<char>(~byte);
      return out(AsBytes(bytes));
    }
    Status Finish(const ByteSink&) override { return Status::Ok(); }
  };
};

// Without the transform, items are checked by the checksum of their bytes in the file; where there
// is none, nothing is said about them, and that is not damage.
std::string UnknownTransforms() {
  WrittenOptions options;
  options.transforms = {std::make_shared<Flipped>()};
  auto verified = VerifyIn(Written(options));
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty() && verified->unreadable.empty());
  CHECK_THAT(verified->items_checked == 7 && verified->items_without_checksum == 0);

  options.change = [](Metadata& metadata) {
    for (Entry& entry : metadata.entries) {
      if (entry.kind == EntryKind::kTensor) entry.locations[0].has_crc32 = false;
    }
  };
  std::shared_ptr<Store> store = Written(options);
  verified = VerifyIn(store);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty());
  CHECK_THAT(verified->unreadable.size() == 4 && verified->items_checked == 3);
  CHECK_CODE(verified->unreadable[0].status, Code::kUnsupported);
  CHECK_THAT(verified->unreadable[0].status.message().find("stream.flipped/1") !=
             std::string::npos);
  CHECK_THAT(std::is_sorted(verified->unreadable.begin(), verified->unreadable.end(),
                            [](const Damage& a, const Damage& b) { return a.offset < b.offset; }));

  auto engine = std::make_shared<Engine>();
  CHECK_OK(engine->transforms->Add(options.transforms[0]));
  verified = VerifyIn(store, engine);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty() && verified->unreadable.empty());
  CHECK_THAT(verified->items_checked == 7);
  return {};
}

std::string OtherFilesAreNoted() {
  std::shared_ptr<Store> store = Written();
  for (std::string_view name : {"__0_0.g7.distcp", "__0.metadata", "notes.txt"}) {
    CHECK_OK(WriteWholeFile(*store, name, AsBytes("x"), false));
  }
  CHECK_OK(WriteWholeFile(*store, "__0_1.distcp", {}, false));  // as stock leaves them
  auto verified = VerifyIn(store);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.empty());
  CHECK_THAT(verified->notes.size() == 3);
  CHECK_THAT(verified->notes[0].find("__0.metadata is not part") == 0);
  return {};
}

std::string WhatStopsIt() {
  std::shared_ptr<Store> store = Written();
  CancelToken cancelled;
  cancelled.Cancel();
  CHECK_CODE(VerifyIn(store, std::make_shared<Engine>(), cancelled), Code::kCancelled);

  // Saved over in the middle: the damage is none.
  auto raced = std::make_shared<FaultStore>(store);
  bool done = false;
  raced->SetHook([&](size_t, const std::string& line) {
    if (done || !line.starts_with("open __0_0")) return;
    done = true;
    static_cast<void>(WriteCheckpoint(*store, {SampleState(2)}));
    static_cast<void>(FlipByte(*store, "__0_0.distcp", 700));
    static_cast<void>(store->Remove("__0_0.distcp"));
  });
  CHECK_CODE(VerifyIn(raced), Code::kReplaced);

  // A disk that fails is damage, file by file.
  auto broken = std::make_shared<FaultStore>(Written());
  broken->FailLine("open __0_0", Status(Code::kIo, "the disk is on fire"),
                   FaultStore::Times::kFromThenOn);
  auto verified = VerifyIn(broken);
  CHECK_OK(verified);
  CHECK_THAT(verified->damage.size() == 8);
  CHECK_CODE(verified->damage[0].status, Code::kIo);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Checked<dcp::AWholeCheckpoint>),
      cmocka_unit_test(dcp::Checked<dcp::EveryDamagedItemIsNamed>),
      cmocka_unit_test(dcp::Checked<dcp::ManySmallItems>),
      cmocka_unit_test(dcp::Checked<dcp::MissingAndShortFiles>),
      cmocka_unit_test(dcp::Checked<dcp::LiesInTheMetadata>),
      cmocka_unit_test(dcp::Checked<dcp::PaddingIsChecked>),
      cmocka_unit_test(dcp::Checked<dcp::LargeItemsAreSwept>),
      cmocka_unit_test(dcp::Checked<dcp::UnknownTransforms>),
      cmocka_unit_test(dcp::Checked<dcp::OtherFilesAreNoted>),
      cmocka_unit_test(dcp::Checked<dcp::WhatStopsIt>),
  };
  return cmocka_run_group_tests_name("catalog/verify", tests, nullptr, nullptr);
}
