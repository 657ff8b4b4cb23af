// Tensors and items written in every way there is must mean the same, folded or not, whatever was
// folded before them.
#include <cstring>

#include "metadata/codec.h"
#include "metadata/folded_rows.h"
#include "support/cmocka.h"
#include "support/far_source.h"
#include "unit/metadata/sample.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

using namespace std::string_literals;

std::string Text(const std::string& text) {
  return "\x8c" + std::string(1, static_cast<char>(text.size())) + text;
}
std::string Kept(const std::string& value) { return value + "\x94" + "0"; }
std::string Class(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

// The memo of every file here, by index.
std::string Head() {
  std::string head = "\x80\x04";
  for (const char* name : {"Metadata", "TensorStorageMetadata", "TensorProperties"}) {
    head += Kept(Class("m", name));  // 0 to 2
  }
  head += Kept(Class("torch", "float32"));
  head += Kept(Class("torch.serialization", "_get_layout") + Text("torch.strided") + "\x85R");
  head += Kept(Class("m", "_MEM_FORMAT_ENCODING") + "K\x00\x85R"s);
  head += Kept(Class("torch", "Size"));
  head += Kept(Class("m", "ChunkStorageMetadata"));
  for (const char* name : {"properties", "size", "chunks", "offsets", "sizes"}) {
    head += Kept(Text(name));  // 8 to 12
  }
  head += Kept(Class("m", "MetadataIndex")) + Kept(Class("m", "_StorageInfo"));
  for (const char* name : {"fqn", "offset", "index", "relative_path", "length", "__0_0.distcp"}) {
    head += Kept(Text(name));  // 15 to 20
  }
  head += Kept(Class("torch", "bfloat16")) + Kept(Class("torch", "no_such_type"));
  head += Kept("K\x04K\x06\x86") + Kept(
                                       "]K\x04"
                                       "aK\x06"
                                       "a");
  return head + Kept("h\x02)\x81(h\x15h\x04\x88h\x05\x89tb");
}
constexpr char kNext = 26;  // memo index

const std::string kSize = "h\x06K\x04K\x06\x86\x85R"s;
const std::string kOffsets = "h\x06K\x00K\x00\x86\x85R"s;
const std::string kProperties = "h\x02)\x81(h\x03h\x04\x89h\x05\x89tb"s;
const std::string kChunk = "h\x07)\x81}(h\x0b" + kOffsets + "h\x0c" + kSize + "ub";
const std::string kTensor =
    "h\x01)\x81}(h\x08" + kProperties + "h\x09" + kSize + "h\x0a](" + kChunk + "eub";
const std::string kStored = "h\x0e)\x81}(h\x12h\x14h\x10K\x05h\x13M\x00\x01ub"s;
std::string Index(const std::string& name) {
  return "h\x0d)\x81}(h\x0f" + Text(name) + "h\x11K\x00h\x10"s + kOffsets + "ub";
}

// A part of what is written, and what is written in its place.
struct Variation {
  const char* what;
  std::string part;
  std::string instead;
  bool whole;  // whether the tensor is folded all the same
};

const std::string kBad = "h\x06J\xff\xff\xff\xffK\x06\x86\x85R"s;

const Variation kTensors[] = {
    {"as it is", "h", "h", true},
    {"wider", kSize, "h\x06M\x04\x00J\x06\x00\x00\x00\x86\x85R"s, true},
    {"longs", kSize, "h\x06\x8a\x01\x04\x8a\x05\x06\x00\x00\x00\x00\x86\x85R"s, true},
    {"a long of four", kSize, "h\x06\x8b\x01\x00\x00\x00\x04K\x06\x86\x85R"s, false},
    {"decimals", kSize, "h\x06I4\nL6L\n\x86\x85R"s, false},
    {"negative", kSize, kBad, false},
    {"past 2^63", kSize, "h\x06\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00K\x06\x86\x85R"s, false},
    {"a volume past 2^63", kSize,
     "h\x06\x8a\x05\x00\x00\x00\x00\x01\x8a\x05\x00\x00\x00\x00\x01\x86\x85R"s, true},
    {"chunk past 2^63", kOffsets, "h\x06\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x00\x86\x85R"s,
     true},
    {"a marked tuple", kSize, "h\x06(K\x04K\x06t\x85R"s, true},
    {"bools for numbers", kSize, "h\x06\x88\x88\x86\x85R"s, false},
    {"tuples memoised", kSize, "h\x06K\x04K\x06\x86\x94\x85\x94R\x94"s, true},
    {"tuples memoised by BINPUT", kSize, "h\x06K\x04K\x06\x86q\x1a\x85q\x1bRq\x1c"s, true},
    {"memoised elsewhere", kSize, "h\x06K\x04K\x06\x86q\x30\x85R"s, false},
    {"no torch.Size", kSize, "h\x07K\x04K\x06\x86\x85R"s, false},
    {"a size put earlier", kSize, "h\x17"s, true},
    {"a list", kSize, "h\x18"s, false},
    {"a list of its own", kSize, "](K\x04K\x06"s + "e", false},
    {"a tuple", kSize, "K\x04K\x06\x86"s, false},
    {"a text", kSize, Text("x"), false},
    {"one dimension", kSize, "h\x06K\x04\x85\x85R"s, false},
    {"no dimension", kSize, "h\x06)\x85R"s, false},
    {"three dimensions", kSize, "h\x06K\x04K\x06K\x01\x87\x85R"s, false},
    {"offsets of one dimension", kOffsets, "h\x06K\x00\x85\x85R"s, false},
    {"an index not there", kSize, "h\x70"s, false},

    {"other properties", kProperties, "h\x02)\x81(h\x15h\x04\x88h\x05\x88tb"s, true},
    {"wide properties", kProperties, "j\x02\x00\x00\x00)\x81(h\x03h\x04\x89h\x05\x89tb"s, true},
    {"unknown dtype", kProperties, "h\x02)\x81(h\x16h\x04\x89h\x05\x89tb"s, true},
    {"dtype of no kind", kProperties, "h\x02)\x81(Nh\x04\x89h\x05\x89tb"s, true},
    {"layout of no kind", kProperties, "h\x02)\x81(h\x03h\x08\x89h\x05\x89tb"s, true},
    {"format of no kind", kProperties, "h\x02)\x81(h\x03h\x04\x89h\x08\x89tb"s, true},
    {"a number for a format", kProperties, "h\x02)\x81(h\x03h\x04\x89K\x01\x89tb"s, false},
    {"six properties", kProperties, "h\x02)\x81(h\x03h\x04\x89h\x05\x89Ntb"s, true},
    {"six properties, one a text", kProperties, "h\x02)\x81(h\x03h\x04\x89h\x05\x89\x8c\x01xtb"s,
     true},
    {"a stride", kProperties, "h\x02)\x81(h\x03h\x04\x89h\x05\x89K\x06K\x01\x86\x94tb"s, true},
    {"a stride of one", kProperties, "h\x02)\x81(h\x03h\x04\x89h\x05\x89M\x06\x01\x85tb"s, true},
    {"a stride of four", kProperties, "h\x02)\x81(h\x03h\x04\x89h\x05\x89(K\x06K\x01K\x01K\x01ttb"s,
     true},
    {"a stride for a dtype", kProperties, "h\x02)\x81(K\x01\x85h\x04\x89h\x05\x89tb"s, false},
    {"four properties", kProperties, "h\x02)\x81(h\x03h\x04\x89h\x05tb"s, false},
    {"properties of any class", kProperties, "h\x07)\x81(h\x03h\x04\x89h\x05\x89tb"s, true},
    {"properties of no class", kProperties, "h\x08)\x81(h\x03h\x04\x89h\x05\x89tb"s, false},
    {"properties put earlier", kProperties, "h\x19"s, true},
    {"properties as fields", kProperties,
     "h\x02)\x81}(" + Text("dtype") + "h\x15" + Text("layout") + "h\x04ub", false},
    {"properties memoised", kProperties, "h\x02)\x81\x94(h\x03h\x04\x89h\x05\x89t\x94"s + "b",
     true},
    {"no properties", kProperties, "N", true},

    {"a field more", "h\x09" + kSize, "h\x09" + kSize + "h\x0bN", false},
    {"a field less", "h\x09" + kSize, "", false},
    {"a field twice", "h\x09" + kSize, "h\x09" + kSize + "h\x09" + kBad, false},
    {"a name in the place", "h\x09" + kSize, Text("size") + kSize, true},
    {"another name in the place", "h\x09" + kSize, Text("sign") + kSize, false},
    {"another order", "h\x08" + kProperties + "h\x09" + kSize,
     "h\x09" + kSize + "h\x08" + kProperties, true},

    {"no chunks", "](" + kChunk + "e", "]", true},
    {"no chunks in a batch", "](" + kChunk + "e", "](e", true},
    {"appended", "](" + kChunk + "e", "]" + kChunk + "a", true},
    {"two chunks", "](" + kChunk + "e", "](" + kChunk + kChunk + "e", true},
    {"three chunks", "](" + kChunk + "e", "](" + kChunk + kChunk + kChunk + "e", true},
    {"nine chunks", "](" + kChunk + "e",
     "](" + kChunk + kChunk + kChunk + kChunk + kChunk + kChunk + kChunk + kChunk + kChunk + "e",
     false},
    {"two batches", "](" + kChunk + "e", "](" + kChunk + "e(" + kChunk + "e", false},
    {"a list memoised", "](", "]\x94(", true},
    {"a tuple of chunks", "](" + kChunk + "e", kChunk + "\x85", false},
    {"a list for a tuple", "](" + kChunk + "e", "h\x18", false},
    {"chunks of another class", "h\x07)\x81}(", "h\x02)\x81}(", false},
    {"a chunk without sizes", "h\x0c" + kSize + "ube", "ube", false},
    {"a chunk with a field more", "h\x0c" + kSize + "ube", "h\x0c" + kSize + "h\x08Nube", false},
    {"a chunk of other order", "h\x0b" + kOffsets + "h\x0c" + kSize,
     "h\x0c" + kSize + "h\x0b" + kOffsets, true},
    {"a chunk with names", "h\x0b" + kOffsets, Text("offsets") + kOffsets, true},
    {"a chunk with the size",
     "h\x09" + kSize + "h\x0a](h\x07)\x81}(h\x0b" + kOffsets + "h\x0c" + kSize,
     "h\x09" + kSize + "\x94h\x0a](h\x07)\x81}(h\x0b" + kOffsets + "h\x0ch" + kNext, true},
    {"a list of numbers", "](" + kChunk + "e", "](K\x01K\x02"s + "e", false},

    {"another class", "h\x01)\x81", "h\x00)\x81"s, false},
    {"memoised", "h\x01)\x81}(", "h\x01)\x81\x94}\x94(", true},
    {"memoised by LONG_BINPUT", "h\x01)\x81}(", "h\x01)\x81r\x1a\x00\x00\x00}r\x1b\x00\x00\x00("s,
     true},
    {"a frame within", "h\x09" + kSize, "\x95\x01\x00\x00\x00\x00\x00\x00\x00h\x09"s + kSize,
     false},
    {"arguments", "h\x01)\x81}(", "h\x01N\x85\x81}(", false},
    {"a mark less", "h\x01)\x81}(", "h\x01)\x81}", false},
    {"popped", "eub", "eubNb", false},
};

const Variation kItems[] = {
    {"as it is", "h", "h", true},
    {"wider", "K\x05", "J\x05\x00\x00\x00"s, true},
    {"a long", "K\x05", "\x8a\x06\x05\x00\x00\x00\x00\x01"s, true},
    {"negative", "K\x05", "J\xff\xff\xff\xff"s, false},
    {"past 2^63", "K\x05", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"s, false},
    {"a path of its own", "h\x14", Text("__1_0.distcp"), true},
    {"a path of its own, memoised", "h\x14", Text("__1_0.distcp") + "\x94", true},
    {"no path", "h\x14", "N", false},
    {"a checksum", "M\x00\x01"s, "M\x00\x01"s + Text("_crc32") + "\x8a\x05\x01\x02\x03\xff\x00"s,
     true},
    {"a checksum too long", "M\x00\x01"s,
     "M\x00\x01"s + Text("_crc32") + "\x8a\x05\x01\x02\x03\xff\x01"s, false},
    {"no transforms", "M\x00\x01"s, "M\x00\x01"s + Text("transform_descriptors") + "N", true},
    {"a list of transforms", "M\x00\x01"s,
     "M\x00\x01"s + Text("transform_descriptors") + "]" + Text("x") + "a", false},
    {"no hint", "K\x00"s + "h\x10", "Nh\x10", true},
    {"another hint", "K\x00"s + "h\x10", "K\x01h\x10", true},
    {"no offset", kOffsets, "N", true},
    {"another offset", kOffsets, kSize, true},
    {"an offset of one dimension", kOffsets, "h\x06K\x00\x85\x85R"s, true},
    {"an offset put earlier", kOffsets, "h\x17", true},
    {"a list for an offset", kOffsets, "h\x18", false},
    {"no name", "h\x0f", "h\x10", false},
    {"a field more", "ub", "h\x08Nub", false},
    {"memoised", ")\x81}(", ")\x81\x94}\x94(", true},
    {"memoised by BINPUT", ")\x81}(", ")\x81q\x1a}q\x1b(", true},
};

std::string Replaced(std::string text, const Variation& variation) {
  const size_t at = text.find(variation.part);
  return at == std::string::npos ? text
                                 : text.replace(at, variation.part.size(), variation.instead);
}

struct Item {
  std::string tensor = kTensor;
  const Variation* stored = nullptr;
};

std::string File(const std::vector<Item>& items) {
  std::string file = Head() + "h" + '\0' + ")\x81}(" + Text("state_dict_metadata") + "}(";
  for (size_t i = 0; i < items.size(); ++i) file += Text(fmt::format("t{}", i)) + items[i].tensor;
  file += "u" + Text("storage_data") + "}(";
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string item = Index(fmt::format("t{}", i)) + kStored;
    file += items[i].stored == nullptr ? item : Replaced(item, *items[i].stored);
  }
  return file + "uub.";
}

std::string DifferenceOf(const Result<Metadata>& a, const Result<Metadata>& b) {
  if (!a.ok() || !b.ok()) {
    const std::string x = a.ok() ? "fine" : a.status().ToString();
    const std::string y = b.ok() ? "fine" : b.status().ToString();
    return x == y ? "" : x + " / " + y;
  }
  std::string difference = EntryDifference(*a, *b);
  if (!difference.empty()) return difference;
  for (size_t i = 0; i < a->entries.size(); ++i) {
    CHECK_THAT(a->entries[i].boxes == b->entries[i].boxes);
    CHECK_THAT(a->entries[i].unknown_dtype == b->entries[i].unknown_dtype);
    CHECK_THAT(a->Find(a->entries[i].name) == i && b->Find(a->entries[i].name) == i);
  }
  CHECK_THAT(a->files == b->files && a->transform_sets == b->transform_sets);
  if (a->notes != b->notes) {
    return fmt::format("{} / {}", fmt::join(a->notes, "; "), fmt::join(b->notes, "; "));
  }
  return {};
}

std::string EitherWay(std::string_view file) {
  const Result<Metadata> unfolded = DecodeMetadata(AsBytes(file), "file", Folding::kNone);
  std::string difference = DifferenceOf(DecodeMetadata(AsBytes(file), "file"), unfolded);
  if (!difference.empty()) return difference;
  return DifferenceOf(DecodeMetadata(FarSource(file), "file"), unfolded);
}

// How many of the file's tensors and items are folded. Behind the input lies as much as a pattern
// may look at.
size_t FoldedCount(const std::string& file, bool items) {
  FoldedRows rows(file.size());
  Result<pickle::Graph> graph = pickle::Parse(AsBytes(file), pickle::Limits(), &rows);
  if (!graph.ok()) return SIZE_MAX;
  const pickle::NodeId state = graph->State(graph->root());
  const pickle::NodeId dict = graph->Pairs(state)[items ? 3 : 1];
  size_t count = 0;
  for (const pickle::NodeId node : graph->Pairs(dict)) {
    FoldedRows::Chunk chunk;
    const std::optional<uint32_t> row = graph->Folded(node);
    if (row && !rows.Read(*row, &chunk)) ++count;
  }
  return count;
}

std::string EveryTensor() {
  CHECK_OK(DecodeMetadata(AsBytes(File(std::vector<Item>(4))), "file"));
  for (const Variation& v : kTensors) {
    const std::string tensor = Replaced(kTensor, v);
    if (&v != kTensors && tensor == kTensor) return fmt::format("{}: nothing is replaced", v.what);
    for (size_t place = 0; place < 3; ++place) {
      std::vector<Item> items(4);
      items[place].tensor = tensor;
      const std::string difference = EitherWay(File(items));
      if (!difference.empty()) return fmt::format("{} at {}: {}", v.what, place, difference);
      const size_t folded = FoldedCount(File(items), /*items=*/false);
      // Where the memo is out of order nothing is read by patterns any more.
      const bool disordered = std::string_view(v.what) == "memoised elsewhere";
      if (&v == kTensors && folded == SIZE_MAX) return "the plain file is no pickle";
      if (folded != SIZE_MAX && folded < 4 - (v.whole ? 0 : 1) && !disordered) {
        return fmt::format("{} at {}: {} of 4 are folded", v.what, place, folded);
      }
      if (!v.whole && folded == 4) return fmt::format("{} at {}: folded", v.what, place);
    }
  }
  return {};
}

std::string EveryTensorAfterEvery() {
  for (const Variation& a : kTensors) {
    for (const Variation& b : kTensors) {
      std::vector<Item> items(5);
      items[0].tensor = items[3].tensor = Replaced(kTensor, a);
      items[1].tensor = items[4].tensor = Replaced(kTensor, b);
      const std::string difference = EitherWay(File(items));
      if (!difference.empty()) return fmt::format("{}, {}: {}", a.what, b.what, difference);
    }
  }
  return {};
}

std::string EveryItemAfterEvery() {
  for (const Variation& a : kItems) {
    for (const Variation& b : kItems) {
      std::vector<Item> items(5);
      items[0].stored = items[3].stored = &a;
      items[1].stored = items[4].stored = &b;
      const std::string difference = EitherWay(File(items));
      if (!difference.empty()) return fmt::format("{}, {}: {}", a.what, b.what, difference);
    }
    std::vector<Item> items(4);
    items[2].stored = &a;
    const size_t folded = FoldedCount(File(items), /*items=*/true);
    if (folded != SIZE_MAX && (folded == 8) != a.whole) {
      return fmt::format("{}: {} of 8 are folded", a.what, folded);
    }
  }
  return {};
}

std::string CutAnywhere() {
  std::vector<Item> items(3);
  items[1].tensor = Replaced(kTensor, kTensors[1]);
  items[2].stored = &kItems[2];
  const std::string file = File(items);
  for (size_t size = 0; size <= file.size(); ++size) {
    const std::string difference = EitherWay(std::string_view(file).substr(0, size));
    if (!difference.empty()) return fmt::format("cut at {}: {}", size, difference);
  }
  return {};
}

std::string AnyByteChanged() {
  const std::string file = File(std::vector<Item>(3));
  for (size_t at = Head().size(); at < file.size(); ++at) {
    for (const int change : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string changed = file;
      changed[at] = static_cast<char>(changed[at] ^ change);
      const std::string difference = EitherWay(changed);
      if (!difference.empty()) return fmt::format("byte {} ^ {}: {}", at, change, difference);
    }
  }
  return {};
}

// What is changed after it was put into an object.
std::string ChangedLater() {
  const std::string tail = "uub.";
  const auto file = [&](const std::string& tensor, const std::string& after) {
    std::string made = File({{tensor}, {}});
    return made.substr(0, made.size() - tail.size()) + "u" + after + "ub.";
  };
  const std::string later = Text("x") + "h" + kNext;
  const std::string files[] = {
      // The state, a list of chunks, a list for a size, the tuple's object.
      file(Replaced(kTensor, {"", "}(h\x08", "}\x94(h\x08", false}), later + "(h\x09Nu"),
      file(Replaced(kTensor, {"", "](", "]\x94(", false}), later + "(K\x01K\x02" + "e"),
      file(Replaced(kTensor, {"", kSize, "]\x94(K\x04K\x06" + "e"s, false}), later + "K\x07" + "a"),
      file(Replaced(kTensor, {"", kSize, "h\x18", false}), Text("x") + "h\x18K\x07" + "a"),
      file(Replaced(kTensor, {"", kOffsets, "h\x18", false}), Text("x") + "h\x18K\x07" + "a"),
      file(Replaced(kTensor, {"", kProperties, "h\x19", false}), Text("x") + "h\x19(NNu"),
      file(Replaced(kTensor, {"", "h\x01)\x81}(", "h\x01)\x81\x94}(", false}), later + "(NNu"),
      file(Replaced(kTensor, {"", "h\x07)\x81}(", "h\x07)\x81}\x94(", false}), later + "(h\x0bNu"),
  };
  for (size_t i = 0; i < std::size(files); ++i) {
    const std::string difference = EitherWay(files[i]);
    if (!difference.empty()) return fmt::format("{}: {}", i, difference);
  }
  return {};
}

// Planner data in the order of the entries, in another, with names twice and with others.
std::string PlannerData() {
  const std::string file = File(std::vector<Item>(3));
  for (const std::string order :
       {"012", "021", "0112", "0012", "01", "0123", "3012", "01x2", "22"}) {
    std::string data = Text("planner_data") + "}(";
    for (const char c : order) {
      data += c == 'x' ? Text("t2") + "N" : Text(std::string("t") + c) + Text("p") + "\x85";
    }
    const std::string whole = file.substr(0, file.size() - 3) + data + "uub.";
    Result<Metadata> decoded = DecodeMetadata(AsBytes(whole), "file");
    CHECK_OK(decoded);
    CHECK_THAT(decoded->planner_data.has_value());
    std::vector<std::string> want, got;
    for (const char c : order) {
      const std::string name = std::string("t") + c;
      if (c != 'x' && std::find(want.begin(), want.end(), name) == want.end()) want.push_back(name);
    }
    for (const auto& [name, path] : *decoded->planner_data) {
      got.push_back(name);
      CHECK_THAT(path == Path{"p"});
    }
    if (got != want) return fmt::format("{}: got {}", order, fmt::join(got, " "));
  }
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(EveryTensor),         DCP_CHECKED(EveryTensorAfterEvery),
      DCP_CHECKED(EveryItemAfterEvery), DCP_CHECKED(CutAnywhere),
      DCP_CHECKED(AnyByteChanged),      DCP_CHECKED(ChangedLater),
      DCP_CHECKED(PlannerData),
  };
  return cmocka_run_group_tests_name("metadata/tensor_fold", tests, nullptr, nullptr);
}
