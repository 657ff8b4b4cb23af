// Objects that a Folder takes out of the graph while it is made.
#include <cstring>

#include "pickle/graph.h"
#include "support/cmocka.h"
#include "unit/pickle/graph_text.h"
#include "unit/pickle/python_pickles.h"
// after cmocka.h
#include "support/checks.h"

namespace dcp::pickle {
namespace {

using namespace std::string_literals;

// Shows no more than it must: what is not asked for yet and what was passed is overwritten.
class StingyInput final : public Input {
 public:
  explicit StingyInput(std::string_view all, size_t step = 1)
      : StingyInput(std::string(all), std::make_unique<std::string>(all.size(), '?'), step) {}

  size_t step() const override { return step_; }
  void Pass(size_t offset) override {
    std::memset(shown_->data() + passed_, '?', offset - passed_);
    passed_ = offset;
  }
  Status Restart() override {
    if (fail_in_pass == 1) return Error(Code::kIo, "gone");
    std::memset(shown_->data(), '?', shown_->size());
    passed_ = 0;
    set_ready(0);
    ++pass_;
    return Status::Ok();
  }

  int fail_in_pass = 0;  // loads past the first mebibyte fail then

 private:
  StingyInput(std::string all, std::unique_ptr<std::string> shown, size_t step)
      : Input(AsBytes(*shown), Nothing()),
        all_(std::move(all)),
        shown_(std::move(shown)),
        step_(step) {}
  Status LoadMore(size_t end) override {
    if (fail_in_pass == pass_ && end > kLookAhead) return Error(Code::kIo, "gone");
    std::memcpy(shown_->data() + ready(), all_.data() + ready(), end - ready());
    set_ready(end);
    return Status::Ok();
  }

  const std::string all_;
  const std::unique_ptr<std::string> shown_;
  const size_t step_;
  size_t passed_ = 0;
  int pass_ = 1;
};

// Takes instances of m:C whose state is no None; keeps the state's text.
class Collector final : public Folder {
 public:
  explicit Collector(std::string_view input) : input_(input) {}

  uint32_t Wants(const Graph& graph, NodeId callee) override {
    return graph.IsGlobal(callee, "m", "C") ? 7 : 0;
  }
  bool Fold(const Graph& graph, uint32_t what, NodeId object, NodeId state,
            uint32_t* row) override {
    if (what != 7 || graph.kind(object) != NodeKind::kNewObject) return false;
    if (graph.kind(state) == NodeKind::kNone) return false;
    *row = static_cast<uint32_t>(taken.size());
    taken.push_back(GraphText(graph, state));
    return true;
  }

  Result<Graph> Run() { return Parse(input_, Limits(), this); }

  std::vector<std::string> taken;

 private:
  StingyInput input_;
};

struct Case {
  const char* what;
  std::string pickle;
  const char* graph;
  std::vector<std::string> taken;
};

// h0 recalls; \x94 memoises.
const std::string kNew = "cm\nC\n)\x81";

std::string Folds() {
  const Case cases[] = {
      {"plain", kNew + "}b.", "new<@m:C()>", {"{}"}},
      {"another class", "cm\nD\n)\x81}b.", "new<@m:D() state={}>", {}},
      {"arguments", "cm\nC\nN\x85\x81}b.", "new<@m:C(None) state={}>", {}},
      {"refused", kNew + "Nb.", "new<@m:C() state=None>", {}},
      {"memoised, not recalled", kNew + "\x94}\x94K\x01K\x02sb.", "new<@m:C()>", {"{1: 2}"}},
      {"recalled later",
       "(" + kNew + "\x94}bh\x00t."s,
       "(new<@m:C() state={}>, new<@m:C() state={}>)",
       {}},
      {"recalled within",
       kNew + "\x94]h\x00"
              "ab."s,
       nullptr,
       {}},
      {"duplicated", "(" + kNew + "2}bt.", "(new<@m:C() state={}>, new<@m:C() state={}>)", {}},
      {"duplicated when done", "(" + kNew + "}b2t.", "(new<@m:C()>, new<@m:C()>)", {"{}"}},
      {"state recalled",
       "(" + kNew +
           "](K\x01K\x02"
           "e\x94"
           "bh\x00]Nat."s,
       "(new<@m:C()>, [1, 2], [None])",
       {"[1, 2]"}},
      {"part of the state recalled",
       "(" + kNew +
           "(\x8c\x01x](K\x01K\x02K\x03"
           "e\x94\x8c\x01ytb]Nah\x00t."s,
       "(new<@m:C()>, [None], [1, 2, 3])",
       {"('78', [1, 2, 3], '79')"}},
      {"an older list changed meanwhile",
       "(]\x94" + kNew +
           "h\x00(\x8c\x02in\x85\x8c\x02on\x85"
           "eb](NN\x85\x85"
           "et."s,
       "([('696e'), ('6f6e')], new<@m:C()>, [None, ((None))])",
       {"[('696e'), ('6f6e')]"}},
      {"an older object gets its state meanwhile",
       "(cm\nD\n)\x81\x94" + kNew + "h\x00(K\x01\x8c\x01xtbb(\x8c\x01y\x85\x85t."s + "",
       nullptr,
       {}},
      {"one in another",
       kNew + "}K\x01" + kNew + "]bsb.",
       "new<@m:C() state={1: new<@m:C()>}>",
       {"[]"}},
      {"dropped", kNew + "}b0" + kNew + "0N.", "None", {"{}"}},
      {"many",
       "(" + kNew +
           "\x8c\x01x\x85"
           "b" +
           kNew +
           "\x8c\x01y\x85"
           "b\x8c\x01zt.",
       "(new<@m:C()>, new<@m:C()>, '7a')",
       {"('78')", "('79')"}},
      {"items for what was taken", kNew + "}bNa(NNu.", "new<@m:C()>", {"{}"}},
  };
  for (const Case& c : cases) {
    Collector collector(c.pickle);
    Result<Graph> graph = collector.Run();
    Result<Graph> plain = Parse(AsBytes(c.pickle));
    CHECK_THAT(graph.ok() == plain.ok());
    if (c.graph == nullptr) continue;
    CHECK_OK(graph);
    std::string got = GraphText(*graph, graph->root());
    if (got != c.graph) return fmt::format("{}: got {}, want {}", c.what, got, c.graph);
    if (collector.taken != c.taken) return fmt::format("{}: others were taken", c.what);
  }
  return {};
}

std::string SecondStateIsRefused() {
  for (const std::string& pickle : {kNew + "}b}b.", kNew + "}Nb}b.", kNew + "\x94}bh\x00}b."s}) {
    Collector collector(pickle);
    Result<Graph> graph = collector.Run();
    Result<Graph> plain = Parse(AsBytes(pickle));
    CHECK_THAT(!graph.ok() && !plain.ok());
    CHECK_THAT(graph.status().code() == plain.status().code());
  }
  return {};
}

std::string PassedInputIsNotRead() {
  for (const char* hex : kPlain) {
    const std::string pickle = FromHex(hex);
    Result<Graph> plain = Parse(AsBytes(pickle));
    CHECK_OK(plain);
    Collector collector(pickle);
    Result<Graph> graph = collector.Run();
    CHECK_OK(graph);
    CHECK_THAT(GraphText(*graph, graph->root()) == GraphText(*plain, plain->root()));
    CHECK_THAT(graph->consumed() == plain->consumed());
  }
  // Longer than a node's own bits can tell.
  const std::string text((1 << 20) + 3, 'x');
  const std::string pickle = "(X\x03\0\x10\0"s + text + "\x8c\x02hit.";
  Collector collector(pickle);
  Result<Graph> graph = collector.Run();
  CHECK_OK(graph);
  CHECK_THAT(graph->Text(graph->Items(graph->root())[0]) == text);
  return {};
}

// What is longer than the look-ahead is loaded when it is met, by both passes.
std::string LongArguments() {
  const std::string text((5 << 20) + 3, 'x'), size("\x03\0\x50\0"s);
  const std::string recalled = "K\x07q\x05"s, recall = "h\x05h\x05"s;
  const std::string pickles[] = {
      "(" + recalled + "X" + size + text + recall + "t.",                // BINUNICODE
      "(" + recalled + "B" + size + text + recall + "t.",                // BINBYTES
      "(" + recalled + "S'" + text + "'\n" + recall + "t.",              // STRING
      "(" + recalled + "V" + text + "\n" + recall + "t.",                // UNICODE
      "(" + recalled + "c" + text + "\n" + text + "\n" + recall + "t.",  // GLOBAL
  };
  for (const std::string& pickle : pickles) {
    Result<Graph> plain = Parse(AsBytes(pickle));
    CHECK_OK(plain);
    const std::string want = GraphText(*plain, plain->root());
    for (const size_t step : {size_t{1}, size_t{1} << 12, size_t{1} << 20}) {
      StingyInput input(pickle, step);
      Result<Graph> graph = Parse(input, Limits());
      CHECK_OK(graph);
      CHECK_THAT(GraphText(*graph, graph->root()) == want);
      CHECK_THAT(graph->consumed() == pickle.size());
    }
  }
  // A line without an end is looked for up to the input's, and is an error as ever.
  const std::string endless = "S'" + text;
  StingyInput input(endless);
  CHECK_THAT(Parse(input, Limits()).status().message() ==
             Parse(AsBytes(endless)).status().message());
  return {};
}

std::string FailedLoads() {
  const std::string text((5 << 20) + 3, 'x');
  for (const std::string& pickle : {"X\x03\0\x50\0"s + text + ".", "S'" + text + "'\n."}) {
    for (const int pass : {1, 2}) {
      StingyInput input(pickle);
      input.fail_in_pass = pass;
      Result<Graph> graph = Parse(input, Limits());
      CHECK_THAT(!graph.ok() && graph.status().code() == Code::kIo);
    }
  }
  return {};
}

// A hundred thousand objects leave a node each.
std::string LittleIsLeft() {
  std::string pickle = "cm\nC\n\x94(";
  constexpr size_t kCount = 100000;
  for (size_t i = 0; i < kCount; ++i) pickle += "h\x00)\x81\x94}\x94(K\x01K\x01K\x02\x86\x94ub"s;
  pickle += "t.";
  Collector collector(pickle);
  Result<Graph> graph = collector.Run();
  CHECK_OK(graph);
  CHECK_THAT(collector.taken.size() == kCount);
  CHECK_THAT(graph->node_count() < kCount + 100);
  return {};
}

// Memo indices with gaps and repeats are counted as Python does: MEMOIZE goes to the next one.
std::string GapsInTheMemo() {
  const std::string pickles[] = {
      "(Nq\x05K\x01\x94K\x02\x94h\x05h\x01h\x02t."s,                // len(memo) is 1, then 2
      "(K\x01q\x00K\x02q\x00K\x03\x94h\x00h\x01t."s,                // put twice
      "(K\x01r\x00\x00\x00\x70K\x02\x94j\x00\x00\x00\x70h\x01t."s,  // far away
  };
  const char* const want[] = {"(None, 1, 2, None, 1, 2)", "(1, 2, 3, 2, 3)", "(1, 2, 1, 2)"};
  for (size_t i = 0; i < 3; ++i) {
    Result<Graph> graph = Parse(AsBytes(pickles[i]));
    CHECK_OK(graph);
    std::string got = GraphText(*graph, graph->root());
    if (got != want[i]) return fmt::format("{}: got {}", i, got);
  }
  return {};
}

}  // namespace
}  // namespace dcp::pickle

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(pickle::Folds),
      DCP_CHECKED(pickle::SecondStateIsRefused),
      DCP_CHECKED(pickle::PassedInputIsNotRead),
      DCP_CHECKED(pickle::LongArguments),
      DCP_CHECKED(pickle::FailedLoads),
      DCP_CHECKED(pickle::LittleIsLeft),
      DCP_CHECKED(pickle::GapsInTheMemo),
  };
  return cmocka_run_group_tests_name("pickle/fold", tests, nullptr, nullptr);
}
