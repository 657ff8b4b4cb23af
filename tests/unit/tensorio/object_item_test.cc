#include "tensorio/object_item.h"

#include <cmath>
#include <functional>
#include <limits>

#include "pickle/writer.h"
#include "support/cmocka.h"
#include "support/fixture_items.h"
#include "tensorio/records.h"
#include "zip/archive.h"

namespace dcp {
namespace {

std::string Hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

// Python's float.hex() without its cases that the fixtures do not have.
std::string FloatText(double value) {
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);
  if (mantissa == 0) return std::signbit(value) ? "-0x0.0p+0" : "0x0.0p+0";
  const auto bits = static_cast<uint64_t>(std::ldexp(std::fabs(mantissa), 53));
  return fmt::format("{}0x1.{:013x}p{:+}", value < 0 ? "-" : "", bits & ((uint64_t{1} << 52) - 1),
                     exponent - 1);
}

// The notation of tests/fixtures/items/index.tsv.
std::string CanonicalText(const Value& value) {
  auto join = [](const auto& items, auto text) {
    std::string out;
    for (const auto& item : items) out += (out.empty() ? "" : ",") + text(item);
    return out;
  };
  auto of = [](const ValuePtr& item) { return CanonicalText(*item); };
  int64_t number = 0;
  switch (value.kind) {
    case ValueKind::kNone:
      return "None";
    case ValueKind::kBool:
      return value.boolean ? "True" : "False";
    case ValueKind::kInt:
      return value.ToInt64(&number) ? "i" + std::to_string(number) : "i" + ToString(value);
    case ValueKind::kFloat:
      return "f" + FloatText(value.real);
    case ValueKind::kString:
      return "s" + Hex(value.text);
    case ValueKind::kBytes:
      return "b" + Hex(value.text);
    case ValueKind::kSize:
      return "Size[" + join(value.size, [](int64_t n) { return std::to_string(n); }) + "]";
    case ValueKind::kDType:
      return value.text;
    case ValueKind::kList:
      return "[" + join(value.items, of) + "]";
    case ValueKind::kTuple:
      return "(" + join(value.items, of) + ")";
    case ValueKind::kDict:
    case ValueKind::kOrderedDict:
      return "{" +
             join(value.entries, [&](const auto& e) { return of(e.first) + ":" + of(e.second); }) +
             "}";
    default:
      return "?";
  }
}

Result<ValuePtr> Decode(std::string_view bytes, bool* checked = nullptr,
                        ObjectLimits limits = ObjectLimits()) {
  MemorySource source(AsBytes(bytes));
  return DecodeObjectItem(source, limits, checked);
}

void EveryStockObjectIsRead(void**) {
  int count = 0;
  int wrong = 0;
  for (const FixtureItem& item : FixtureItems()) {
    if (item.tensor) continue;
    ++count;
    bool checked = false;
    Result<ValuePtr> value = Decode(item.Bytes(), &checked);
    std::string text = value.ok() ? CanonicalText(**value) : value.status().ToString();
    if (checked && text == item.value) continue;
    print_message("%s at %lu: %s\n", item.file.c_str(), item.offset, text.c_str());
    ++wrong;
  }
  assert_true(count > 100);
  assert_int_equal(wrong, 0);
}

void EveryStockObjectSurvivesRewriting(void**) {
  int count = 0;
  int wrong = 0;
  for (const FixtureItem& item : FixtureItems()) {
    if (item.tensor) continue;
    ++count;
    Result<ValuePtr> value = Decode(item.Bytes());
    Result<std::string> again = value.ok() ? EncodeObjectItem(**value) : value.status();
    Result<ValuePtr> second = again.ok() ? Decode(*again) : again.status();
    if (!second.ok() || !Equal(**value, **second)) ++wrong;
  }
  assert_true(count > 100);
  assert_int_equal(wrong, 0);
}

std::shared_ptr<Value> Make(ValueKind kind, std::string text = "", std::string name = "") {
  auto value = std::make_shared<Value>();
  value->kind = kind;
  value->text = std::move(text);
  value->name = std::move(name);
  return value;
}

ValuePtr Call(std::string global, std::vector<ValuePtr> arguments, ValuePtr state = nullptr) {
  auto value = Make(ValueKind::kConstructed);
  auto constructed = std::make_shared<Constructed>();
  constructed->global = std::move(global);
  constructed->arguments = Value::Sequence(ValueKind::kTuple, std::move(arguments));
  constructed->state = std::move(state);
  value->constructed = std::move(constructed);
  return value;
}

ValuePtr Name(std::string global) {
  auto value = Make(ValueKind::kConstructed);
  auto constructed = std::make_shared<Constructed>();
  constructed->global = std::move(global);
  value->constructed = std::move(constructed);
  return value;
}

Tensor Floats(Dims shape, float first) {
  Result<Tensor> tensor = Tensor::Allocate(DType::kFloat32, shape);
  auto* data = reinterpret_cast<float*>(tensor->data);
  for (int64_t i = 0; i < tensor->num_elements(); ++i) data[i] = first + static_cast<float>(i);
  return *std::move(tensor);
}

ValuePtr Array(ValueKind kind, Tensor tensor) {
  auto value = Make(kind);
  value->tensor = std::move(tensor);
  return value;
}

std::vector<ValuePtr> EveryKind() {
  auto state = Value::Dict({{Value::String("k"), Value::Int(1)}});
  std::vector<ValuePtr> all = {
      Value::None(),
      Value::Bool(true),
      Value::Bool(false),
      Value::Int(0),
      Value::Int(255),
      Value::Int(256),
      Value::Int(65536),
      Value::Int(-1),
      Value::Int(INT64_MIN),
      Value::BigInt(std::string(300, '\x11')),
      Value::Float(-0.0),
      Value::Float(std::numeric_limits<double>::quiet_NaN()),
      Value::Complex(1, -0.0),
      Value::String(""),
      Value::String("h\xc3\xa9"),
      Value::String("lone \xed\xa0\x80"),
      Value::String(std::string("\0", 1)),
      Value::BytesOf(""),
      Value::BytesOf("\xff\x80\x01"),
      Make(ValueKind::kByteArray, "\xff"),
      Value::Sequence(ValueKind::kList, {}),
      Value::Sequence(ValueKind::kTuple, {}),
      Value::Sequence(ValueKind::kTuple,
                      {Value::Int(1), Value::Int(2), Value::Int(3), Value::Int(4)}),
      Value::Sequence(ValueKind::kSet, {Value::Int(1), Value::String("x")}),
      Value::Sequence(ValueKind::kFrozenSet, {Value::Int(1)}),
      Value::Dict({}),
      Value::Dict({{Value::Int(1), Value::None()}, {Value::String("a"), Value::Int(2)}}),
      Value::Dict({{Value::String("b"), Value::Int(1)}, {Value::String("a"), Value::Int(2)}}, true),
      Value::SizeOf({2, 3}),
      Value::SizeOf({}),
      Value::TypeOf(DType::kBFloat16),
      Make(ValueKind::kDevice, "cuda:0"),
      Make(ValueKind::kDevice, "cpu"),
      Make(ValueKind::kLayout, "torch.strided"),
      Make(ValueKind::kMemoryFormat, "torch.channels_last"),
      Make(ValueKind::kPath, "/a/b", "pathlib.PosixPath"),
      Array(ValueKind::kTensor, Floats(Shape{2, 3}, 1)),
      Array(ValueKind::kTensor, Floats(Shape{}, 1)),
      Array(ValueKind::kTensor, Floats(Shape{0, 3}, 1)),
      Array(ValueKind::kNumpyArray, Floats(Shape{2, 3}, 1)),
      Array(ValueKind::kNumpyArray, Floats(Shape{0}, 1)),
      Array(ValueKind::kNumpyScalar, Floats(Shape{}, 7)),
      Call("datetime.timedelta", {Value::Int(1), Value::Int(2), Value::Int(3)}),
      Call("uuid.UUID", {}, state),
      Call("collections.deque", {}),
      Call("collections.defaultdict", {Name("builtins.list")}),
      Call("builtins.range", {Value::Int(0), Value::Int(9), Value::Int(2)}),
      Name("builtins.int"),
      Name("torch.per_tensor_affine")};
  auto deque = Make(ValueKind::kConstructed);
  deque->constructed = all[all.size() - 5]->constructed;
  deque->items = {Value::Int(1), Value::String("x")};
  all.push_back(deque);
  auto ordered = Make(ValueKind::kOrderedDict);
  ordered->entries = {{Value::String("w"), Value::Int(1)}};
  auto metadata = std::make_shared<Constructed>();
  metadata->global = "collections.OrderedDict";
  metadata->state = state;
  ordered->constructed = metadata;
  all.push_back(ordered);
  auto parameter = Make(ValueKind::kTensor, "", std::string(kParameterName));
  parameter->tensor = Floats(Shape{2}, 5);
  parameter->tensor.requires_grad = true;
  all.push_back(parameter);
  auto storage = Make(ValueKind::kTensor, "", "torch.FloatStorage");
  storage->tensor = Floats(Shape{4}, 5);
  all.push_back(storage);
  for (int32_t i = 1; IsValidDType(i); ++i) {
    DType dtype = static_cast<DType>(i);
    if (dtype >= DType::kQInt8) continue;
    Result<Tensor> tensor = Tensor::Allocate(dtype, Shape{3});
    for (int64_t b = 0; b < tensor->num_bytes(); ++b) tensor->data[b] = std::byte{1};
    all.push_back(Value::Of(*std::move(tensor)));
  }
  return all;
}

void EveryKindRoundTrips(void**) {
  int wrong = 0;
  std::vector<ValuePtr> all = EveryKind();
  all.push_back(Value::Sequence(ValueKind::kList, EveryKind()));
  for (const ValuePtr& value : all) {
    bool checked = false;
    Result<std::string> item = EncodeObjectItem(*value);
    Result<ValuePtr> again = item.ok() ? Decode(*item, &checked) : item.status();
    if (again.ok() && checked && Equal(*value, **again)) continue;
    print_message("%s: %s\n", ToString(*value).c_str(),
                  again.ok() ? ToString(**again).c_str() : again.status().ToString().c_str());
    ++wrong;
  }
  size_t count = all.size();
  std::vector<ValuePtr>().swap(all);
  assert_true(count > 70);
  assert_int_equal(wrong, 0);
}

size_t CountStorages(std::string_view item) {
  MemorySource source(AsBytes(item));
  Result<zip::Archive> archive = zip::Archive::Open(&source);
  size_t count = 0;
  while (archive.ok() && archive->Find("data/" + std::to_string(count)) != nullptr) ++count;
  return count;
}

void SharingIsKept(void**) {
  Tensor whole = Floats(Shape{4, 4}, 0);
  ValuePtr parent = Value::Of(whole);
  ValuePtr row = Value::Of(whole.Slice(Shape{1, 0}, Shape{1, 4}));
  ValuePtr list = Value::Sequence(ValueKind::kList, {Value::Int(1)});
  ValuePtr root = Value::Sequence(
      ValueKind::kList, {parent, row, list, list, parent, Value::Of(Floats(Shape{2}, 9))});
  Result<std::string> item = EncodeObjectItem(*root);
  size_t storages = item.ok() ? CountStorages(*item) : 0;
  Result<ValuePtr> again = item.ok() ? Decode(*item) : item.status();
  bool equal = again.ok() && Equal(*root, **again);
  bool shared = equal && (*again)->items[2] == (*again)->items[3] &&
                (*again)->items[0] == (*again)->items[4] &&
                (*again)->items[1]->tensor.data == (*again)->items[0]->tensor.data + 16;
  whole = Tensor();
  parent = row = list = root = nullptr;
  item = Status(Code::kInternal, "done");
  again = Status(Code::kInternal, "done");
  assert_int_equal(storages, 2);
  assert_true(equal);
  assert_true(shared);
}

// ---- pickles made here ----

using Emit = std::function<void(pickle::Writer*)>;

std::string ItemOf(std::string_view pickle, std::string_view payload = "") {
  std::string out;
  zip::LayoutWriter zip("archive/");
  records::Append("data.pkl", pickle, &zip, &out);
  if (!payload.empty()) records::Append("data/0", payload, &zip, &out);
  records::AppendTail(0, 0, &zip, &out);
  return out;
}

std::string ItemOf(const Emit& emit, int protocol = 2) {
  std::string pickle;
  pickle::Writer writer(protocol, &pickle);
  emit(&writer);
  writer.Stop();
  return ItemOf(pickle);
}

void CallOf(pickle::Writer* w, std::string_view module, std::string_view name,
            const Emit& arguments) {
  w->Global(module, name);
  w->Mark();
  arguments(w);
  w->TupleFromMark();
  w->Reduce();
}

void UnknownGlobalsStayOpaque(void**) {
  struct Case {
    const char* global;
    Emit emit;
  };
  auto nothing = [](pickle::Writer*) {};
  const Case cases[] = {
      {"os.system",
       [&](pickle::Writer* w) {
         CallOf(w, "os", "system", [](pickle::Writer* a) { a->String("true"); });
       }},
      {"builtins.eval", [&](pickle::Writer* w) { w->Global("builtins", "eval"); }},
      {"__builtin__.getattr",
       [&](pickle::Writer* w) { CallOf(w, "__builtin__", "getattr", nothing); }},
      {"my.Class",
       [&](pickle::Writer* w) {
         w->EmptyList();
         w->Global("my", "Class");
         w->EmptyTuple();
         w->NewObject();
         w->Append();
       }},
      // On the list, but not in this way.
      {"builtins.int", [&](pickle::Writer* w) { CallOf(w, "builtins", "int", nothing); }},
      {"datetime.date", [&](pickle::Writer* w) { w->Global("datetime", "date"); }},
      {"datetime.timedelta",
       [&](pickle::Writer* w) {
         CallOf(w, "datetime", "timedelta", nothing);
         w->EmptyDict();
         w->Build();
       }},
      {"torch.Size",
       [&](pickle::Writer* w) {
         CallOf(w, "torch", "Size", [](pickle::Writer* a) { a->String("x"); });
       }},
      {"builtins.complex",
       [&](pickle::Writer* w) {
         CallOf(w, "__builtin__", "complex", [](pickle::Writer* a) { a->String("x"); });
       }},
      {"my.Tensor",
       [&](pickle::Writer* w) {
         CallOf(w, "torch._tensor", "_rebuild_from_type_v2", [&](pickle::Writer* a) {
           a->Global("torch._utils", "_rebuild_tensor_v2");
           a->Global("my", "Tensor");
           a->EmptyTuple();
           a->EmptyDict();
         });
       }},
      // A call of what a call returned.
      {"operator.attrgetter",
       [&](pickle::Writer* w) {
         CallOf(w, "operator", "attrgetter", [](pickle::Writer* a) { a->String("system"); });
         w->Global("os", "path");
         w->Tuple1();
         w->Reduce();
       }},
  };
  int wrong = 0;
  for (const Case& c : cases) {
    std::string item = ItemOf(c.emit);
    Result<ValuePtr> value = Decode(item);
    if (value.ok() && (*value)->kind == ValueKind::kOpaque &&
        (*value)->opaque->global == c.global && *(*value)->opaque->pickled == item &&
        *EncodeObjectItem(**value) == item) {
      continue;
    }
    print_message("%s: %s\n", c.global,
                  value.ok() ? ToString(**value).c_str() : value.status().ToString().c_str());
    ++wrong;
  }
  assert_int_equal(wrong, 0);
}

void OtherSpellingsAreUnderstood(void**) {
  struct Case {
    const char* expected;
    Emit emit;
  };
  const Case cases[] = {
      {"builtins.range(1, 2, 3)",
       [](pickle::Writer* w) {
         CallOf(w, "__builtin__", "xrange", [](pickle::Writer* a) {
           for (int i : {1, 2, 3}) a->Int(i);
         });
       }},
      {"path '/a/b'",
       [](pickle::Writer* w) {
         CallOf(w, "pathlib._local", "PosixPath", [](pickle::Writer* a) { a->String("/a/b"); });
       }},
      {"path '/a/b'",
       [](pickle::Writer* w) {
         CallOf(w, "pathlib", "PosixPath", [](pickle::Writer* a) {
           for (const char* part : {"/", "a", "b"}) a->String(part);
         });
       }},
      {"OrderedDict({'a': 1})",
       [](pickle::Writer* w) {
         CallOf(w, "collections", "OrderedDict", [](pickle::Writer* a) {
           a->EmptyList();
           a->EmptyList();
           a->Mark();
           a->String("a");
           a->Int(1);
           a->Appends();
           a->Append();
         });
       }},
      {"bytearray(b'\\xff')",
       [](pickle::Writer* w) {
         CallOf(w, "__builtin__", "bytearray", [](pickle::Writer* a) {
           a->String("\xc3\xbf");
           a->String("latin-1");
         });
       }},
      {"numpy.scalar(bool, [])",
       [](pickle::Writer* w) {
         CallOf(w, "numpy.core.multiarray", "scalar", [](pickle::Writer* a) {
           CallOf(a, "numpy", "dtype", [](pickle::Writer* b) { b->String("b1"); });
           a->BytesValue("\x01");
         });
       }},
  };
  int wrong = 0;
  for (const Case& c : cases) {
    for (int protocol : {2, 4}) {
      Result<ValuePtr> value = Decode(ItemOf(c.emit, protocol));
      std::string text = value.ok() ? ToString(**value) : value.status().ToString();
      if (text == c.expected) continue;
      print_message("%s: %s\n", c.expected, text.c_str());
      ++wrong;
    }
  }
  assert_int_equal(wrong, 0);
}

void RepeatedKeysKeepTheLastValue(void**) {
  Result<ValuePtr> value = Decode(ItemOf([](pickle::Writer* w) {
    w->EmptyDict();
    w->Mark();
    for (const char* key : {"a", "b", "a"}) {
      w->String(key);
      w->String(key[0] == 'a' ? "later" : "b");
    }
    w->SetItems();
  }));
  std::string text = value.ok() ? ToString(**value) : "";
  bool right = text == "{'a': 'later', 'b': 'b'}";
  std::string().swap(text);
  value = Status(Code::kInternal, "done");
  assert_true(right);
}

void HostileShapesOfPicklesEnd(void**) {
  // A list that holds itself.
  std::string cycle = std::string(
      "\x80\x02]q\x00h\x00"
      "a.",
      9);
  // Nested deeper than Python goes.
  std::string deep = "\x80\x02" + std::string(5000, ']') + std::string(4999, 'a') + ".";
  // Sixty lists, each holding the one before twice.
  std::string doubling;
  pickle::Writer writer(2, &doubling);
  writer.EmptyList();
  uint32_t last = writer.Memoize();
  for (int i = 0; i < 60; ++i) {
    writer.EmptyList();
    writer.Mark();
    writer.Get(last);
    writer.Get(last);
    writer.Appends();
    last = writer.Memoize();
  }
  writer.Stop();
  // One long string made bytes again and again.
  std::string copies;
  pickle::Writer copier(2, &copies);
  copier.String(std::string(100000, 'x'));
  const uint32_t text = copier.Memoize();
  copier.EmptyList();
  copier.Mark();
  for (int i = 0; i < 1000; ++i) {
    copier.Global("_codecs", "encode");
    copier.Get(text);
    copier.InternedString("latin1");
    copier.Tuple2();
    copier.Reduce();
  }
  copier.Appends();
  copier.Stop();
  std::string list_key = std::string("\x80\x02}]Ns.", 7);

  Result<ValuePtr> cycled = Decode(ItemOf(cycle));
  Result<ValuePtr> nested = Decode(ItemOf(deep));
  bool opaque = cycled.ok() && (*cycled)->kind == ValueKind::kOpaque && nested.ok() &&
                (*nested)->kind == ValueKind::kOpaque;
  Code doubled = Decode(ItemOf(doubling)).status().code();
  Code copied = Decode(ItemOf(copies)).status().code();
  Code keyed = Decode(ItemOf(list_key)).status().code();
  Code storage = Decode(ItemOf([](pickle::Writer* w) {
                   w->Mark();
                   w->String("storage");
                   w->Global("torch", "FloatStorage");
                   w->String("0");
                   w->String("cpu");
                   w->Int(1 << 30);
                   w->TupleFromMark();
                   w->PersistentId();
                 }))
                     .status()
                     .code();
  ObjectLimits small;
  small.max_values = 10;
  Code many = Decode(ItemOf([](pickle::Writer* w) {
                       w->EmptyList();
                       w->Mark();
                       for (int i = 0; i < 11; ++i) w->None();
                       w->Appends();
                     }),
                     nullptr, small)
                  .status()
                  .code();
  small = ObjectLimits();
  small.max_size = 100;
  Code large = Decode(ItemOf("\x80\x02N."), nullptr, small).status().code();
  cycled = nested = Status(Code::kInternal, "done");
  for (std::string* each : {&cycle, &deep, &doubling, &copies, &list_key}) {
    std::string().swap(*each);
  }
  assert_true(opaque);
  assert_int_equal(doubled, Code::kLimit);
  assert_int_equal(copied, Code::kLimit);
  assert_int_equal(keyed, Code::kCorrupt);
  assert_int_equal(storage, Code::kCorrupt);
  assert_int_equal(many, Code::kLimit);
  assert_int_equal(large, Code::kLimit);
}

void DeepTreesRoundTrip(void**) {
  ValuePtr deep = Value::Int(1);
  for (int i = 0; i < 990; ++i) deep = Value::Sequence(ValueKind::kTuple, {deep});
  Result<std::string> item = EncodeObjectItem(*deep);
  Result<ValuePtr> again = item.ok() ? Decode(*item) : item.status();
  bool equal = again.ok() && Equal(*deep, **again);
  deep = nullptr;
  item = Status(Code::kInternal, "done");
  again = Status(Code::kInternal, "done");
  assert_true(equal);
}

void WhatHasNoPickleIsRefused(void**) {
  ValuePtr opaque = Value::OpaqueOf("my.Class", std::make_shared<const std::string>("bytes"));
  ValuePtr deep = Value::Int(1);
  for (int i = 0; i < 2000; ++i) deep = Value::Sequence(ValueKind::kList, {deep});
  auto code = [](const ValuePtr& value) { return EncodeObjectItem(*value).status().code(); };
  Code codes[] = {
      code(Value::Sequence(ValueKind::kList, {opaque})),
      code(Value::Of(ShardedTensor())),
      code(Value::Of(*Tensor::Allocate(DType::kInt4, Shape{2}))),
      code(Call("os.system", {Value::String("true")})),
      code(Value::String("\xff")),
      code(Value::Sequence(ValueKind::kList, {nullptr})),
      code(Make(ValueKind::kPath, "x", "os.PathLike")),
      code(Array(ValueKind::kNumpyArray, *Tensor::Allocate(DType::kBFloat16, Shape{2}))),
      code(deep),
  };
  const Code expected[] = {Code::kUnsupported,     Code::kUnsupported,     Code::kUnsupported,
                           Code::kInvalidArgument, Code::kInvalidArgument, Code::kInvalidArgument,
                           Code::kInvalidArgument, Code::kUnsupported,     Code::kLimit};
  opaque = deep = nullptr;
  for (size_t i = 0; i < std::size(codes); ++i) assert_int_equal(codes[i], expected[i]);
}

void OtherContainers(void**) {
  bool checked = true;
  Result<ValuePtr> bare = Decode(std::string_view("\x80\x02K\x07.", 5), &checked);
  int64_t seven = 0;
  bool is_seven = bare.ok() && (*bare)->ToInt64(&seven) && seven == 7;
  Code trailing = Decode(std::string_view("\x80\x02K\x07.x", 6)).status().code();
  Code legacy =
      Decode(ReadFixture("golden/torch-2.13/w1/torch_save/ckpt/legacy.pt")).status().code();
  Code nothing = Decode("").status().code();
  Code text = Decode("hello").status().code();
  Result<ValuePtr> saved = Decode(ReadFixture("golden/torch-2.13/w1/torch_save/ckpt/plain.pt"));
  bool mapping = saved.ok() && (*saved)->is_mapping();
  bare = saved = Status(Code::kInternal, "done");
  assert_true(is_seven);
  assert_false(checked);
  assert_int_equal(trailing, Code::kCorrupt);
  assert_int_equal(legacy, Code::kUnsupported);
  assert_int_equal(nothing, Code::kCorrupt);
  assert_int_equal(text, Code::kCorrupt);
  assert_true(mapping);
}

void NoDamageCrashes(void**) {
  std::vector<ValuePtr> all = EveryKind();
  std::string item = *EncodeObjectItem(*Value::Sequence(
      ValueKind::kList, {all[8], all[12], all[27], all[36], all[39], all[41], all[43]}));
  std::vector<ValuePtr>().swap(all);
  MemorySource source(AsBytes(item));
  Result<zip::Archive> archive = zip::Archive::Open(&source);
  std::string pickle = *archive->Read(*archive->Find("data.pkl"), 1 << 20);
  std::string payload = *archive->Read(*archive->Find("data/0"), 1 << 20);
  archive = Status(Code::kInternal, "done");
  size_t opened = 0;
  for (size_t length = 0; length < item.size(); ++length) {
    if (Decode(std::string_view(item).substr(0, length)).ok()) ++opened;
  }
  // Changes of the zip, then of the pickle in a sound zip.
  for (size_t i = 0; i < item.size(); ++i) {
    item[i] = static_cast<char>(item[i] ^ 0x21);
    (void)Decode(item);
    item[i] = static_cast<char>(item[i] ^ 0x21);
  }
  for (size_t i = 0; i < pickle.size(); ++i) {
    for (int flip : {1, 2, 0x10, 0x80, 0xff}) {
      pickle[i] = static_cast<char>(pickle[i] ^ flip);
      (void)Decode(ItemOf(pickle, payload));
      pickle[i] = static_cast<char>(pickle[i] ^ flip);
    }
    (void)Decode(ItemOf(std::string_view(pickle).substr(0, i), payload));
  }
  std::string().swap(item);
  std::string().swap(pickle);
  std::string().swap(payload);
  assert_int_equal(opened, 0);
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::EveryStockObjectIsRead),
      cmocka_unit_test(dcp::EveryStockObjectSurvivesRewriting),
      cmocka_unit_test(dcp::EveryKindRoundTrips),
      cmocka_unit_test(dcp::SharingIsKept),
      cmocka_unit_test(dcp::UnknownGlobalsStayOpaque),
      cmocka_unit_test(dcp::OtherSpellingsAreUnderstood),
      cmocka_unit_test(dcp::RepeatedKeysKeepTheLastValue),
      cmocka_unit_test(dcp::HostileShapesOfPicklesEnd),
      cmocka_unit_test(dcp::DeepTreesRoundTrip),
      cmocka_unit_test(dcp::WhatHasNoPickleIsRefused),
      cmocka_unit_test(dcp::OtherContainers),
      cmocka_unit_test(dcp::NoDamageCrashes),
  };
  return cmocka_run_group_tests_name("tensorio/object_item", tests, nullptr, nullptr);
}
