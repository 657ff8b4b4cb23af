#include "value/value.h"

#include <cmath>
#include <limits>
#include <vector>

#include "support/cmocka.h"
#include "value/names.h"

namespace dcp {
namespace {

bool SameText(const std::string& got, const std::string& want) {
  if (got == want) return true;
  print_error("got  %s\nwant %s\n", got.c_str(), want.c_str());
  return false;
}

int IntFaults() {
  int faults = 0;
  const int64_t numbers[] = {0,
                             1,
                             -1,
                             127,
                             128,
                             -128,
                             -129,
                             255,
                             32767,
                             32768,
                             -32769,
                             std::numeric_limits<int64_t>::max(),
                             std::numeric_limits<int64_t>::min()};
  for (int64_t number : numbers) {
    int64_t back = 99;
    if (!Value::Int(number)->ToInt64(&back) || back != number) ++faults;
    if (ToString(*Value::Int(number)) != std::to_string(number)) ++faults;
  }
  const std::pair<int64_t, std::string> shortest[] = {{0, ""},
                                                      {1, "\x01"},
                                                      {-1, "\xff"},
                                                      {128, std::string("\x80\x00", 2)},
                                                      {-128, "\x80"},
                                                      {255, std::string("\xff\x00", 2)},
                                                      {-256, std::string("\x00\xff", 2)}};
  for (const auto& [number, text] : shortest) {
    if (Value::Int(number)->text != text) ++faults;
  }
  int64_t unused;
  ValuePtr big = Value::BigInt(std::string(8, '\0') + std::string("\x01\0\0", 3));  // 2^64
  if (big->text.size() != 9 || big->ToInt64(&unused)) ++faults;
  if (!SameText(ToString(*big), "18446744073709551616")) ++faults;
  ValuePtr negative = Value::BigInt(std::string(8, '\0') + "\xff\xff");  // -2^64
  if (!SameText(ToString(*negative), "-18446744073709551616")) ++faults;
  if (Value::String("1")->ToInt64(&unused)) ++faults;
  return faults;
}

void Integers(void**) { assert_int_equal(IntFaults(), 0); }

ValuePtr Text(const char* text) { return Value::String(text); }

int FindFaults() {
  ValuePtr dict = Value::Dict({{Text("a"), Value::Int(1)},
                               {Value::Int(2), Value::Int(2)},
                               {Text(""), Value::None()},
                               {Text("a"), Value::Int(3)}});
  int64_t number = 0;
  int faults = 0;
  const ValuePtr* a = dict->Find("a");  // of repeats the last, as in Python
  if (a == nullptr || !(*a)->ToInt64(&number) || number != 3) ++faults;
  if (dict->Find("") == nullptr || dict->Find("b") != nullptr) ++faults;
  return faults;
}

void FindsKeys(void**) { assert_int_equal(FindFaults(), 0); }

// 2^60 paths through 60 shared nodes.
ValuePtr Diamond(int64_t leaf) {
  ValuePtr node = Value::Int(leaf);
  for (int i = 0; i < 60; ++i) node = Value::Sequence(ValueKind::kList, {node, node});
  return node;
}

ValuePtr Chain(int depth, int64_t leaf) {
  ValuePtr node = Value::Int(leaf);
  for (int i = 0; i < depth; ++i) node = Value::Sequence(ValueKind::kTuple, {node});
  return node;
}

int EqualFaults() {
  int faults = 0;
  auto expect = [&faults](bool want, const ValuePtr& a, const ValuePtr& b) {
    if (Equal(*a, *b) == want && Equal(*b, *a) == want) return;
    print_error("%s and %s: not %d\n", ToString(*a).c_str(), ToString(*b).c_str(), want);
    ++faults;
  };
  using List = std::vector<ValuePtr>;
  auto list = [](List items) { return Value::Sequence(ValueKind::kList, std::move(items)); };
  auto tuple = [](List items) { return Value::Sequence(ValueKind::kTuple, std::move(items)); };
  auto set = [](List items) { return Value::Sequence(ValueKind::kSet, std::move(items)); };
  expect(true, list({Value::Int(1), Text("x")}), list({Value::Int(1), Text("x")}));
  expect(false, list({Value::Int(1)}), tuple({Value::Int(1)}));
  expect(false, list({Value::Int(1)}), list({Value::Int(2)}));
  expect(false, Value::Int(1), Value::Float(1));
  expect(false, Value::Float(0.0), Value::Float(-0.0));
  expect(true, Value::Float(NAN), Value::Float(NAN));
  expect(true, set({tuple({Value::Int(1)}), Text("a")}), set({Text("a"), tuple({Value::Int(1)})}));
  expect(false, set({tuple({Value::Int(1)})}), set({tuple({Value::Int(2)})}));
  auto dict = [](bool ordered, bool swapped) {
    std::vector<std::pair<ValuePtr, ValuePtr>> entries = {{Text("a"), Value::Int(1)},
                                                          {Text("b"), Value::Int(2)}};
    if (swapped) std::swap(entries[0], entries[1]);
    return Value::Dict(entries, ordered);
  };
  expect(true, dict(false, false), dict(false, true));
  expect(false, dict(true, false), dict(true, true));
  expect(false, dict(true, false), dict(false, false));
  expect(true, Diamond(1), Diamond(1));
  expect(false, Diamond(1), Diamond(2));
  expect(true, Chain(200000, 1), Chain(200000, 1));
  expect(false, Chain(200000, 1), Chain(200000, 2));
  expect(true, set({Chain(20000, 1), Diamond(4)}), set({Diamond(4), Chain(20000, 1)}));

  float rows[] = {1, 2, 3, 4};
  float columns[] = {1, 3, 2, 4};
  Tensor a = *Tensor::Borrow(DType::kFloat32, Shape{2, 2}, {}, rows);
  Tensor b = *Tensor::Borrow(DType::kFloat32, Shape{2, 2}, Shape{1, 2}, columns);
  Tensor flat = *Tensor::Borrow(DType::kFloat32, Shape{4}, {}, rows);
  expect(true, Value::Of(a), Value::Of(b));
  expect(false, Value::Of(a), Value::Of(flat));
  ShardedTensor sharded{DType::kFloat32, {4, 2}, {{{0, 0}, a}}, false};
  ShardedTensor other = sharded;
  other.shards[0].offsets = {2, 0};
  expect(true, Value::Of(sharded), Value::Of(sharded));
  expect(false, Value::Of(sharded), Value::Of(other));
  auto pickled = std::make_shared<const std::string>("x");
  expect(true, Value::OpaqueOf("m.n", pickled),
         Value::OpaqueOf("m.n", std::make_shared<const std::string>("x")));
  expect(false, Value::OpaqueOf("m.n", pickled), Value::OpaqueOf("m.o", pickled));
  return faults;
}

void Equality(void**) { assert_int_equal(EqualFaults(), 0); }

int StringFaults() {
  int faults = 0;
  auto expect = [&faults](const ValuePtr& value, const char* want) {
    if (!SameText(ToString(*value), want)) ++faults;
  };
  expect(Value::Sequence(ValueKind::kTuple, {Value::Int(-3)}), "(-3,)");
  expect(Value::Dict({{Text("it's"), Value::Float(1)}}), "{'it\\'s': 1.0}");
  expect(Value::Float(1e300), "1e+300");
  expect(Value::BytesOf(std::string("a\0\xff", 3)), "b'a\\x00\\xff'");
  expect(Value::TypeOf(DType::kBFloat16), "torch.bfloat16");
  expect(Value::SizeOf({2, 3}), "torch.Size([2, 3])");
  expect(Value::Sequence(ValueKind::kSet, {}), "set()");
  expect(Value::Complex(1, -2.5), "complex(1.0, -2.5)");
  expect(Text("\x1b[31m"), "'\\x1b[31m'");
  if (ToString(*Diamond(1)).size() > 5000) ++faults;
  if (ToString(*Chain(200000, 1)).size() > 5000) ++faults;
  if (ToString(*Value::String(std::string(1 << 20, 'x'))).size() > 5000) ++faults;
  return faults;
}

void Printing(void**) { assert_int_equal(StringFaults(), 0); }

int NameFaults() {
  int faults = 0;
  auto expect = [&faults](std::string_view name, const std::string& want) {
    if (!SameText(PrintableName(name), want)) ++faults;
  };
  expect("", "");
  expect("layers.0.weight", "layers.0.weight");
  expect("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
  expect(std::string_view("a\0b\n", 4), "a\\x00b\\x0a");
  expect("\xed\xa0\x80", "\\xed\\xa0\\x80");  // a lone surrogate
  expect("\xff\xc3", "\\xff\\xc3");           // not UTF-8
  expect(
      "\xc2\x9b"
      "1m",
      "\\xc2\\x9b"
      "1m");                                  // CSI in one character
  expect("\xe2\x80\xae", "\\xe2\\x80\\xae");  // right-to-left override
  std::string longer;
  for (int i = 0; i < 500; ++i) longer += "\xe2\x82\xac";
  const std::string cut = PrintableName(longer);
  if (cut.size() > 210 || !IsWtf8(cut) || cut.find("...") == std::string::npos) ++faults;
  struct {
    std::string_view text;
    bool valid;
  } const cases[] = {{"", true},
                     {"plain ascii, longer than eight", true},
                     {"\xed\xa0\x80\xed\xb0\x80", true},
                     {"\xf4\x8f\xbf\xbf", true},
                     {"\xf4\x90\x80\x80", false},
                     {"\xc0\x80", false},
                     {"\xe0\x80\x80", false},
                     {"12345678\x80", false},
                     {"\xe2\x82", false},
                     {"\xf0\x80\x80\x80", false}};
  for (const auto& one : cases) {
    if (IsWtf8(one.text) != one.valid) ++faults;
  }
  return faults;
}

void Names(void**) { assert_int_equal(NameFaults(), 0); }

// The destructor must not use a stack frame per level.
void DeepTreesAreFreed(void**) {
  bool alive;
  {
    ValuePtr shared = Chain(1000, 1);
    ValuePtr deep = shared;
    for (int i = 0; i < 1000000; ++i) {
      deep = i % 2 != 0 ? Value::Sequence(ValueKind::kList, {deep})
                        : Value::Dict({{Value::None(), deep}});
    }
    deep.reset();
    alive = shared.use_count() == 1 && shared->items.size() == 1;
  }
  assert_true(alive);
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Integers), cmocka_unit_test(dcp::FindsKeys),
      cmocka_unit_test(dcp::Equality), cmocka_unit_test(dcp::Printing),
      cmocka_unit_test(dcp::Names),    cmocka_unit_test(dcp::DeepTreesAreFreed),
  };
  return cmocka_run_group_tests_name("value/value", tests, nullptr, nullptr);
}
