// States that are read without nodes: what a folder gets of them, and what the graph holds, must be
// as if they were read like any other.
#include <algorithm>

#include "pickle/graph.h"
#include "support/cmocka.h"
#include "unit/pickle/graph_text.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp::pickle {
namespace {

using namespace std::string_literals;

std::string ItemsText(const Graph& graph, std::span<const PlainValue> items);
std::string PairsText(const Graph& graph, std::span<const PlainValue> pairs);

std::string ValueText(const Graph& graph, const PlainValue& value) {
  switch (value.kind) {
    case PlainValue::Kind::kNode:
      return GraphText(graph, value.node);
    case PlainValue::Kind::kNumber:
      return std::to_string(value.number);
    case PlainValue::Kind::kText:
      return "'" + ToHex(value.text) + "'";
    case PlainValue::Kind::kNumbers:
      return fmt::format("call<{}(({}))>", GraphText(graph, value.node),
                         fmt::join(value.numbers, ", "));
    case PlainValue::Kind::kTuple:
      return fmt::format("({})", fmt::join(value.numbers, ", "));
    case PlainValue::Kind::kList:
      return "[" + ItemsText(graph, value.items()) + "]";
    case PlainValue::Kind::kDictObject:
      return fmt::format("new<{}() state={{{}}}>", GraphText(graph, value.node),
                         PairsText(graph, value.items()));
    case PlainValue::Kind::kTupleObject:
      break;
  }
  return fmt::format("new<{}() state=({})>", GraphText(graph, value.node),
                     ItemsText(graph, value.items()));
}

std::string ItemsText(const Graph& graph, std::span<const PlainValue> items) {
  std::string text;
  for (const PlainValue& item : items) {
    if (!text.empty()) text += ", ";
    text += ValueText(graph, item);
  }
  return text;
}

std::string PairsText(const Graph& graph, std::span<const PlainValue> pairs) {
  std::string text;
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (!text.empty()) text += ", ";
    text += ValueText(graph, pairs[i]) + ": " + ValueText(graph, pairs[i + 1]);
  }
  return text;
}

// Takes the states of m:C as text; plain ones too, when told so.
class Collector final : public Folder {
 public:
  explicit Collector(bool plain) : plain_(plain) {}

  uint32_t Wants(const Graph& graph, NodeId callee) override {
    return graph.IsGlobal(callee, "m", "C") ? 7 : 0;
  }
  bool Fold(const Graph& graph, uint32_t, NodeId, NodeId state, uint32_t* row) override {
    return Take(GraphText(graph, state), row);
  }
  bool FoldPlain(const Graph& graph, uint32_t, NodeId, const PlainState& state,
                 uint32_t* row) override {
    if (!plain_) return false;
    ++plain_count;
    return Take("{" + PairsText(graph, state.pairs) + "}", row);
  }

  std::vector<std::string> taken;
  size_t plain_count = 0;

 private:
  bool Take(std::string text, uint32_t* row) {
    *row = static_cast<uint32_t>(taken.size());
    taken.push_back(std::move(text));
    return true;
  }
  const bool plain_;
};

std::string OutcomeText(const Result<Graph>& graph) {
  return graph.ok() ? GraphText(*graph, graph->root()) : graph.status().ToString();
}

struct Case {
  const char* what;
  std::string pickle;
  size_t plain;  // states read without nodes
};

// Memo: 0 the class, 1 a callable, 2 the text "k".
const std::string kHead =
    "cm\nC\n\x94"
    "cm\nS\n\x94\x8c\x01k\x94"
    "000("s;
const std::string kNew = "h\x00)\x81"s;
const std::string kInner = "h\x01)\x81"s;  // not wanted

const Case kCases[] = {
    {"numbers",
     kHead + kNew +
         "\x94}\x94(h\x02K\x07\x8c\x01"
         "a\x94M\x34\x12\x8c\x01"
         "bJ\x01\x02\x03\x04\x8c\x01"
         "c\x8a\x05\x01\x02\x03\x04\x05\x8c\x01"
         "d\x8a\x00ubt."s,
     1},
    {"texts and None",
     kHead + kNew +
         "}(h\x02\x8c\x03one\x94\x8c\x01"
         "aX\x03\x00\x00\x00two\x8c\x01"
         "bN\x8c\x01"
         "ch\x02ubt."s,
     1},
    {"shapes",
     kHead + kNew +
         "}(h\x02h\x01)\x85R\x8c\x01"
         "ah\x01K\x05\x85\x94\x85\x94R\x94\x8c\x01"
         "bh\x01K\x01M\x00\x02\x86\x85R\x8c\x01"
         "ch\x01K\x01K\x02K\x03\x87\x85R\x8c\x01"
         "dh\x01(K\x01K\x02K\x03K\x04t\x85Rubt."s,
     1},
    {"no field", kHead + kNew + "\x94}\x94(ubt."s, 1},
    {"by BINPUT", kHead + kNew + "q\x03}q\x04(h\x02K\x07ubt."s, 1},
    {"by LONG_BINPUT", kHead + kNew + "r\x03\x00\x00\x00}r\x04\x00\x00\x00(h\x02K\x07ubt."s, 1},
    {"a shape asked for again",
     kHead + kNew + "\x94}\x94(h\x02h\x01K\x05K\x06\x86\x94\x85\x94R\x94ub" + kNew +
         "}(h\x02h\x07ubh\x07t."s,
     2},
    {"many", kHead + kNew + "}(h\x02K\x01ub" + kNew + "}(h\x02K\x02ub" + kNew + "}(h\x02K\x03ubt."s,
     3},
    {"in a list, appended to later",
     kHead + "](" + kNew + "}(h\x02K\x01ub" + kNew +
         "}(h\x02K\x02ubeK\x09"
         "at."s,
     2},
    {"memo indices go on", kHead + kNew + "\x94}\x94(h\x02K\x07ubK\x05\x94h\x05t."s, 1},

    {"a list of objects",
     kHead + kNew + "}\x94(h\x02](" + kInner + "}(h\x02K\x01ub" + kInner +
         "\x94}(h\x02h\x01K\x05\x85\x85R\x94ub" + "eubt."s,
     1},
    {"a list of one", kHead + kNew + "}(h\x02]\x94" + kInner + "}(h\x02K\x01uba\x8c\x01xNubt."s, 1},
    {"an empty list before a key", kHead + kNew + "}(h\x02]h\x01K\x01ubt."s, 1},
    {"an object of a tuple",
     kHead + kNew + "}(h\x02h\x01)\x81\x94(Nh\x02\x88\x89K\x07\x8c\x01xt\x94" + "bubt."s, 1},
    {"tuples in a tuple",
     kHead + kNew +
         "}(h\x02h\x01)\x81(NK\x01\x85\x94K\x02K\x03\x86h\x02(K\x01K\x02K\x03K\x04tK\x05tbubt."s,
     1},
    {"a number and a tuple", kHead + kNew + "}(h\x02h\x01)\x81(K\x01K\x02\x85tbubt."s, 1},
    {"a tuple of more than numbers", kHead + kNew + "}(h\x02h\x01)\x81(N\x85tbubt."s, 0},
    {"a tuple in a tuple asked for again",
     kHead + kNew + "}(h\x02h\x01)\x81(K\x02\x85\x94tbubh\x03t."s, 0},
    {"an object in an object", kHead + kNew + "}(h\x02h\x01)\x81}(h\x02K\x01ububt."s, 1},
    {"true and false", kHead + kNew + "}(h\x02\x88\x8c\x01x\x89ubt."s, 1},
    {"a shape of its own, asked for in a list",
     kHead + kNew + "}(h\x02h\x01K\x05\x85\x85R\x94\x8c\x01x](" + kInner + "}(h\x02h\x03ub" +
         "eubt."s,
     1},

    {"a list of numbers", kHead + kNew + "}(h\x02](K\x01K\x02" + "eubt."s, 0},
    {"a list asked for again", kHead + kNew + "}(h\x02]\x94ubh\x03K\x01at."s, 0},
    {"an inner object asked for again", kHead + kNew + "}(h\x02h\x01)\x81\x94}(ububh\x03t."s, 0},
    {"an empty tuple for a state", kHead + kNew + "}(h\x02h\x01)\x81(tbubt."s, 0},
    {"a list and two batches",
     kHead + kNew + "}(h\x02]" + kInner + "}(ubah\x02" + kInner + "}(ubaubt."s, 0},
    {"asked for before it is there",
     kHead + kNew + "}(h\x02h\x03\x8c\x01xh\x01K\x05\x85\x85R\x94ubt."s, 0},
    {"objects too deep",
     kHead + kNew + "}(h\x02" + "h\x01)\x81}(h\x02" + "h\x01)\x81}(h\x02" + "h\x01)\x81}(h\x02" +
         "h\x01)\x81}(h\x02" + "h\x01)\x81}(h\x02" + "h\x01)\x81}(h\x02" + "h\x01)\x81}(h\x02" +
         "h\x01)\x81}(h\x02" + "K\x01" + "ubububububububububt."s,
     0},
    {"an index put again",
     kHead + kNew + "}(h\x02K\x01ub\x8c\x01yq\x02" + "0" + kNew + "}(h\x02K\x02ubt."s, 1},

    {"the object asked for again", kHead + kNew + "\x94}(h\x02K\x07ubh\x03t."s, 0},
    {"its state asked for again", kHead + kNew + "\x94}\x94(h\x02K\x07ubh\x04t."s, 0},
    {"a text asked for again", kHead + kNew + "}(h\x02\x8c\x01x\x94ubh\x03t."s, 0},
    {"a tuple asked for again", kHead + kNew + "}(h\x02h\x01K\x05\x85\x94\x85Rubh\x03t."s, 0},
    {"asked for within", kHead + kNew + "}(h\x02h\x01K\x05\x85\x85R\x94\x8c\x01xh\x03ubt."s, 1},
    {"put elsewhere in the memo", kHead + kNew + "q\x09}(h\x02K\x07ubt."s, 0},
    {"a negative number", kHead + kNew + "}(h\x02J\xff\xff\xff\xffubt."s, 0},
    {"a negative long", kHead + kNew + "}(h\x02\x8a\x01\xffubt."s, 0},
    {"a number past 2^63",
     kHead + kNew + "}(h\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00ubt."s, 0},
    {"a float", kHead + kNew + "}(h\x02G\x3f\xf0\x00\x00\x00\x00\x00\x00ubt."s, 0},
    {"a tuple that takes too little", kHead + kNew + "}(h\x02h\x01K\x05K\x06\x85\x85Rubt."s, 0},
    {"a key of any kind", kHead + kNew + "}(h\x01K\x05h\x02K\x06ubt."s, 1},
    {"a value before a number that is a key", kHead + kNew + "}(h\x02h\x01K\x05K\x06ubt."s, 0},
    {"one pair", kHead + kNew + "}h\x02K\x07sbt."s, 0},
    {"two batches", kHead + kNew + "}(h\x02K\x07u(h\x02K\x08ubt."s, 0},
    {"nine fields",
     kHead + kNew + "}(" +
         "h\x02K\x01h\x02K\x02h\x02K\x03h\x02K\x04h\x02K\x05h\x02K\x06h\x02K\x07h\x02K\x08h\x02K\x09ubt."s,
     0},
    {"a frame within", kHead + kNew + "}(\x95\x01\x00\x00\x00\x00\x00\x00\x00h\x02K\x07ubt."s, 0},
    {"a list", kHead + kNew + "}(h\x02]ubt."s, 1},
    {"text that is not UTF-8", kHead + kNew + "}(h\x02\x8c\x01\xffubt."s, 0},
    {"a key without a value", kHead + kNew + "}(h\x02ubt."s, 0},
    {"nothing at that index", kHead + kNew + "}(h\x02h\x30ubt."s, 0},
};

struct Outcome {
  std::string text;
  std::vector<std::string> taken;
  size_t plain = 0;
  bool ok = false;
};
// Of `pickle`, read by nodes and not. Empty when both are the same.
std::string Difference(std::string_view pickle, Outcome* out) {
  Collector slow(/*plain=*/false);
  Result<Graph> by_nodes = Parse(AsBytes(pickle), Limits(), &slow);
  Collector fast(/*plain=*/true);
  Result<Graph> graph = Parse(AsBytes(pickle), Limits(), &fast);
  if (OutcomeText(graph) != OutcomeText(by_nodes)) {
    return fmt::format("{}, want {}", OutcomeText(graph), OutcomeText(by_nodes));
  }
  *out = {OutcomeText(graph), fast.taken, fast.plain_count, graph.ok()};
  const auto cut = [](const std::string& text) { return text.find("...") != std::string::npos; };
  if (std::any_of(slow.taken.begin(), slow.taken.end(), cut)) return {};  // too deep to be shown
  if (fast.taken == slow.taken) return {};
  return fmt::format("took {}, want {}", fmt::join(fast.taken, " "), fmt::join(slow.taken, " "));
}

// A pattern learned from one state must not take the other for what it is not.
std::string EachAfterEach() {
  const auto body = [](const std::string& pickle) {
    return pickle.substr(kHead.size(), pickle.size() - kHead.size() - 2);
  };
  for (const Case& a : kCases) {
    for (const Case& b : kCases) {
      Outcome outcome;
      const std::string pickle = kHead + body(a.pickle) + body(b.pickle) + body(a.pickle) + "t.";
      const std::string difference = Difference(pickle, &outcome);
      if (!difference.empty()) return fmt::format("{}, {}: {}", a.what, b.what, difference);
    }
  }
  return {};
}

// Far from the end of the input, where arguments are read without looking for it.
std::string LongBeforeTheEnd() {
  for (const Case& c : kCases) {
    Outcome outcome;
    const std::string pickle = c.pickle.substr(0, c.pickle.size() - 2) + "X\x00\x00\x01\x00"s +
                               std::string(1 << 16, 'x') + "t.";
    const std::string difference = Difference(pickle, &outcome);
    if (!difference.empty()) return fmt::format("{}: {}", c.what, difference);
    if (outcome.ok && outcome.plain != c.plain) return fmt::format("{}: not plain", c.what);
  }
  return {};
}

// Numbers of all widths, in any order, and one that cannot be told from no number.
std::string WidthsByTurns() {
  const std::string widths[] = {"K\x07"s,
                                "M\x34\x12"s,
                                "J\x01\x02\x03\x04"s,
                                "\x8a\x01\x05"s,
                                "\x8a\x02\xff\x00"s,
                                "\x8a\x00"s,
                                "\x8a\x08\x01\x02\x03\x04\x05\x06\x07\x08"s,
                                "J\xff\xff\xff\xff"s,
                                "\x8a\x01\xff"s,
                                "\x88"s};
  std::string pickle = kHead;
  for (const std::string& a : widths) {
    for (const std::string& b : widths) {
      pickle += kNew + "}(h\x02" + a + "\x8c\x01xh\x01" + b + a + "\x86\x85Rub";
    }
  }
  Outcome outcome;
  const std::string difference = Difference(pickle + "t.", &outcome);
  if (!difference.empty()) return difference;
  CHECK_THAT(outcome.ok && outcome.plain == 7 * 7);
  return {};
}

std::string ReadAsOthers() {
  for (const Case& c : kCases) {
    Outcome outcome;
    const std::string difference = Difference(c.pickle, &outcome);
    if (!difference.empty()) return fmt::format("{}: {}", c.what, difference);
    if (outcome.plain != c.plain) {
      return fmt::format("{}: {} plain states, want {}", c.what, outcome.plain, c.plain);
    }
    if (c.plain > 0 && !outcome.ok) return fmt::format("{}: {}", c.what, outcome.text);
  }
  return {};
}

// A plain state cut anywhere is the error that it is without a folder.
std::string CutAnywhere() {
  for (const Case& c : kCases) {
    for (size_t size = 0; size < c.pickle.size(); ++size) {
      const std::string_view cut = std::string_view(c.pickle).substr(0, size);
      Collector fast(/*plain=*/true);
      Result<Graph> graph = Parse(AsBytes(cut), Limits(), &fast);
      Result<Graph> plain = Parse(AsBytes(cut));
      CHECK_THAT(!graph.ok() && graph.status().ToString() == plain.status().ToString());
    }
  }
  return {};
}

std::string CapsHold() {
  const std::string& pickle = kCases[0].pickle;
  for (const Limits& limits :
       {Limits{.max_depth = 1}, Limits{.max_memo = 4}, Limits{.max_bytes = 0}}) {
    Collector fast(/*plain=*/true);
    Result<Graph> graph = Parse(AsBytes(pickle), limits, &fast);
    Result<Graph> plain = Parse(AsBytes(pickle), limits);
    CHECK_THAT(!graph.ok() && graph.status().code() == Code::kLimit);
    CHECK_THAT(graph.status().ToString() == plain.status().ToString());
    CHECK_THAT(fast.taken.empty());
  }
  return {};
}

}  // namespace
}  // namespace dcp::pickle

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(pickle::ReadAsOthers),     DCP_CHECKED(pickle::EachAfterEach),
      DCP_CHECKED(pickle::LongBeforeTheEnd), DCP_CHECKED(pickle::WidthsByTurns),
      DCP_CHECKED(pickle::CutAnywhere),      DCP_CHECKED(pickle::CapsHold),
  };
  return cmocka_run_group_tests_name("pickle/plain_state", tests, nullptr, nullptr);
}
