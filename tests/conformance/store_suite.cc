#include "conformance/store_suite.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <thread>

#include "support/checks.h"

namespace dcp {
namespace {

struct FreeMemory {
  void operator()(std::byte* data) const { std::free(data); }
};

// Aligned for any store, filled by `seed`.
class Block {
 public:
  Block(size_t size, unsigned seed)
      : size_(size),
        data_(static_cast<std::byte*>(std::aligned_alloc(4096, AlignUp(size + 1, 4096)))) {
    uint32_t state = seed * 2654435761u + 12345u;
    for (size_t i = 0; i < size_; ++i) {
      state = state * 1664525u + 1013904223u;
      data_.get()[i] = static_cast<std::byte>(state >> 24);
    }
  }
  size_t size() const { return size_; }
  Bytes bytes() const { return {data_.get(), size_}; }
  MutableBytes mutable_bytes() { return {data_.get(), size_}; }
  std::string text() const { return std::string(AsText(bytes())); }

 private:
  size_t size_;
  std::unique_ptr<std::byte, FreeMemory> data_;
};

CreateOptions Options(bool direct, uint64_t expected_size = 0) {
  CreateOptions options;
  options.direct = direct;
  options.expected_size = expected_size;
  return options;
}

// Writes as the writer room does: whole aligned blocks, as many in flight as go, the last one
// padded; then Finish with the real size.
Status WriteBlocks(Store& store, std::string_view path, const Block& content, size_t block,
                   bool direct) {
  DCP_ASSIGN_OR_RETURN(auto file, store.Create(path, Options(direct)));
  size_t align = file->alignment();
  size_t step = AlignUp(block, align);
  Block padded(AlignUp(content.size(), align), 0);
  std::copy(content.bytes().begin(), content.bytes().end(), padded.mutable_bytes().begin());
  std::set<uint64_t> in_flight;
  auto wait = [&]() -> Status {
    DCP_ASSIGN_OR_RETURN(uint64_t token, file->Wait());
    if (in_flight.erase(token) != 1) return Error(Code::kInternal, "token {} is not ours", token);
    return Status::Ok();
  };
  for (size_t at = 0; at < padded.size(); at += step) {
    if (in_flight.size() == file->depth()) DCP_RETURN_IF_ERROR(wait());
    size_t size = std::min(step, padded.size() - at);
    DCP_RETURN_IF_ERROR(file->Start(at, padded.bytes().subspan(at, size), 1000 + at));
    in_flight.insert(1000 + at);
  }
  while (!in_flight.empty()) DCP_RETURN_IF_ERROR(wait());
  return file->Finish(content.size(), true);
}

// Reads all of a file through a queue, in blocks, the last one reaching past the end.
Result<std::string> ReadQueued(const ReadableFile& file, bool cold, size_t block) {
  DCP_ASSIGN_OR_RETURN(auto queue, file.NewQueue(cold));
  size_t step = AlignUp(block, queue->alignment());
  size_t count = file.size() / step + 1;
  Block buffer(count * step, 7);
  size_t started = 0;
  size_t waited = 0;
  std::vector<size_t> sizes(count, SIZE_MAX);
  while (waited < count) {
    if (started < count && started - waited < queue->depth()) {
      DCP_RETURN_IF_ERROR(queue->Start(
          started * step, buffer.mutable_bytes().subspan(started * step, step), started));
      ++started;
      continue;
    }
    DCP_ASSIGN_OR_RETURN(ReadQueue::Done done, queue->Wait());
    if (done.token >= started || sizes[done.token] != SIZE_MAX) {
      return Error(Code::kInternal, "token {} is not ours", done.token);
    }
    sizes[done.token] = done.size;
    ++waited;
  }
  for (size_t i = 0; i < count; ++i) {
    size_t expected = std::min<uint64_t>(step, file.size() - i * step);
    if (sizes[i] != expected) {
      return Error(Code::kInternal, "block {} has {} bytes, not {}", i, sizes[i], expected);
    }
  }
  return std::string(AsText(buffer.bytes().first(file.size())));
}

Status WriteText(Store& store, std::string_view path, std::string_view text) {
  return WriteWholeFile(store, path, AsBytes(text), true);
}

Result<std::string> ReadText(const Store& store, std::string_view path) {
  return ReadWholeFile(store, path, uint64_t{1} << 30);
}

Result<std::unique_ptr<Store>> ReadyStore(StoreSuite& suite) {
  std::unique_ptr<Store> store = suite.make_store();
  DCP_RETURN_IF_ERROR(store->MakeRoot());
  return store;
}

#define READY_STORE(name)               \
  auto made_##name = ReadyStore(suite); \
  CHECK_OK(made_##name);                \
  Store& name = **made_##name

std::string NewStoreIsEmpty(StoreSuite& suite) {
  READY_STORE(store);
  CHECK_THAT(!store.location().empty());
  auto names = store.List();
  CHECK_OK(names);
  CHECK_THAT(names->empty());
  CHECK_OK(store.MakeRoot());
  CHECK_OK(store.SyncFolder());
  return {};
}

std::string MissingRoot(StoreSuite& suite) {
  if (!suite.root_can_be_missing) return {};
  std::unique_ptr<Store> store = suite.make_store();
  CHECK_CODE(store->Open("a"), Code::kNotFound);
  CHECK_CODE(store->List(), Code::kNotFound);
  CHECK_CODE(store->Remove("a"), Code::kNotFound);
  CHECK_OK(store->MakeRoot());
  CHECK_OK(WriteText(*store, "a", "text"));
  CHECK_OK(store->Open("a"));
  return {};
}

std::string RoundTripSizes(StoreSuite& suite) {
  READY_STORE(store);
  for (bool direct : {false, true}) {
    for (size_t size : {0, 1, 511, 512, 4095, 4096, 4097, 65536, 1048576 + 123}) {
      Block content(size, static_cast<unsigned>(size));
      std::string path = fmt::format("f{}_{}", size, direct);
      CHECK_OK(WriteBlocks(store, path, content, 64 * 1024, direct));
      auto file = store.Open(path);
      CHECK_OK(file);
      CHECK_THAT((*file)->size() == size);
      CHECK_THAT((*file)->name() == path);
      std::string text(size, '\0');
      CHECK_OK((*file)->ReadAt(0, {reinterpret_cast<std::byte*>(text.data()), size}));
      CHECK_THAT(text == content.text());
      Bytes in_memory = (*file)->InMemory();
      CHECK_THAT(in_memory.empty() || AsText(in_memory) == text);
    }
  }
  return {};
}

std::string WritesInAnyOrder(StoreSuite& suite) {
  READY_STORE(store);
  auto file = store.Create("backwards", Options(true));
  CHECK_OK(file);
  size_t align = std::max<size_t>((*file)->alignment(), 4096);
  constexpr size_t kBlocks = 24;
  Block content(align * kBlocks, 5);
  size_t in_flight = 0;
  for (size_t i = kBlocks; i-- > 0;) {
    if (in_flight == (*file)->depth()) {
      CHECK_OK((*file)->Wait());
      --in_flight;
    }
    CHECK_OK((*file)->Start(i * align, content.bytes().subspan(i * align, align), i));
    ++in_flight;
  }
  for (; in_flight > 0; --in_flight) CHECK_OK((*file)->Wait());
  CHECK_OK((*file)->Finish(content.size(), false));
  auto text = ReadText(store, "backwards");
  CHECK_OK(text);
  CHECK_THAT(*text == content.text());
  return {};
}

std::string FinishSetsTheSize(StoreSuite& suite) {
  READY_STORE(store);
  for (bool direct : {false, true}) {
    auto file = store.Create("sized", Options(direct));
    CHECK_OK(file);
    Block block(AlignUp(8192, (*file)->alignment()), 9);
    CHECK_OK((*file)->Start(0, block.bytes(), 77));
    auto token = (*file)->Wait();
    CHECK_OK(token);
    CHECK_THAT(*token == 77);
    CHECK_OK((*file)->Finish(5001, true));
    auto text = ReadText(store, "sized");
    CHECK_OK(text);
    CHECK_THAT(*text == block.text().substr(0, 5001));

    auto empty = store.Create("empty", Options(direct));
    CHECK_OK(empty);
    CHECK_OK((*empty)->Finish(0, true));
    auto none = store.Open("empty");
    CHECK_OK(none);
    CHECK_THAT((*none)->size() == 0);
  }
  return {};
}

std::string WrongUseIsRefused(StoreSuite& suite) {
  READY_STORE(store);
  auto file = store.Create("misused", Options(true));
  CHECK_OK(file);
  CHECK_CODE((*file)->Wait(), Code::kInvalidArgument);
  size_t align = (*file)->alignment();
  Block block(AlignUp(4096, align), 1);
  if (align > 1) {
    CHECK_CODE((*file)->Start(1, block.bytes(), 0), Code::kInvalidArgument);
    CHECK_CODE((*file)->Start(0, block.bytes().first(align - 1), 0), Code::kInvalidArgument);
  }
  CHECK_OK((*file)->Start(0, block.bytes(), 0));
  CHECK_CODE((*file)->Finish(1, true), Code::kInvalidArgument);
  CHECK_OK((*file)->Wait());
  CHECK_OK((*file)->Finish(block.size(), true));
  CHECK_CODE((*file)->Finish(block.size(), true), Code::kInvalidArgument);
  CHECK_CODE((*file)->Start(0, block.bytes(), 0), Code::kInvalidArgument);
  return {};
}

std::string CreateTruncates(StoreSuite& suite) {
  READY_STORE(store);
  CHECK_OK(WriteText(store, "again", "a long first text"));
  CHECK_OK(WriteText(store, "again", "short"));
  auto text = ReadText(store, "again");
  CHECK_OK(text);
  CHECK_THAT(*text == "short");
  return {};
}

std::string UnfinishedFiles(StoreSuite& suite) {
  READY_STORE(store);
  {
    auto file = store.Create("half", Options(true));
    CHECK_OK(file);
    Block block(AlignUp(1 << 20, (*file)->alignment()), 3);
    for (size_t i = 0; i < (*file)->depth(); ++i) {
      CHECK_OK((*file)->Start(i * block.size(), block.bytes(), i));
    }
    file->reset();  // with writes in flight; `block` must be free to go after it
  }
  CHECK_OK(store.Open("half"));
  CHECK_OK(store.Remove("half"));
  CHECK_CODE(store.Open("half"), Code::kNotFound);
  return {};
}

std::string MissingFiles(StoreSuite& suite) {
  READY_STORE(store);
  CHECK_CODE(store.Open("none"), Code::kNotFound);
  CHECK_CODE(store.Remove("none"), Code::kNotFound);
  CHECK_CODE(store.Rename("none", "other"), Code::kNotFound);
  auto status = store.Open("none");
  CHECK_THAT(status.status().message().find("none") != std::string::npos);
  CHECK_OK(WriteText(store, "once", "x"));
  CHECK_OK(store.Remove("once"));
  CHECK_CODE(store.Remove("once"), Code::kNotFound);
  return {};
}

std::string IllegalPaths(StoreSuite& suite) {
  READY_STORE(store);
  CHECK_OK(WriteText(store, "fine", "x"));
  const std::string bad[] = {"",
                             "/etc/passwd",
                             "..",
                             "../x",
                             "a/../b",
                             "a/..",
                             "a//b",
                             "./a",
                             "a/",
                             ".",
                             std::string("a\0b", 3),
                             std::string(256, 'n'),
                             std::string(4096, 'n'),
                             "a/" + std::string(4096, 'n')};
  for (const std::string& path : bad) {
    CHECK_CODE(store.Open(path), Code::kInvalidArgument);
    CHECK_CODE(store.Create(path, {}), Code::kInvalidArgument);
    CHECK_CODE(store.Remove(path), Code::kInvalidArgument);
    CHECK_CODE(store.Rename(path, "other"), Code::kInvalidArgument);
    CHECK_CODE(store.Rename("fine", path), Code::kInvalidArgument);
    CHECK_THAT(store.Open(path).status().message().size() < 600);
  }
  CHECK_OK(store.Open("fine"));
  return {};
}

std::string OddNames(StoreSuite& suite) {
  READY_STORE(store);
  const std::string odd[] = {
      "...", "..a", " ", "a b", "\xff\xfe", "-rf", "a\nb", std::string(255, 'n'), ".metadata"};
  for (const std::string& path : odd) {
    CHECK_OK(WriteText(store, path, "content of " + path));
    auto text = ReadText(store, path);
    CHECK_OK(text);
    CHECK_THAT(*text == "content of " + path);
  }
  auto names = store.List();
  CHECK_OK(names);
  CHECK_THAT(std::set<std::string>(names->begin(), names->end()) ==
             std::set<std::string>(std::begin(odd), std::end(odd)));
  return {};
}

std::string ReadRanges(StoreSuite& suite) {
  READY_STORE(store);
  Block content(10000, 21);
  CHECK_OK(WriteBlocks(store, "r", content, 4096, false));
  auto file = store.Open("r");
  CHECK_OK(file);
  Block out(10001, 0);
  for (auto [offset, size] : {std::pair<uint64_t, size_t>(0, 1),
                              {9999, 1},
                              {4095, 2},
                              {1, 9999},
                              {10000, 0},
                              {0, 0},
                              {0, 10000}}) {
    CHECK_OK((*file)->ReadAt(offset, out.mutable_bytes().first(size)));
    CHECK_THAT(AsText(out.bytes().first(size)) == AsText(content.bytes().subspan(offset, size)));
  }
  for (auto [offset, size] : {std::pair<uint64_t, size_t>(0, 10001),
                              {9999, 2},
                              {10000, 1},
                              {10001, 0},
                              {UINT64_MAX, 1},
                              {UINT64_MAX, 2},
                              {uint64_t{1} << 63, 1}}) {
    Status status = (*file)->ReadAt(offset, out.mutable_bytes().first(size));
    CHECK_CODE(status, Code::kCorrupt);
    CHECK_THAT(status.message().find("r'") != std::string::npos);
  }
  return {};
}

std::string QueuesReadEverything(StoreSuite& suite) {
  READY_STORE(store);
  for (size_t size : {0, 1, 4096, 12288, 300001, 4 * 1048576 + 77}) {
    Block content(size, 40 + static_cast<unsigned>(size));
    CHECK_OK(WriteBlocks(store, "q", content, 1 << 20, true));
    auto file = store.Open("q");
    CHECK_OK(file);
    for (bool cold : {false, true}) {
      for (size_t block : {size_t{4096}, size_t{1} << 20}) {
        if (size / block > 500) continue;
        auto text = ReadQueued(**file, cold, block);
        CHECK_OK(text);
        CHECK_THAT(*text == content.text());
      }
    }
  }
  return {};
}

std::string QueuesEndAtTheEnd(StoreSuite& suite) {
  READY_STORE(store);
  Block content(5000, 3);
  CHECK_OK(WriteBlocks(store, "q", content, 4096, false));
  auto file = store.Open("q");
  CHECK_OK(file);
  for (bool cold : {false, true}) {
    auto queue = (*file)->NewQueue(cold);
    CHECK_OK(queue);
    CHECK_CODE((*queue)->Wait(), Code::kInvalidArgument);
    Block out(AlignUp(8192, (*queue)->alignment()), 0);
    for (uint64_t offset : {uint64_t{8192}, uint64_t{1} << 40, uint64_t{1} << 62}) {
      CHECK_OK((*queue)->Start(offset, out.mutable_bytes(), 9));
      auto done = (*queue)->Wait();
      CHECK_OK(done);
      CHECK_THAT(done->token == 9 && done->size == 0);
    }
    CHECK_OK((*queue)->Start(4096, out.mutable_bytes(), 10));
    auto done = (*queue)->Wait();
    CHECK_OK(done);
    CHECK_THAT(done->token == 10 && done->size == 5000 - 4096);
    CHECK_THAT(AsText(out.bytes().first(done->size)) == AsText(content.bytes().subspan(4096)));
    if ((*queue)->alignment() > 1) {
      CHECK_CODE((*queue)->Start(1, out.mutable_bytes(), 0), Code::kInvalidArgument);
    }
    for (size_t i = 0; i < (*queue)->depth(); ++i) {
      CHECK_OK((*queue)->Start(0, out.mutable_bytes(), i));
    }
    queue->reset();  // with reads in flight
  }
  return {};
}

std::string RenameReplaces(StoreSuite& suite) {
  READY_STORE(store);
  CHECK_OK(WriteText(store, "old", "old content"));
  CHECK_OK(WriteText(store, "new", "new"));
  auto open = store.Open("old");
  CHECK_OK(open);
  CHECK_OK(store.Rename("new", "old"));
  CHECK_CODE(store.Open("new"), Code::kNotFound);
  auto text = ReadText(store, "old");
  CHECK_OK(text);
  CHECK_THAT(*text == "new");
  CHECK_OK(store.Rename("old", "old"));
  CHECK_OK(store.Open("old"));
  if (suite.keeps_replaced) {
    std::string kept((*open)->size(), '\0');
    CHECK_OK((*open)->ReadAt(0, {reinterpret_cast<std::byte*>(kept.data()), kept.size()}));
    CHECK_THAT(kept == "old content");
  }
  return {};
}

std::string RemovedStaysReadable(StoreSuite& suite) {
  if (!suite.keeps_removed) return {};
  READY_STORE(store);
  CHECK_OK(WriteText(store, "gone", "still here"));
  auto open = store.Open("gone");
  CHECK_OK(open);
  CHECK_OK(store.Remove("gone"));
  std::string kept((*open)->size(), '\0');
  CHECK_OK((*open)->ReadAt(0, {reinterpret_cast<std::byte*>(kept.data()), kept.size()}));
  CHECK_THAT(kept == "still here");
  auto cold = ReadQueued(**open, true, 4096);
  CHECK_OK(cold);
  CHECK_THAT(*cold == "still here");
  return {};
}

std::string ListNamesFiles(StoreSuite& suite) {
  READY_STORE(store);
  std::set<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    std::string name = fmt::format("__{}_0.distcp", i);
    CHECK_OK(WriteWholeFile(store, name, {}, false));
    expected.insert(name);
  }
  if (suite.folders) CHECK_OK(WriteText(store, "folder/inside", "x"));
  CHECK_OK(store.Remove("__7_0.distcp"));
  expected.erase("__7_0.distcp");
  for (int again = 0; again < 2; ++again) {
    auto names = store.List();
    CHECK_OK(names);
    CHECK_THAT(names->size() == expected.size());
    CHECK_THAT(std::set<std::string>(names->begin(), names->end()) == expected);
  }
  return {};
}

std::string PathsWithFolders(StoreSuite& suite) {
  if (!suite.folders) return {};
  READY_STORE(store);
  CHECK_OK(WriteText(store, "a/b/c", "deep"));
  CHECK_OK(WriteText(store, "a/d", "less deep"));
  CHECK_OK(store.SyncFolder());
  auto text = ReadText(store, "a/b/c");
  CHECK_OK(text);
  CHECK_THAT(*text == "deep");
  CHECK_OK(store.Rename("a/b/c", "top"));
  CHECK_OK(store.Rename("a/d", "a/b/e"));
  CHECK_OK(store.Remove("a/b/e"));
  CHECK_CODE(store.Open("a/b/c"), Code::kNotFound);
  CHECK_CODE(store.Open("a/b/e"), Code::kNotFound);
  CHECK_OK(store.Open("top"));
  CHECK_OK(store.SyncFolder());
  CHECK_CODE(store.Open("nowhere/f"), Code::kNotFound);
  return {};
}

std::string Maps(StoreSuite& suite) {
  READY_STORE(store);
  Block content(70001, 61);
  CHECK_OK(WriteBlocks(store, "m", content, 65536, true));
  auto file = store.Open("m");
  CHECK_OK(file);
  if (!suite.maps) {
    CHECK_CODE((*file)->Map(0, 10), Code::kUnsupported);
    return {};
  }
  std::vector<ReadableFile::Mapping> kept;
  for (auto [offset, size] : {std::pair<uint64_t, uint64_t>(0, 70001),
                              {4097, 100},
                              {4095, 4098},
                              {70000, 1},
                              {65536, 4465}}) {
    auto mapping = (*file)->Map(offset, size);
    CHECK_OK(mapping);
    CHECK_THAT(mapping->bytes.size() == size);
    CHECK_THAT(AsText(mapping->bytes) == AsText(content.bytes().subspan(offset, size)));
    kept.push_back(*mapping);
  }
  auto nothing = (*file)->Map(100, 0);
  CHECK_OK(nothing);
  CHECK_THAT(nothing->bytes.empty());
  CHECK_CODE((*file)->Map(0, 70002), Code::kCorrupt);
  CHECK_CODE((*file)->Map(70001, 1), Code::kCorrupt);
  CHECK_CODE((*file)->Map(UINT64_MAX, 2), Code::kCorrupt);
  file->reset();
  CHECK_OK(WriteText(store, "other", "x"));
  CHECK_OK(store.Rename("other", "m"));
  CHECK_THAT(AsText(kept[0].bytes) == content.text());
  return {};
}

std::string WholeFiles(StoreSuite& suite) {
  READY_STORE(store);
  CHECK_OK(WriteText(store, "w", "123456789"));
  auto text = ReadWholeFile(store, "w", 9);
  CHECK_OK(text);
  CHECK_THAT(*text == "123456789");
  CHECK_CODE(ReadWholeFile(store, "w", 8), Code::kLimit);
  CHECK_CODE(ReadWholeFile(store, "none", 8), Code::kNotFound);
  return {};
}

std::string ManyThreads(StoreSuite& suite) {
  READY_STORE(store);
  constexpr int kThreads = 4;
  constexpr int kRounds = 10;
  std::vector<Status> failures(kThreads);
  {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        auto work = [&]() -> Status {
          for (int round = 0; round < kRounds; ++round) {
            Block content(20000 + 1000 * t + round, 100 + t);
            std::string name = fmt::format("t{}", t);
            DCP_RETURN_IF_ERROR(WriteBlocks(store, name + ".tmp", content, 8192, round % 2 == 0));
            DCP_RETURN_IF_ERROR(store.Rename(name + ".tmp", name));
            DCP_RETURN_IF_ERROR(WriteWholeFile(store, "x.tmp" + name, content.bytes(), false));
            DCP_RETURN_IF_ERROR(store.Rename("x.tmp" + name, "shared"));
            DCP_RETURN_IF_ERROR(store.Open("shared").status());
            DCP_ASSIGN_OR_RETURN(auto file, store.Open(name));
            DCP_ASSIGN_OR_RETURN(std::string text, ReadQueued(*file, true, 4096));
            if (text != content.text()) return Error(Code::kCorrupt, "{} differs", name);
            DCP_RETURN_IF_ERROR(store.List().status());
            DCP_RETURN_IF_ERROR(store.SyncFolder());
          }
          return Status::Ok();
        };
        failures[t] = work();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (const Status& status : failures) CHECK_OK(status);
  return {};
}

std::string OneFileManyReaders(StoreSuite& suite) {
  READY_STORE(store);
  Block content(1 << 20, 88);
  CHECK_OK(WriteBlocks(store, "shared", content, 1 << 18, true));
  auto file = store.Open("shared");
  CHECK_OK(file);
  std::vector<Status> failures(4);
  {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < failures.size(); ++t) {
      threads.emplace_back([&, t] {
        auto work = [&]() -> Status {
          DCP_ASSIGN_OR_RETURN(std::string text, ReadQueued(**file, t % 2 == 0, 65536));
          if (text != content.text()) return Status(Code::kCorrupt, "differs");
          std::string piece(1000, '\0');
          return (*file)->ReadAt(t * 777,
                                 {reinterpret_cast<std::byte*>(piece.data()), piece.size()});
        };
        failures[t] = work();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (const Status& status : failures) CHECK_OK(status);
  return {};
}

std::string FilesOutliveTheirStore(StoreSuite& suite) {
  auto made = ReadyStore(suite);
  CHECK_OK(made);
  CHECK_OK(WriteText(**made, "kept", "alive"));
  auto file = (*made)->Open("kept");
  CHECK_OK(file);
  auto writer = (*made)->Create("late", {});
  CHECK_OK(writer);
  made->reset();
  std::string text(5, '\0');
  CHECK_OK((*file)->ReadAt(0, {reinterpret_cast<std::byte*>(text.data()), text.size()}));
  CHECK_THAT(text == "alive");
  CHECK_OK((*writer)->Finish(0, true));
  return {};
}

}  // namespace

#define STORE_TEST(function) \
  CMUnitTest { #function, CheckedWith < StoreSuite, function>, nullptr, nullptr, &suite }

int RunStoreSuite(StoreSuite& suite) {
  const CMUnitTest tests[] = {
      STORE_TEST(NewStoreIsEmpty),
      STORE_TEST(MissingRoot),
      STORE_TEST(RoundTripSizes),
      STORE_TEST(WritesInAnyOrder),
      STORE_TEST(FinishSetsTheSize),
      STORE_TEST(WrongUseIsRefused),
      STORE_TEST(CreateTruncates),
      STORE_TEST(UnfinishedFiles),
      STORE_TEST(MissingFiles),
      STORE_TEST(IllegalPaths),
      STORE_TEST(OddNames),
      STORE_TEST(ReadRanges),
      STORE_TEST(QueuesReadEverything),
      STORE_TEST(QueuesEndAtTheEnd),
      STORE_TEST(RenameReplaces),
      STORE_TEST(RemovedStaysReadable),
      STORE_TEST(ListNamesFiles),
      STORE_TEST(PathsWithFolders),
      STORE_TEST(Maps),
      STORE_TEST(WholeFiles),
      STORE_TEST(ManyThreads),
      STORE_TEST(OneFileManyReaders),
      STORE_TEST(FilesOutliveTheirStore),
  };
  return cmocka_run_group_tests_name(suite.name.c_str(), tests, nullptr, nullptr);
}

}  // namespace dcp
