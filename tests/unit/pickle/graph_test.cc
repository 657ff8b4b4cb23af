#include "pickle/graph.h"

#include <fstream>
#include <iterator>

#include "support/cmocka.h"
#include "unit/pickle/graph_text.h"
#include "unit/pickle/python_pickles.h"

namespace dcp::pickle {
namespace {

using namespace std::string_literals;

int Differs(const std::string& what, const std::string& got, const std::string& want) {
  if (got == want) return 0;
  print_error("%s\n  got  %s\n  want %s\n", what.c_str(), got.c_str(), want.c_str());
  return 1;
}

struct Case {
  const char* opcode;
  std::string pickle;
  const char* want;
};

const Case kCases[] = {
    {"NONE", "N.", "None"},
    {"NEWTRUE", "\x88.", "True"},
    {"NEWFALSE", "\x89.", "False"},
    {"INT", "I-12\n.", "-12"},
    {"INT bool", "(I01\nI00\nI1\nt.", "(True, False, 1)"},
    {"INT long", "I18446744073709551616\n.", "big:000000000000000001"},
    {"LONG", "L-129L\n.", "-129"},
    {"LONG plain", "L 77 \n.", "77"},
    {"LONG wide", "L-9223372036854775809L\n.", "big:ffffffffffffff7fff"},
    {"BININT", "J\xfe\xff\xff\xff.", "-2"},
    {"BININT1", "K\xff.", "255"},
    {"BININT2", "M\x00\x80."s, "32768"},
    {"LONG1", "\x8a\x00."s, "0"},
    {"LONG1 negative", "\x8a\x01\x80.", "-128"},
    {"LONG1 padded", "\x8a\x0a\x05\0\0\0\0\0\0\0\0\0."s, "5"},
    {"LONG1 wide", "\x8a\x09\0\0\0\0\0\0\0\0@."s, "big:000000000000000040"},
    {"LONG4", "\x8b\x02\0\0\0\x00\x01."s, "256"},
    {"FLOAT", "F-1.5\n.", "float:bff8000000000000"},
    {"FLOAT inf", "F-inf\n.", "float:fff0000000000000"},
    {"BINFLOAT", "G\x3f\xf8\0\0\0\0\0\0."s, "float:3ff8000000000000"},
    {"STRING", "S'a\\x62\\143\\n\\q'\n.", "'6162630a5c71'"},
    {"STRING double quotes", "S\"it's\"\n.", "'69742773'"},
    {"STRING bytes", "S'\\xff'\n.", "b:ff"},
    {"BINSTRING", "T\x02\0\0\0hi."s, "'6869'"},
    {"SHORT_BINSTRING", "U\x01\xe9.", "b:e9"},
    {"UNICODE", "V\xe9\\u20ac\\U0001f600\\ud800\\q\n.", "'c3a9e282acf09f9880eda0805c71'"},
    {"UNICODE two backslashes", "V\\\\u0041\n.", "'5c5c7530303431'"},
    {"BINUNICODE", "X\x02\0\0\0\xc3\xa9."s, "'c3a9'"},
    {"SHORT_BINUNICODE", "\x8c\x03\xed\xa0\x80.", "'eda080'"},
    {"BINUNICODE8", "\x8d\x01\0\0\0\0\0\0\0a."s, "'61'"},
    {"SHORT_BINBYTES", "C\x02\xff\0."s, "b:ff00"},
    {"BINBYTES", "B\x01\0\0\0\xff."s, "b:ff"},
    {"BINBYTES8", "\x8e\x01\0\0\0\0\0\0\0\xfe."s, "b:fe"},
    {"BYTEARRAY8", "\x96\x01\0\0\0\0\0\0\0\xfe."s, "ba:fe"},
    {"EMPTY_TUPLE", ").", "()"},
    {"TUPLE", "(K\x01K\x02K\x03K\x04t.", "(1, 2, 3, 4)"},
    {"TUPLE of none", "(t.", "()"},
    {"TUPLE1", "K\x07\x85.", "(7)"},
    {"TUPLE2", "K\x01K\x02\x86.", "(1, 2)"},
    {"TUPLE3", "K\x01K\x02K\x03\x87.", "(1, 2, 3)"},
    {"EMPTY_LIST", "].", "[]"},
    {"LIST", "(NNl.", "[None, None]"},
    {"APPEND",
     "]K\x01"
     "aK\x02"
     "aK\x03"
     "a.",
     "[1, 2, 3]"},
    {"APPENDS",
     "](K\x01K\x02"
     "e(e(K\x03"
     "e.",
     "[1, 2, 3]"},
    {"EMPTY_DICT", "}.", "{}"},
    {"DICT", "(K\x01Nd.", "{1: None}"},
    {"SETITEM", "}K\x01NsK\x01\x88s.", "{1: None, 1: True}"},
    {"SETITEMS", "}(K\x01NK\x02Nu(K\x03Nu.", "{1: None, 2: None, 3: None}"},
    {"EMPTY_SET ADDITEMS", "\x8f(K\x01K\x02\x90.", "set(1, 2)"},
    {"FROZENSET", "(K\x01\x91.", "frozenset(1)"},
    {"GLOBAL", "cos\nsystem\n.", "@os:system"},
    {"STACK_GLOBAL",
     "\x8c\x02os\x8c\x03"
     "a.b\x93.",
     "@os:a.b"},
    {"REDUCE", "cm\nf\nK\x01\x85R.", "call<@m:f(1)>"},
    {"INST", "(K\x01im\nC\n.", "call<@m:C(1)>"},
    {"OBJ", "(cm\nC\nK\x01K\x02o.", "call<@m:C(1, 2)>"},
    {"NEWOBJ", "cm\nC\n)\x81.", "new<@m:C()>"},
    {"NEWOBJ with arguments", "cm\nC\nK\x05\x85\x81.", "new<@m:C(5)>"},
    {"NEWOBJ_EX", "cm\nC\n)}\x92.", "new<@m:C() keywords={}>"},
    {"BUILD", "cm\nC\n)\x81}b.", "new<@m:C() state={}>"},
    {"BUILD of NEWOBJ with arguments", "cm\nC\nN\x85\x81Nb.", "new<@m:C(None) state=None>"},
    {"BUILD of REDUCE", "cm\nf\n)R}b.", "call<@m:f() state={}>"},
    {"REDUCE with items and pairs",
     "cm\nf\n)R(K\x01K\x02"
     "eK\x03"
     "a(K\x05K\x06uNb.",
     "call<@m:f() state=None items=[1, 2, 3] pairs={5: 6}>"},
    {"ADDITEMS to an object", "cm\nf\n)R(K\x01\x90.", "call<@m:f() items=[1]>"},
    {"called twice removed", "cm\nf\n)R)R.", "call<call<@m:f()>()>"},
    {"PERSID", "Pabc\n.", "pid<'616263'>"},
    {"BINPERSID", "K\x09Q.", "pid<9>"},
    {"PUT GET", "K\x01p0\n0g0\n.", "1"},
    {"BINPUT BINGET",
     "K\x01q\xff"
     "0h\xff.",
     "1"},
    {"LONG_BINPUT LONG_BINGET",
     "K\x01r\xff\xff\xff\xff"
     "0j\xff\xff\xff\xff.",
     "1"},
    {"MEMOIZE",
     "K\x01\x94K\x02\x94"
     "00h\x01h\0\x86."s,
     "(2, 1)"},
    {"MEMOIZE after PUT",
     "K\x01q\x05K\x02\x94"
     "00h\x01."s,
     "2"},
    {"PUT over PUT",
     "K\x01q\x00K\x02q\x00"
     "00h\x00."s,
     "2"},
    {"POP",
     "K\x01K\x02"
     "0.",
     "1"},
    {"POP of a MARK", "K\x01(0.", "1"},
    {"POP_MARK",
     "K\x01(K\x02K\x03"
     "1.",
     "1"},
    {"DUP",
     "K\x01"
     "2\x86.",
     "(1, 1)"},
    {"PROTO", "\x80\x05N.", "None"},
    {"FRAME", "\x80\x04\x95\x02\0\0\0\0\0\0\0N."s, "None"},
    {"left-overs below the top", "K\x01(K\x02.", "2"},
};

int OpcodeFaults() {
  int faults = 0;
  for (const Case& one : kCases) {
    faults += Differs(one.opcode, ParseText(one.pickle), one.want);
  }
  return faults;
}

void EveryOpcode(void**) { assert_int_equal(OpcodeFaults(), 0); }

int PythonFaults() {
  int faults = 0;
  for (const char* hex : kPlain) faults += Differs("plain", ParseText(FromHex(hex)), kPlainDump);
  faults += Differs("rich", ParseText(FromHex(kRich)), kRichDump);
  faults += Differs("point 0", ParseText(FromHex(kPoint[0])),
                    "call<@copy_reg:_reconstructor(@shapes:Point, @__builtin__:object, None) "
                    "state={'78': 1}>");
  for (int i : {1, 2}) {
    faults +=
        Differs("point", ParseText(FromHex(kPoint[i])), "new<@shapes:Point() state={'78': 1}>");
  }
  faults += Differs("keywords", ParseText(FromHex(kKeywords)),
                    "new<@shapes:Outer.Kw(1) keywords={'73696465': 2}>");
  faults += Differs("constructed", ParseText(FromHex(kConstructed)),
                    "[call<@collections:OrderedDict() pairs={'61': 1, '62': 2}>, "
                    "call<@collections:deque((), 5) items=[1, 2]>, "
                    "call<@datetime:timedelta(1, 2, 3)>]");
  faults +=
      Differs("persistent", ParseText(FromHex(kPersistent)), "[pid<('73746f72616765', '6b')>]");
  return faults;
}

void WhatPythonWrites(void**) { assert_int_equal(PythonFaults(), 0); }

int CycleFaults() {
  const std::string pickle = FromHex(kCycles);
  Result<Graph> graph = Parse(AsBytes(pickle));
  if (!graph.ok()) return 100;
  const Graph& g = *graph;
  const std::span<const NodeId> all = g.Items(g.root());
  if (all.size() != 3) return 101;
  int faults = 0;
  if (g.Items(all[0])[0] != all[0]) ++faults;
  if (g.Pairs(all[1])[1] != all[1]) ++faults;
  const NodeId inner = g.Items(all[2])[0];
  if (g.kind(inner) != NodeKind::kList || g.Items(inner)[0] != all[2]) ++faults;
  return faults;
}

void Cycles(void**) { assert_int_equal(CycleFaults(), 0); }

// Containers that grow by many batches, interleaved, with children of their own in between.
int GrowthFaults() {
  const int batches = 300;
  // Memo 0 and 1 are lists, 2 is a dict, 3 an object.
  std::string pickle = "]q\x00]q\x01}q\x02"s + "cm\nf\n)Rq\x03" + "0000";
  for (int i = 0; i < batches; ++i) {
    for (char memo : {'\x00', '\x01'}) {
      pickle += "h"s + memo + "(K\x01K\x02\x86K\x03K\x04K\x05\x87" + "M" +
                static_cast<char>(i & 255) + static_cast<char>(i >> 8) + "e0";
    }
    pickle += "h\x02(M"s + static_cast<char>(i & 255) + static_cast<char>(i >> 8) + "]u0";
    pickle += "h\x03(M"s + static_cast<char>(i & 255) + static_cast<char>(i >> 8) + "e0";
  }
  pickle += "h\x00h\x01\x86h\x02h\x03\x86\x86."s;
  Result<Graph> graph = Parse(AsBytes(pickle));
  if (!graph.ok()) {
    print_error("%s\n", graph.status().ToString().c_str());
    return 1000;
  }
  const Graph& g = *graph;
  const std::span<const NodeId> lists = g.Items(g.Items(g.root())[0]);
  const std::span<const NodeId> others = g.Items(g.Items(g.root())[1]);
  int faults = 0;
  for (NodeId list : lists) {
    const std::span<const NodeId> items = g.Items(list);
    if (items.size() != 3 * batches) return 1001;
    for (size_t i = 0; i < batches; ++i) {
      if (g.Items(items[3 * i]).size() != 2 || g.Items(items[3 * i + 1]).size() != 3 ||
          g.AsInt(items[3 * i + 2]) != static_cast<int64_t>(i)) {
        ++faults;
      }
    }
  }
  const std::span<const NodeId> pairs = g.Pairs(others[0]);
  const std::span<const NodeId> items = g.Items(others[1]);
  if (pairs.size() != 2 * batches || items.size() != batches) return 1002;
  for (size_t i = 0; i < batches; ++i) {
    if (g.AsInt(pairs[2 * i]) != static_cast<int64_t>(i)) ++faults;
    if (g.kind(pairs[2 * i + 1]) != NodeKind::kList) ++faults;
    if (g.AsInt(items[i]) != static_cast<int64_t>(i)) ++faults;
  }
  return faults;
}

void GrowingContainers(void**) { assert_int_equal(GrowthFaults(), 0); }

int LongTextFaults() {
  const std::string text(3 << 20, 'x');  // longer than a node's own length field
  std::string pickle = "X"s;
  AppendLe(pickle, static_cast<uint32_t>(text.size()));
  pickle += text + "K\x01\x86.rest";
  Result<Graph> graph = Parse(AsBytes(pickle));
  if (!graph.ok()) return 10;
  int faults = 0;
  if (graph->consumed() != pickle.size() - 4) ++faults;
  const NodeId first = graph->Items(graph->root())[0];
  if (graph->Text(first) != text) ++faults;
  if (graph->Text(first).data() != pickle.data() + 5) ++faults;  // borrowed
  if (graph->node_count() == 0) ++faults;
  return faults;
}

void LongTextIsBorrowed(void**) { assert_int_equal(LongTextFaults(), 0); }

int AccessorFaults() {
  const std::string pickle =
      "(K\x01"
      "cm\nf\nF1\nt.";
  Result<Graph> graph = Parse(AsBytes(pickle));
  if (!graph.ok()) return 10;
  const Graph& g = *graph;
  const std::span<const NodeId> items = g.Items(g.root());
  int faults = 0;
  // What a node does not have is empty.
  for (NodeId node : {items[0], items[1], items[2], kNoNode}) {
    if (!g.Items(node).empty() || !g.Pairs(node).empty() || !g.Text(node).empty()) ++faults;
    if (g.Callee(node) != kNoNode || g.Arguments(node) != kNoNode || g.State(node) != kNoNode ||
        g.Keywords(node) != kNoNode) {
      ++faults;
    }
    if (g.AsBool(node) || g.IsString(node)) ++faults;
  }
  if (g.AsInt(items[1]) != 0 || g.AsFloat(items[0]) != 0 || !g.Module(items[0]).empty()) ++faults;
  if (!g.IsGlobal(items[1], "m", "f") || g.IsGlobal(items[1], "m", "g")) ++faults;
  if (g.IsGlobal(items[0], "", "")) ++faults;
  return faults;
}

void AccessorsOfOtherKinds(void**) { assert_int_equal(AccessorFaults(), 0); }

int FixtureFaults() {
  const char* const versions[] = {"torch-2.4/w2/sharded", "torch-2.8/w2/sharded",
                                  "torch-2.13/w4/tp2d", "torch-2.15/w4/tp2d"};
  int faults = 0;
  for (const char* version : versions) {
    std::ifstream file(std::string(DCP_FIXTURES "/golden/") + version + "/ckpt/.metadata",
                       std::ios::binary);
    const std::string pickle((std::istreambuf_iterator<char>(file)), {});
    Result<Graph> graph = Parse(AsBytes(pickle));
    if (!graph.ok()) {
      ++faults;
      continue;
    }
    const Graph& g = *graph;
    const NodeId root = g.root();
    if (g.consumed() != pickle.size()) ++faults;
    if (!g.IsGlobal(g.Callee(root), "torch.distributed.checkpoint.metadata", "Metadata")) ++faults;
    const std::span<const NodeId> state = g.Pairs(g.State(root));
    if (state.size() < 2 || g.Text(state[0]) != "state_dict_metadata") ++faults;
  }
  return faults;
}

void MetadataOfTorch(void**) { assert_int_equal(FixtureFaults(), 0); }

}  // namespace
}  // namespace dcp::pickle

int main() {
  using namespace dcp::pickle;
  const CMUnitTest tests[] = {
      cmocka_unit_test(EveryOpcode),
      cmocka_unit_test(WhatPythonWrites),
      cmocka_unit_test(Cycles),
      cmocka_unit_test(GrowingContainers),
      cmocka_unit_test(LongTextIsBorrowed),
      cmocka_unit_test(AccessorsOfOtherKinds),
      cmocka_unit_test(MetadataOfTorch),
  };
  return cmocka_run_group_tests_name("pickle/graph", tests, nullptr, nullptr);
}
