#include "metadata/codec.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>

#include "base/checksum.h"
#include "metadata/trailer.h"
#include "pickle/writer.h"
#include "support/cmocka.h"
#include "unit/metadata/sample.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

std::string ReadFixture(const std::string& path) {
  std::ifstream in(std::string(DCP_FIXTURES) + "/" + path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Result<Metadata> Decode(std::string_view bytes) { return DecodeMetadata(AsBytes(bytes), "file"); }

std::string EveryProtocol() {
  for (int protocol = 0; protocol <= 5; ++protocol) {
    Result<Metadata> decoded =
        Decode(ReadFixture(fmt::format("metadata/protocol{}.metadata", protocol)));
    CHECK_OK(decoded);
    std::string difference = Difference(PlainMetadata(), *decoded);
    if (!difference.empty()) return fmt::format("protocol {}: {}", protocol, difference);
    CHECK_THAT(decoded->notes.empty());
  }
  return {};
}

bool HasNote(const Metadata& metadata, std::string_view text) {
  return std::any_of(metadata.notes.begin(), metadata.notes.end(),
                     [&](const std::string& note) { return note.find(text) != std::string::npos; });
}

std::string OddFilesStayReadable() {
  Result<Metadata> decoded = Decode(ReadFixture("metadata/odd.metadata"));
  CHECK_OK(decoded);
  Metadata expected = PlainMetadata();
  expected.entries[0].locations[1].transforms = 0;
  expected.entries[1].locations[0].length = 40;
  expected.entries[2].properties.layout = "torch.sparse_coo";
  expected.entries[2].properties.requires_grad = true;
  expected.entries[2].properties.pin_memory = true;
  expected.entries[3].unknown_dtype = "float9_e4m3fn";
  expected.entries[3].properties.dtype = decoded->entries[3].properties.dtype;
  expected.entries[4].locations[0] = Location();
  std::string difference = EntryDifference(expected, *decoded);
  if (!difference.empty()) return difference;
  CHECK_THAT(decoded->planner_data && decoded->planner_data->size() == 6);
  CHECK_THAT(!decoded->version && !decoded->storage_meta->save_id);
  CHECK_THAT(decoded->storage_meta->checkpoint_id == "C:\\data\\ckpt");
  for (std::string_view note :
       {"the entry foreign is other_writer.Foreign(...)", "stray", "none of its chunks",
        "planner_data has other_writer.Foreign(...) for step", "the key a string",
        "the storage of step is other_writer.Foreign(...)", "for an integer", "save_id is",
        "version is an integer", "extra_field", "4 bytes follow the pickle"}) {
    if (!HasNote(*decoded, note)) return fmt::format("no note on: {}", note);
  }
  return {};
}

Metadata RandomMetadata(std::mt19937_64& random) {
  auto below = [&](uint64_t n) { return random() % n; };
  Metadata m;
  size_t files = 1 + below(5);
  for (size_t i = 0; i < files; ++i) m.files.push_back(fmt::format("__{}_0.distcp", i));
  m.transform_sets.push_back({"stream.zstd/1"});
  m.transform_sets.push_back({"a/1", "b/2"});
  size_t count = below(3000);
  for (size_t i = 0; i < count; ++i) {
    Entry& entry = m.entries.emplace_back();
    entry.name = fmt::format("layer.{}{}", i, std::string(below(40) == 0 ? 300 : 0, 'x'));
    auto locate = [&] {
      if (below(20) == 0) return Location();
      Location location{static_cast<uint32_t>(below(files)), static_cast<uint32_t>(below(3)),
                        random() >> (1 + below(60)) >> 1, below(100000)};
      location.has_crc32 = below(2) == 0;
      if (location.has_crc32) location.crc32 = static_cast<uint32_t>(random());
      return location;
    };
    if (below(4) == 0) {
      entry.locations = {locate()};
      continue;
    }
    entry.kind = EntryKind::kTensor;
    entry.properties.dtype = static_cast<DType>(1 + below(32));
    entry.properties.layout = below(9) == 0 ? "torch.sparse_csr" : "torch.strided";
    entry.properties.requires_grad = below(2) == 0;
    entry.properties.memory_format = static_cast<MemoryFormat>(below(3));
    entry.properties.pin_memory = below(2) == 0;
    size_t ndim = below(6);
    for (size_t d = 0; d < ndim; ++d) {
      entry.size.push_back(static_cast<int64_t>(below(2) ? below(200) : 1));
    }
    // Slices of dimension 0, of odd sizes.
    int64_t at = 0, end = ndim == 0 ? 1 : entry.size[0];
    do {
      int64_t take = std::min<int64_t>(end - at, 1 + static_cast<int64_t>(below(20)));
      for (size_t d = 0; d < ndim; ++d) entry.boxes.push_back(d == 0 ? at : 0);
      for (size_t d = 0; d < ndim; ++d) entry.boxes.push_back(d == 0 ? take : entry.size[d]);
      entry.locations.push_back(locate());
      at += take;
    } while (at < end);
  }
  if (below(3) > 0) {
    auto& data = m.planner_data.emplace();
    for (size_t i = m.entries.size(); i-- > 0;) {
      Path path = {m.entries[i].name};
      if (below(2)) path = {std::string("layer"), static_cast<int64_t>(i)};
      if (below(5) == 0) path.insert(path.end(), 3, std::string("deep"));
      data.emplace_back(m.entries[i].name, path);
    }
  }
  if (below(3) > 0) m.storage_meta.emplace().checkpoint_id = "s3://bucket/run";
  if (below(3) > 0) m.version = "1.0.0";
  return m;
}

std::string RoundTrips() {
  uint64_t seed = std::random_device()();
  print_message("seed %lu\n", static_cast<unsigned long>(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 12; ++round) {
    Metadata metadata = round == 0 ? PlainMetadata() : RandomMetadata(random);
    for (Dialect dialect : {Dialect::kDefault, Dialect::kTorch21}) {
      Result<std::string> bytes = EncodeMetadata(metadata, dialect);
      CHECK_OK(bytes);
      Result<Metadata> decoded = Decode(*bytes);
      CHECK_OK(decoded);
      Metadata expected = metadata;
      if (dialect == Dialect::kTorch21) {
        expected.storage_meta.reset();
        expected.version.reset();
      }
      std::string difference = Difference(expected, *decoded);
      if (!difference.empty()) return fmt::format("round {}: {}", round, difference);
      CHECK_THAT(decoded->checksummed);
      CHECK_THAT(decoded->notes.empty());
      for (size_t i = 0; i < metadata.entries.size(); ++i) {
        CHECK_THAT(decoded->Find(metadata.entries[i].name) == i);
      }
    }
  }
  return {};
}

std::string EveryFlipIsDetected() {
  for (Dialect dialect : {Dialect::kDefault, Dialect::kTorch21}) {
    Metadata metadata = PlainMetadata();
    if (dialect == Dialect::kDefault) {
      metadata.entries.erase(metadata.entries.begin() + 1, metadata.entries.begin() + 4);
      metadata.planner_data->resize(2);
      metadata.BuildIndex();
    }
    Result<std::string> bytes = EncodeMetadata(metadata, dialect);
    CHECK_OK(bytes);
    size_t flips = 0;
    for (size_t at = 0; at < bytes->size(); ++at) {
      // Every change of every byte once; single bits suffice the second time.
      for (int change = 1; change < 256; change += dialect == Dialect::kDefault ? 1 : change) {
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ change);
        bool detected = !Decode(*bytes).ok();
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ change);
        if (!detected) return fmt::format("byte {} changed by {:#x} goes unseen", at, change);
        ++flips;
      }
    }
    for (size_t size = 0; size < bytes->size(); ++size) {
      CHECK_THAT(!Decode(std::string_view(*bytes).substr(0, size)).ok());
    }
    CHECK_CODE(Decode(*bytes + "x"), Code::kCorrupt);
    CHECK_CODE(Decode(*bytes + bytes->substr(bytes->size() - kTrailerSize)), Code::kCorrupt);
    print_message("%zu single-byte changes, all detected\n", flips);
  }
  return {};
}

// Flips inside a file without a checksum may go unseen; they must not do harm.
std::string FlipsInStockFilesDoNoHarm() {
  std::string bytes = ReadFixture("metadata/protocol4.metadata");
  size_t seen = 0, unseen = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      Result<Metadata> decoded = Decode(damaged);
      if (!decoded.ok() || !Difference(PlainMetadata(), *decoded).empty()) {
        ++seen;
      } else {
        ++unseen;
      }
    }
  }
  print_message("%zu flips changed what was read, %zu did not\n", seen, unseen);
  CHECK_THAT(seen > unseen);
  return {};
}

std::string TrailerWithoutAnnouncement() {
  std::string stock = ReadFixture("metadata/protocol4.metadata");
  AppendTrailer(Crc32(0, AsBytes(stock)), stock.size(), &stock);
  CHECK_CODE(Decode(stock), Code::kCorrupt);
  return {};
}

// A file in protocol 4, put together by hand. Each part writes one value.
struct Parts {
  using Writer = pickle::Writer;
  using Part = std::function<void(Writer&)>;
  static constexpr std::string_view kModule = "torch.distributed.checkpoint.metadata";

  static void Numbers(Writer& w, const Shape& numbers) {
    w.Global("torch", "Size");
    w.Mark();
    for (int64_t number : numbers) w.Int(number);
    w.TupleFromMark();
    w.Tuple1();
    w.Reduce();
  }
  static void Object(Writer& w, std::string_view module, std::string_view name,
                     std::vector<std::pair<std::string, Part>> fields) {
    w.Global(module, name);
    w.EmptyTuple();
    w.NewObject();
    w.EmptyDict();
    w.Mark();
    for (auto& [field, part] : fields) {
      w.String(field);
      part(w);
    }
    w.SetItems();
    w.Build();
  }

  Part size = [](Writer& w) { Numbers(w, {4}); };
  Part offsets = [](Writer& w) { Numbers(w, {0}); };
  Part sizes = [](Writer& w) { Numbers(w, {4}); };
  Part key_offset = [](Writer& w) { Numbers(w, {0}); };
  Part file_offset = [](Writer& w) { w.Int(0); };
  Part file_length = [](Writer& w) { w.Int(10); };
  Part item_crc = [](Writer& w) { w.Int(UINT32_MAX); };
  Part properties = [](Writer& w) {
    w.Global(kModule, "TensorProperties");
    w.EmptyTuple();
    w.NewObject();
    w.Mark();
    w.Global("torch", "float32");
    w.None();
    w.Bool(false);
    w.Int(0);
    w.Bool(false);
    w.TupleFromMark();
    w.Build();
  };
  Part planner_data = [](Writer& w) { w.None(); };
  Part entries_extra = nullptr;

  std::string Build() const {
    std::string out;
    Writer w(4, &out);
    Object(w, kModule, "Metadata",
           {{"state_dict_metadata",
             [&](Writer&) {
               w.EmptyDict();
               w.String("t");
               Object(w, kModule, "TensorStorageMetadata",
                      {{"properties", properties}, {"size", size}, {"chunks", [&](Writer&) {
                                                                      w.EmptyList();
                                                                      Object(w, kModule,
                                                                             "ChunkStorageMetadata",
                                                                             {{"offsets", offsets},
                                                                              {"sizes", sizes}});
                                                                      w.Append();
                                                                    }}});
               w.SetItem();
               if (entries_extra) entries_extra(w);
             }},
            {"planner_data", planner_data},
            {"storage_data", [&](Writer&) {
               w.EmptyDict();
               Object(w, kModule, "MetadataIndex",
                      {{"fqn", [](Writer& s) { s.String("t"); }}, {"offset", key_offset}});
               Object(w, "torch.distributed.checkpoint.filesystem", "_StorageInfo",
                      {{"relative_path", [](Writer& s) { s.String("f"); }},
                       {"offset", file_offset},
                       {"length", file_length},
                       {"_crc32", item_crc}});
               w.SetItem();
             }}});
    w.Stop();
    return out;
  }
};

std::string HandMadeFileIsRead() {
  Result<Metadata> decoded = Decode(Parts().Build());
  CHECK_OK(decoded);
  CHECK_THAT(decoded->entries.size() == 1 && !decoded->entries[0].locations[0].missing());
  CHECK_THAT(!decoded->planner_data && !decoded->storage_meta && !decoded->version);
  CHECK_THAT(decoded->entries[0].locations[0].crc32 == UINT32_MAX);
  return {};
}

template <typename Change>
Result<Metadata> Changed(Change&& change) {
  Parts parts;
  change(parts);
  std::string bytes = parts.Build();
  return Decode(bytes);
}

std::string ImpossibleNumbersAreRefused() {
  using W = pickle::Writer;
  auto numbers = [](Shape n) { return [n](W& w) { Parts::Numbers(w, n); }; };
  CHECK_CODE(Changed([&](Parts& p) { p.size = numbers({-1}); }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.sizes = numbers({-4}); }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.offsets = numbers({-4}); }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.sizes = numbers({4, 4}); }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.offsets = numbers({}); }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) {
               p.offsets = numbers({0, 0});
               p.sizes = numbers({});
             }),
             Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.offsets = numbers({INT64_MAX}); }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.size = numbers(Shape(65, 1)); }), Code::kLimit);
  CHECK_CODE(Changed([&](Parts& p) { p.size = numbers({INT64_MAX, 3}); }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.size = [](W& w) { w.None(); }; }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.properties = [](W& w) { w.None(); }; }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.file_offset = [](W& w) { w.Int(-1); }; }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.file_length = [](W& w) { w.Int(-1); }; }), Code::kCorrupt);
  Result<Metadata> big = Changed([&](Parts& p) {
    p.file_length = [](W& w) { w.BigInt(std::string("\0\0\0\0\0\0\0\x80\0", 9)); };
  });
  CHECK_CODE(big, Code::kCorrupt);
  CHECK_THAT(big.status().message().find("t: the length in its file") != std::string::npos);
  CHECK_CODE(Changed([&](Parts& p) {
               p.file_offset = [](W& w) { w.Int(INT64_MAX); };
               p.file_length = [](W& w) { w.Int(1); };
             }),
             Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.item_crc = [](W& w) { w.Int(-1); }; }), Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.item_crc = [](W& w) { w.Int(int64_t{1} << 32); }; }),
             Code::kCorrupt);
  CHECK_CODE(Changed([&](Parts& p) { p.item_crc = [](W& w) { w.None(); }; }), Code::kCorrupt);
  return {};
}

std::string OddOffsetsInKeys() {
  using W = pickle::Writer;
  Result<Metadata> none = Changed([](Parts& p) { p.key_offset = [](W& w) { w.None(); }; });
  CHECK_OK(none);
  CHECK_THAT(!none->entries[0].locations[0].missing());  // the only chunk there is
  Result<Metadata> wrong =
      Changed([](Parts& p) { p.key_offset = [](W& w) { Parts::Numbers(w, {3}); }; });
  CHECK_OK(wrong);
  CHECK_THAT(wrong->entries[0].locations[0].missing());
  CHECK_THAT(HasNote(*wrong, "an item of t that is none of its chunks"));
  return {};
}

// One shared object named again and again must not become memory without end.
std::string SharedObjectsAreCounted() {
  using W = pickle::Writer;
  std::string bytes;
  W w(4, &bytes);
  Parts::Object(w, Parts::kModule, "Metadata",
                {{"state_dict_metadata", [](W& s) {
                    s.EmptyDict();
                    s.String("t");
                    Parts::Object(
                        s, Parts::kModule, "TensorStorageMetadata",
                        {{"properties", Parts().properties},
                         {"size", [](W& t) { Parts::Numbers(t, Shape(64, 1)); }},
                         {"chunks", [](W& t) {
                            t.EmptyList();
                            t.Mark();
                            Parts::Object(
                                t, Parts::kModule, "ChunkStorageMetadata",
                                {{"offsets", [](W& u) { Parts::Numbers(u, Shape(64, 0)); }},
                                 {"sizes", [](W& u) { Parts::Numbers(u, Shape(64, 1)); }}});
                            uint32_t memo = t.Memoize();
                            for (int i = 0; i < 100000; ++i) t.Get(memo);
                            t.Appends();
                          }}});
                    s.SetItem();
                  }}});
  w.Stop();
  CHECK_CODE(Decode(bytes), Code::kLimit);
  return {};
}

std::string NotMetadata() {
  using W = pickle::Writer;
  std::string bytes;
  W w(4, &bytes);
  w.Global("os", "system");
  w.String("true");
  w.Tuple1();
  w.Reduce();
  w.Stop();
  Result<Metadata> decoded = Decode(bytes);
  CHECK_CODE(decoded, Code::kCorrupt);
  CHECK_THAT(decoded.status().message() ==
             "file: the file holds os.system(...), not a Metadata object");
  CHECK_CODE(Decode(""), Code::kCorrupt);
  CHECK_THAT(!Decode("not a pickle").ok());
  return {};
}

std::string UnencodableIsRefused() {
  Metadata name = PlainMetadata();
  name.entries[0].name = "\xff";
  CHECK_CODE(EncodeMetadata(name, Dialect::kDefault), Code::kInvalidArgument);
  Metadata dtype = PlainMetadata();
  dtype.entries[0].unknown_dtype = "a list";
  CHECK_CODE(EncodeMetadata(dtype, Dialect::kDefault), Code::kInvalidArgument);
  dtype.entries[0].unknown_dtype = "float9";
  Result<std::string> kept = EncodeMetadata(dtype, Dialect::kDefault);
  CHECK_OK(kept);
  CHECK_THAT(Decode(*kept)->entries[0].unknown_dtype == "float9");
  Metadata file = PlainMetadata();
  file.entries[0].locations[0].file = 9;
  CHECK_CODE(EncodeMetadata(file, Dialect::kDefault), Code::kInvalidArgument);
  Metadata path = PlainMetadata();
  path.storage_meta->checkpoint_id = "/a\xff/\xc3\xa4";
  Result<std::string> escaped = EncodeMetadata(path, Dialect::kDefault);
  CHECK_OK(escaped);
  CHECK_THAT(Decode(*escaped)->storage_meta->checkpoint_id == "/a\xed\xb3\xbf/\xc3\xa4");
  return {};
}

std::string CopiesFindTheirOwn() {
  std::optional<Metadata> first = PlainMetadata();
  Metadata copy = *first;
  first.reset();
  CHECK_THAT(copy.Find("step") == size_t{4} && !copy.Find("nothing"));
  copy.entries.pop_back();
  CHECK_THAT(copy.Find("step") == size_t{4} && !copy.Find(""));
  return {};
}

std::string MergesRanks() {
  Metadata a, b;
  a.files = {"__0_0.distcp"};
  b.files = {"__1_0.distcp"};
  b.transform_sets.push_back({"stream.zstd/1"});
  auto add = [](Metadata* m, std::string name, Shape size, std::vector<int64_t> boxes,
                size_t chunks, uint32_t transforms) {
    Entry& entry = m->entries.emplace_back();
    entry.name = std::move(name);
    entry.kind = EntryKind::kTensor;
    entry.size = std::move(size);
    entry.boxes = std::move(boxes);
    for (size_t i = 0; i < chunks; ++i) entry.locations.push_back({0, transforms, 100 * i, 10});
  };
  add(&a, "sharded", {4}, {0, 2}, 1, 0);
  add(&b, "sharded", {4}, {2, 2}, 1, 1);
  add(&a, "whole", {3}, {0, 3}, 1, 0);
  add(&b, "whole", {3}, {0, 3}, 1, 1);
  add(&a, "scalar", {}, {}, 1, 0);
  add(&b, "scalar", {}, {}, 1, 0);
  a.planner_data.emplace().emplace_back("sharded", Path{std::string("sharded")});
  b.planner_data.emplace().emplace_back("sharded", Path{std::string("other")});
  b.planner_data->emplace_back("only", Path{std::string("only")});
  b.notes = {"odd"};
  Result<Metadata> merged = MergeRankMetadata({a, b});
  CHECK_OK(merged);
  CHECK_THAT(merged->entries.size() == 3);
  const Entry& sharded = merged->entries[0];
  CHECK_THAT(sharded.boxes == (Shape{0, 2, 2, 2}));
  CHECK_THAT(merged->files[sharded.locations[1].file] == "__1_0.distcp");
  CHECK_THAT(merged->transform_sets[sharded.locations[1].transforms].size() == 1);
  CHECK_THAT(merged->entries[1].chunk_count() == 1 && merged->entries[2].chunk_count() == 1);
  CHECK_THAT(merged->files[merged->entries[1].locations[0].file] == "__0_0.distcp");
  CHECK_THAT(merged->planner_data->size() == 2);
  CHECK_THAT((*merged->planner_data)[0].second == Path{std::string("sharded")});
  CHECK_THAT(merged->notes == std::vector<std::string>{"rank 1: odd"});
  b.entries[1].size = {5};
  CHECK_CODE(MergeRankMetadata({a, b}), Code::kMismatch);
  b.entries[1].kind = EntryKind::kBytes;
  CHECK_CODE(MergeRankMetadata({a, b}), Code::kMismatch);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(EveryProtocol),
      DCP_CHECKED(OddFilesStayReadable),
      DCP_CHECKED(RoundTrips),
      DCP_CHECKED(EveryFlipIsDetected),
      DCP_CHECKED(FlipsInStockFilesDoNoHarm),
      DCP_CHECKED(TrailerWithoutAnnouncement),
      DCP_CHECKED(HandMadeFileIsRead),
      DCP_CHECKED(ImpossibleNumbersAreRefused),
      DCP_CHECKED(OddOffsetsInKeys),
      DCP_CHECKED(SharedObjectsAreCounted),
      DCP_CHECKED(NotMetadata),
      DCP_CHECKED(UnencodableIsRefused),
      DCP_CHECKED(CopiesFindTheirOwn),
      DCP_CHECKED(MergesRanks),
  };
  return cmocka_run_group_tests_name("metadata/codec", tests, nullptr, nullptr);
}
