// What is folded while a file is decoded must read as if it were not.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/checksum.h"
#include "metadata/codec.h"
#include "metadata/folded_rows.h"
#include "metadata/page_buffer.h"
#include "support/cmocka.h"
#include "support/far_source.h"
#include "unit/metadata/sample.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string CompareAll(const Metadata& a, const Metadata& b) {
  std::string difference = Difference(a, b);
  if (!difference.empty()) return difference;
  CHECK_THAT(a.files == b.files && a.transform_sets == b.transform_sets);
  CHECK_THAT(a.notes == b.notes && a.checksummed == b.checksummed);
  return {};
}

std::string SameEitherWay(const std::string& file) {
  Result<Metadata> folded = DecodeMetadata(AsBytes(file), "file");
  CHECK_OK(folded);
  Result<Metadata> given_back = DecodeMetadata(FarSource(file), "file");
  CHECK_OK(given_back);
  std::string difference = CompareAll(*folded, *given_back);
  if (!difference.empty()) return difference;
  Result<Metadata> unfolded = DecodeMetadata(AsBytes(file), "file", Folding::kNone);
  CHECK_OK(unfolded);
  return CompareAll(*folded, *unfolded);
}

std::string RealFiles() {
  size_t count = 0;
  for (const auto& found : fs::recursive_directory_iterator(DCP_FIXTURES)) {
    if (found.path().extension() != ".metadata" && found.path().filename() != ".metadata") continue;
    std::string difference = SameEitherWay(ReadAll(found.path()));
    if (!difference.empty()) return fmt::format("{}: {}", found.path().string(), difference);
    ++count;
  }
  CHECK_THAT(count > 10);
  return {};
}

Metadata ManyShards(size_t tensors, size_t shards) {
  Metadata m;
  for (size_t i = 0; i < shards; ++i) m.files.push_back(fmt::format("__{}_0.distcp", i));
  m.transform_sets.push_back({"stream.zstd/1"});
  for (size_t t = 0; t < tensors; ++t) {
    Entry& entry = m.entries.emplace_back();
    entry.name = fmt::format("layers.{}.weight", t);
    entry.kind = EntryKind::kTensor;
    entry.size = {static_cast<int64_t>(2 * shards), 1000};
    for (size_t i = 0; i < shards; ++i) {
      entry.boxes.insert(entry.boxes.end(), {static_cast<int64_t>(2 * i), 0, 2, 1000});
      Location location{static_cast<uint32_t>(i), static_cast<uint32_t>(t % 2), t * 70000 + i,
                        8000};
      location.has_crc32 = t % 3 == 0;
      location.crc32 = location.has_crc32 ? static_cast<uint32_t>(t * 2654435761u) : 0;
      entry.locations.push_back(location);
    }
  }
  return m;
}

std::string ManyOfOurs() {
  const Metadata many = ManyShards(150, 100);
  for (Dialect dialect : {Dialect::kDefault, Dialect::kTorch21}) {
    Result<std::string> file = EncodeMetadata(many, dialect);
    CHECK_OK(file);
    CHECK_THAT(file->size() > 1 << 20);
    std::string difference = SameEitherWay(*file);
    if (!difference.empty()) return difference;
    Result<Metadata> decoded = DecodeMetadata(FarSource(*file), "file");
    CHECK_OK(decoded);
    difference = EntryDifference(many, *decoded);
    if (!difference.empty()) return difference;
  }
  return {};
}

// A large file comes in pieces, which together are the whole; a sink that fails ends it.
std::string EncodedInPieces() {
  const Metadata many = ManyShards(150, 100);
  Result<std::string> whole = EncodeMetadata(many, Dialect::kDefault);
  CHECK_OK(whole);
  std::string together;
  size_t pieces = 0, longest = 0;
  CHECK_OK(EncodeMetadata(many, Dialect::kDefault, [&](Bytes piece) {
    together += AsText(piece);
    longest = std::max(longest, piece.size());
    ++pieces;
    return Status::Ok();
  }));
  CHECK_THAT(together == *whole);
  CHECK_THAT(pieces > 1 && longest < 5 << 18);
  size_t asked = 0;
  const Status failed = EncodeMetadata(many, Dialect::kDefault, [&](Bytes) {
    ++asked;
    return Status(Code::kIo, "the disk is full");
  });
  CHECK_CODE(failed, Code::kIo);
  CHECK_THAT(asked == 1);
  return {};
}

std::string MostIsFolded() {
  Result<std::string> file = EncodeMetadata(ManyShards(20, 50), Dialect::kDefault);
  CHECK_OK(file);
  Result<pickle::Graph> whole = pickle::Parse(AsBytes(*file));
  CHECK_OK(whole);
  FoldedRows rows(file->size());
  Result<pickle::Graph> graph = pickle::Parse(AsBytes(*file), pickle::Limits(), &rows);
  CHECK_OK(graph);
  // An item leaves a chunk, a key, a place, and the torch.Size that chunk and key share.
  CHECK_THAT(graph->node_count() < 20 * 50 * 7 + 1000);
  CHECK_THAT(graph->node_count() < whole->node_count());
  return {};
}

// A file that is fetched while it is looked at gives the same tables, and is read once.
std::string LargeFiles() {
  Result<std::string> encoded = EncodeMetadata(ManyShards(50, 1200), Dialect::kDefault);
  CHECK_OK(encoded);
  const std::string file = *std::move(encoded);
  CHECK_THAT(file.size() > (6 << 20));
  Result<Metadata> whole = DecodeMetadata(AsBytes(file), "file");
  CHECK_OK(whole);
  FarSource source(file);
  uint32_t crc = 0;
  Result<Metadata> read = DecodeMetadata(source, "file", &crc);
  CHECK_OK(read);
  CHECK_THAT(crc == Crc32(0, AsBytes(file)));
  CHECK_THAT(source.bytes_read == file.size());
  return CompareAll(*whole, *read);
}

std::string LargeDamagedFiles() {
  Result<std::string> encoded = EncodeMetadata(ManyShards(50, 1200), Dialect::kDefault);
  CHECK_OK(encoded);
  std::string file = *std::move(encoded);
  for (const size_t at : {size_t{30}, file.size() / 2, file.size() - 1}) {
    file[at] = static_cast<char>(file[at] ^ 1);
    Result<Metadata> whole = DecodeMetadata(AsBytes(file), "file");
    Result<Metadata> read = DecodeMetadata(FarSource(file), "file");
    CHECK_THAT(!whole.ok() && !read.ok() && read.status().code() == Code::kCorrupt);
    CHECK_THAT(read.status().message() == whole.status().message());
    file[at] = static_cast<char>(file[at] ^ 1);
  }
  // No pickle from some byte on: the rest is fetched all the same, or given up.
  for (const size_t at : {size_t{0}, file.size() / 2}) {
    const std::string damaged = file.substr(0, at) + std::string(6 << 20, '\xff');
    Result<Metadata> read = DecodeMetadata(FarSource(damaged), "file");
    Result<Metadata> whole = DecodeMetadata(AsBytes(damaged), "file");
    CHECK_THAT(!read.ok() && !whole.ok());
    CHECK_THAT(read.status().message() == whole.status().message());
  }
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{64}, uint64_t{file.size() / 2}}) {
    FarSource source(file);
    source.fail_past = bytes;
    Result<Metadata> read = DecodeMetadata(source, "file");
    CHECK_THAT(!read.ok() && read.status().code() == Code::kIo);
  }
  return {};
}

std::string Discards() {
  PageBuffer pages(3 << 16);
  std::memset(pages.mutable_bytes().data(), 1, pages.bytes().size());
  pages.DiscardBefore((1 << 16) + 1);
  CHECK_THAT(pages.bytes()[0] == std::byte{0} && pages.bytes()[1 << 16] == std::byte{1});
  PageBuffer moved = std::move(pages);
  moved.DiscardBefore(SIZE_MAX);
  CHECK_THAT(moved.bytes()[2 << 16] == std::byte{0});
  CHECK_THAT(PageBuffer(0).bytes().empty());
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(RealFiles),    DCP_CHECKED(ManyOfOurs), DCP_CHECKED(EncodedInPieces),
      DCP_CHECKED(MostIsFolded), DCP_CHECKED(LargeFiles), DCP_CHECKED(LargeDamagedFiles),
      DCP_CHECKED(Discards),
  };
  return cmocka_run_group_tests_name("metadata/fold", tests, nullptr, nullptr);
}
