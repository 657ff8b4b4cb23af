#include "metadata/flatten.h"

#include <cmath>
#include <limits>

#include "metadata/python_text.h"
#include "support/cmocka.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp {
namespace {

using Pairs = std::vector<std::pair<ValuePtr, ValuePtr>>;

ValuePtr S(std::string text) { return Value::String(std::move(text)); }
ValuePtr I(int64_t value) { return Value::Int(value); }
ValuePtr T() { return Value::Of(*Tensor::Allocate(DType::kFloat32, Shape{2})); }
ValuePtr List(std::vector<ValuePtr> items) {
  return Value::Sequence(ValueKind::kList, std::move(items));
}
ValuePtr TupleOf(std::vector<ValuePtr> items) {
  return Value::Sequence(ValueKind::kTuple, std::move(items));
}
ValuePtr Dict(Pairs pairs) { return Value::Dict(std::move(pairs)); }

std::string Names(const Result<std::vector<FlatLeaf>>& leaves) {
  if (!leaves.ok()) return leaves.status().ToString();
  std::string out;
  for (const FlatLeaf& leaf : *leaves) out += (out.empty() ? "" : " ") + leaf.name;
  return out;
}

ValuePtr Sample() {
  return Dict({
      {S("opt"), Dict({{S("pg"), List({Dict({{S("lr"), Value::Float(0.1)}})})},
                       {S("state"), Dict({{I(0), Dict({{S("exp"), T()}})}})}})},
      {S("plain"), List({I(1), S("x")})},
      {S("nested"), List({List({I(1)}), I(2)})},
      {S("holding"), List({I(1), List({T()}), TupleOf({T()})})},
      {S("tuple"), TupleOf({T(), Dict({})})},
      {S("empty"), Dict({})},
      {S("with_empty"), List({Dict({})})},
      {S("deep"), Dict({{S("empty"), Dict({})}, {S("a"), Dict({{S("b"), I(1)}})}})},
  });
}

std::string TodaysRule() {
  Result<std::vector<FlatLeaf>> leaves = Flatten(*Sample(), FlattenRule::kDefault);
  CHECK_THAT(Names(leaves) ==
             "opt.pg.0.lr opt.state.0.exp plain nested holding.0 holding.1.0 holding.2 tuple "
             "deep.a.b");
  CHECK_THAT((*leaves)[0].path ==
             (Path{std::string("opt"), std::string("pg"), int64_t{0}, std::string("lr")}));
  CHECK_THAT((*leaves)[1].path == (Path{std::string("opt"), std::string("state"), std::string("0"),
                                        std::string("exp")}));
  return {};
}

std::string RuleOf23() {
  Result<std::vector<FlatLeaf>> leaves = Flatten(*Sample(), FlattenRule::kTorch23);
  CHECK_THAT(Names(leaves) ==
             "opt.pg opt.state.0.exp plain nested holding.0 holding.1.0 holding.2 tuple empty "
             "with_empty deep");
  return {};
}

std::string Refusals() {
  CHECK_CODE(Flatten(*List({}), FlattenRule::kDefault), Code::kInvalidArgument);
  Result<std::vector<FlatLeaf>> twice =
      Flatten(*Dict({{S("a.b"), I(1)}, {S("a"), Dict({{S("b"), I(2)}})}}), FlattenRule::kDefault);
  CHECK_CODE(twice, Code::kInvalidArgument);
  CHECK_THAT(twice.status().message() == "duplicated flatten key a.b");
  Result<std::vector<FlatLeaf>> key =
      Flatten(*Dict({{S("a"), Dict({{TupleOf({I(1)}), I(2)}})}}), FlattenRule::kDefault);
  CHECK_CODE(key, Code::kInvalidArgument);
  CHECK_THAT(key.status().message().starts_with("a: a mapping's key is (1,)"));
  ValuePtr deep = T();
  for (int i = 0; i < 1200; ++i) deep = Dict({{S("d"), deep}});
  CHECK_CODE(Flatten(*deep, FlattenRule::kDefault), Code::kInvalidArgument);
  CHECK_CODE(Flatten(*deep, FlattenRule::kTorch23), Code::kInvalidArgument);
  ValuePtr list = T();
  for (int i = 0; i < 1200; ++i) list = List({list});
  CHECK_CODE(Flatten(*Dict({{S("l"), list}}), FlattenRule::kDefault), Code::kInvalidArgument);
  ValuePtr fits = T();
  for (int i = 0; i < 900; ++i) fits = Dict({{S("d"), fits}});
  Result<std::vector<FlatLeaf>> leaves = Flatten(*fits, FlattenRule::kDefault);
  CHECK_OK(leaves);
  CHECK_OK(Unflatten(*leaves));
  return {};
}

// 2^40 paths through 40 shared lists: looking must end all the same.
std::string SharedNodesEnd() {
  ValuePtr plain = List({I(1)});
  for (int i = 0; i < 40; ++i) plain = List({plain, plain});
  CHECK_THAT(Names(Flatten(*Dict({{S("l"), plain}}), FlattenRule::kDefault)) == "l");
  ValuePtr mapping = Dict({});
  for (int i = 0; i < 40; ++i) mapping = Dict({{S("a"), mapping}, {S("b"), mapping}});
  CHECK_THAT(Names(Flatten(*Dict({{S("m"), mapping}}), FlattenRule::kTorch23)) == "m");
  CHECK_CODE(Flatten(*mapping, FlattenRule::kDefault), Code::kLimit);
  return {};
}

std::string KeysAsPythonWritesThem() {
  struct {
    double value;
    const char* text;
  } floats[] = {{1, "1.0"},
                {0.1, "0.1"},
                {-2.5, "-2.5"},
                {0.0, "0.0"},
                {-0.0, "-0.0"},
                {100, "100.0"},
                {0.0001, "0.0001"},
                {0.00001, "1e-05"},
                {0.000123, "0.000123"},
                {1.25e-7, "1.25e-07"},
                {1e15, "1000000000000000.0"},
                {1e16, "1e+16"},
                {123456789012345678.0, "1.2345678901234568e+17"},
                {1234567890123456.0, "1234567890123456.0"},
                {1e22, "1e+22"},
                {1e100, "1e+100"},
                {5e-324, "5e-324"},
                {1.7976931348623157e308, "1.7976931348623157e+308"},
                {1.0 / 3, "0.3333333333333333"},
                {123.456, "123.456"},
                {std::numeric_limits<double>::infinity(), "inf"},
                {-std::numeric_limits<double>::infinity(), "-inf"},
                {std::nan(""), "nan"}};
  for (const auto& [value, text] : floats) {
    if (PythonFloatText(value) != text) {
      return fmt::format("{} instead of {}", PythonFloatText(value), text);
    }
  }
  for (int64_t value : {int64_t{0}, int64_t{7}, int64_t{-1}, int64_t{255}, int64_t{-129},
                        int64_t{1000000000}, int64_t{INT64_MIN}, int64_t{INT64_MAX}}) {
    Result<std::string> text = KeyText(*I(value));
    CHECK_OK(text);
    CHECK_THAT(*text == std::to_string(value));
  }
  // 2^100 and -2^100
  std::string power(12, '\0');
  CHECK_THAT(*PythonIntText(power + "\x10") == "1267650600228229401496703205376");
  CHECK_THAT(*PythonIntText(power + "\xf0") == "-1267650600228229401496703205376");
  CHECK_CODE(PythonIntText(std::string(1790, '\x7f')), Code::kLimit);
  CHECK_CODE(PythonIntText(std::string(1 << 20, '\x7f')), Code::kLimit);
  CHECK_THAT(*KeyText(*Value::Bool(true)) == "True");
  CHECK_THAT(*KeyText(*Value::None()) == "None");
  return {};
}

std::string RebuildsTheNesting() {
  ValuePtr state = Dict({{S("a"), Dict({{S("b"), List({I(1), Dict({{S("c"), T()}})})}})},
                         {S("d"), I(5)},
                         {S("e"), List({I(1)})}});
  Result<std::vector<FlatLeaf>> leaves = Flatten(*state, FlattenRule::kDefault);
  CHECK_OK(leaves);
  Result<ValuePtr> back = Unflatten(*leaves);
  CHECK_OK(back);
  CHECK_THAT(Equal(**back, *state));
  return {};
}

std::string PadsListsAndKeepsPathlessNames() {
  std::vector<FlatLeaf> leaves;
  leaves.push_back({"l.2", {std::string("l"), int64_t{2}}, I(7)});
  leaves.push_back({"plain.name", {}, I(8)});
  leaves.push_back({"l.0.x", {std::string("l"), int64_t{0}, std::string("x")}, I(9)});
  Result<ValuePtr> value = Unflatten(leaves);
  CHECK_OK(value);
  ValuePtr expected = Dict(
      {{S("l"), List({Dict({{S("x"), I(9)}}), Value::None(), I(7)})}, {S("plain.name"), I(8)}});
  CHECK_THAT(Equal(**value, *expected));
  return {};
}

std::string BadPathsAreRefused() {
  auto one = [](Path path) { return Unflatten({{"n", std::move(path), Value::None()}}); };
  auto two = [](Path first, Path second) {
    return Unflatten({{"n", std::move(first), I(1)}, {"m", std::move(second), I(2)}});
  };
  std::string a = "a", x = "x";
  CHECK_CODE(one({int64_t{0}}), Code::kInvalidArgument);
  CHECK_CODE(one({a, int64_t{-1}}), Code::kInvalidArgument);
  CHECK_CODE(one({a, INT64_MAX}), Code::kLimit);
  CHECK_CODE(one({a, int64_t{1} << 40, x}), Code::kLimit);
  CHECK_CODE(two({a, x}, {a, int64_t{0}}), Code::kInvalidArgument);
  CHECK_CODE(two({a, int64_t{0}}, {a, x}), Code::kInvalidArgument);
  CHECK_CODE(two({a}, {a, x}), Code::kInvalidArgument);
  CHECK_CODE(one(Path(2000, a)), Code::kInvalidArgument);
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(TodaysRule),
      DCP_CHECKED(RuleOf23),
      DCP_CHECKED(Refusals),
      DCP_CHECKED(SharedNodesEnd),
      DCP_CHECKED(KeysAsPythonWritesThem),
      DCP_CHECKED(RebuildsTheNesting),
      DCP_CHECKED(PadsListsAndKeepsPathlessNames),
      DCP_CHECKED(BadPathsAreRefused),
  };
  return cmocka_run_group_tests_name("metadata/flatten", tests, nullptr, nullptr);
}
