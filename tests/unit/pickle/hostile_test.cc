#include <sys/resource.h>

#include <random>

#include "pickle/graph.h"
#include "support/cmocka.h"
#include "unit/pickle/graph_text.h"
#include "unit/pickle/python_pickles.h"

namespace dcp::pickle {
namespace {

using namespace std::string_literals;

int Expect(const std::string& pickle, Code code, const std::string& part,
           const Limits& limits = Limits()) {
  const Status status = Parse(AsBytes(pickle), limits).status();
  if (status.code() == code && status.message().find(part) != std::string::npos) return 0;
  print_error("%s: got %s, want %s\n", ToHex(pickle.substr(0, 40)).c_str(),
              status.ToString().c_str(), part.c_str());
  return 1;
}

// Reads everything that can be reached, without recursion.
size_t Walk(const Graph& graph) {
  std::vector<NodeId> pending = {graph.root()};
  std::vector<bool> seen(graph.node_count());
  size_t total = 0;
  while (!pending.empty()) {
    const NodeId node = pending.back();
    pending.pop_back();
    if (node == kNoNode) continue;
    total += graph.Text(node).size() + static_cast<size_t>(graph.AsInt(node) != 0);
    if (node < seen.size()) {
      if (seen[node]) continue;
      seen[node] = true;
    }
    total += graph.Module(node).size() + graph.Name(node).size() + 1;
    for (NodeId child : graph.Items(node)) pending.push_back(child);
    for (NodeId child : graph.Pairs(node)) pending.push_back(child);
    for (NodeId child :
         {graph.Callee(node), graph.Arguments(node), graph.Keywords(node), graph.State(node)}) {
      pending.push_back(child);
    }
  }
  return total;
}

std::vector<std::string> Samples() {
  std::vector<std::string> samples;
  for (const char* hex : kPlain) samples.push_back(FromHex(hex));
  for (const char* hex : kPoint) samples.push_back(FromHex(hex));
  for (const char* hex : {kRich, kKeywords, kConstructed, kPersistent, kCycles}) {
    samples.push_back(FromHex(hex));
  }
  samples.push_back("(K\x01im\nC\n(cm\nC\nK\x01o\x86L99L\n\x86S'a\\x62'\n\x86Pabc\n\x86.");
  return samples;
}

int PrefixFaults() {
  int faults = 0;
  for (const std::string& sample : Samples()) {
    for (size_t size = 0; size < sample.size(); ++size) {
      // A copy of its own, so that a sanitizer sees a read past the end.
      const std::vector<char> prefix(sample.begin(), sample.begin() + static_cast<long>(size));
      const Status status = Parse(AsBytes(prefix.data(), size)).status();
      if (status.code() != Code::kCorrupt ||
          status.message().find(" at byte ") == std::string::npos)
        ++faults;
      if (status.details().empty() || status.details()[0].first != "offset") ++faults;
    }
  }
  return faults;
}

void EveryPrefixIsRefused(void**) { assert_int_equal(PrefixFaults(), 0); }

size_t ChangedBytes() {
  std::mt19937 random(11);
  size_t total = 0;
  for (const std::string& sample : Samples()) {
    for (size_t at = 0; at < sample.size(); ++at) {
      for (int i = 0; i < 12; ++i) {
        std::string changed = sample;
        changed[at] = static_cast<char>(random());
        if (i > 6) changed[random() % changed.size()] = static_cast<char>(random());
        Result<Graph> graph = Parse(AsBytes(changed));
        if (graph.ok()) total += Walk(*graph);
      }
    }
  }
  return total;
}

void ChangedBytesDoNoHarm(void**) { assert_true(ChangedBytes() > 0); }

int StackFaults() {
  int faults = 0;
  struct {
    std::string opcode;
    const char* name;
  } const takers[] = {
      {".", "STOP"},
      {"0", "POP"},
      {"1", "POP_MARK"},
      {"2", "DUP"},
      {"Q", "BINPERSID"},
      {"R", "REDUCE"},
      {"a", "APPEND"},
      {"b", "BUILD"},
      {"d", "DICT"},
      {"e", "APPENDS"},
      {"im\nC\n", "INST"},
      {"l", "LIST"},
      {"o", "OBJ"},
      {"p0\n", "PUT"},
      {"q\x01", "BINPUT"},
      {"r\x01\0\0\0"s, "LONG_BINPUT"},
      {"s", "SETITEM"},
      {"t", "TUPLE"},
      {"u", "SETITEMS"},
      {"\x81", "NEWOBJ"},
      {"\x85", "TUPLE1"},
      {"\x86", "TUPLE2"},
      {"\x87", "TUPLE3"},
      {"\x90", "ADDITEMS"},
      {"\x91", "FROZENSET"},
      {"\x92", "NEWOBJ_EX"},
      {"\x93", "STACK_GLOBAL"},
      {"\x94", "MEMOIZE"},
  };
  for (const auto& taker : takers) {
    faults += Expect("\x80\x04" + taker.opcode, Code::kCorrupt, taker.name + " at byte 2:"s);
  }
  // Values below a MARK are out of reach.
  for (const char* opcode : {"Q", "R", "a", "b", "s", "\x81", "\x85", "\x86", "\x87", "\x92",
                             "\x93", "2", "q\x01", "."}) {
    faults += Expect("]]]]("s + opcode, Code::kCorrupt, " at byte 5:");
  }
  for (const char* opcode : {"e", "u", "\x90", "o"}) {
    faults += Expect("]](("s + opcode, Code::kCorrupt, " at byte 4:");
  }
  faults += Expect(
      "]](]N\x86"
      "d.",
      Code::kCorrupt, "DICT at byte 6: a key without a value");
  faults += Expect("}(Nu.", Code::kCorrupt, "SETITEMS");
  return faults;
}

void StackUnderflow(void**) { assert_int_equal(StackFaults(), 0); }

int TypeFaults() {
  int faults = 0;
  faults += Expect("NNa.", Code::kCorrupt, "APPEND");
  faults += Expect("}Na.", Code::kCorrupt, "APPEND");
  faults += Expect("]NNs.", Code::kCorrupt, "SETITEM");
  faults += Expect("K\x01(Ne.", Code::kCorrupt, "APPENDS");
  faults += Expect("](N\x90.", Code::kCorrupt, "ADDITEMS");
  faults += Expect("cm\nf\nNR.", Code::kCorrupt, "REDUCE");
  faults += Expect("cm\nf\n]\x81.", Code::kCorrupt, "NEWOBJ");
  faults += Expect("cm\nf\n)N\x92.", Code::kCorrupt, "NEWOBJ_EX");
  faults += Expect("]Nb.", Code::kCorrupt, "BUILD");
  faults += Expect("NK\x01\x93.", Code::kCorrupt, "STACK_GLOBAL");
  faults += Expect("cm\nf\n)\x81NbNb.", Code::kUnsupported, "BUILD at byte 10");
  faults += Expect("cm\nf\n)RNbNb.", Code::kUnsupported, "BUILD at byte 10");
  return faults;
}

void WrongTypes(void**) { assert_int_equal(TypeFaults(), 0); }

int ArgumentFaults() {
  int faults = 0;
  const std::string top = "\0\0\0\0\0\0\0\x80"s;  // 2^63
  faults += Expect("\x8d" + top + "a.", Code::kCorrupt, "BINUNICODE8 at byte 0");
  faults += Expect("\x8e" + top + "a.", Code::kCorrupt, "9223372036854775808");
  faults += Expect("\x96" + std::string(8, '\xff') + "a.", Code::kCorrupt, "BYTEARRAY8");
  faults += Expect("\x95" + top + "N.", Code::kCorrupt, "FRAME");
  faults += Expect(
      "X\xff\xff\xff\xff"
      "a.",
      Code::kCorrupt, "BINUNICODE");
  faults += Expect(
      "B\xff\xff\xff\x7f"
      "a.",
      Code::kCorrupt, "BINBYTES");
  faults += Expect(
      "T\xff\xff\xff\xff"
      "a.",
      Code::kCorrupt, "negative length -1");
  faults += Expect(
      "\x8b\0\0\0\x80"
      "a."s,
      Code::kCorrupt, "negative length");
  faults += Expect(
      "\x8a\x05"
      "a.",
      Code::kCorrupt, "LONG1");
  faults += Expect("\x8c\x01\xff.", Code::kCorrupt, "UTF-8");
  faults += Expect("\x8c\x03\xf0\x9f\x98.", Code::kCorrupt, "UTF-8");
  faults += Expect("\x8c\x02\xc0\x80.", Code::kCorrupt, "UTF-8");
  faults += Expect("c\xff\nf\n.", Code::kCorrupt, "GLOBAL");
  faults += Expect("I1x\n.", Code::kCorrupt, "INT");
  faults += Expect("I\n.", Code::kCorrupt, "INT");
  faults += Expect("L-L\n.", Code::kCorrupt, "LONG");
  faults += Expect("F1.5.\n.", Code::kCorrupt, "FLOAT");
  faults += Expect("F\n.", Code::kCorrupt, "FLOAT");
  faults += Expect("Sabc\n.", Code::kCorrupt, "STRING");
  faults += Expect("S'\n.", Code::kCorrupt, "STRING");
  faults += Expect("S'\\'\n.", Code::kCorrupt, "STRING");
  faults += Expect("S'\\x4'\n.", Code::kCorrupt, "STRING");
  faults += Expect("V\\u12\n.", Code::kCorrupt, "UNICODE");
  faults += Expect("V\\U00110000\n.", Code::kCorrupt, "UNICODE");
  faults += Expect("h\x07.", Code::kCorrupt, "memo index 7");
  faults += Expect("j\xff\xff\xff\xff.", Code::kCorrupt, "memo index 4294967295");
  faults += Expect("g-1\n.", Code::kCorrupt, "GET");
  faults += Expect("Np99999999999999999999\n.", Code::kCorrupt, "PUT");
  faults += Expect("L" + std::string(5000, '9') + "L\n.", Code::kLimit, "LONG");
  faults += Expect("\x80\x06N.", Code::kUnsupported, "protocol 6");
  faults += Expect("\x82\x01.", Code::kUnsupported, "EXT1");
  faults += Expect("\x83\x01\x01.", Code::kUnsupported, "EXT2");
  faults += Expect("\x84\x01\x01\x01\x01.", Code::kUnsupported, "EXT4");
  faults += Expect("\x97.", Code::kUnsupported, "NEXT_BUFFER");
  faults += Expect("N\x98.", Code::kUnsupported, "READONLY_BUFFER");
  for (int byte : {0x00, 0x0a, 0x41, 0x7f, 0x99, 0xff}) {
    faults += Expect(std::string(1, static_cast<char>(byte)), Code::kUnsupported,
                     fmt::format("opcode 0x{:02x} at byte 0", byte));
  }
  faults += Expect("", Code::kCorrupt, "without STOP");
  return faults;
}

void WrongArguments(void**) { assert_int_equal(ArgumentFaults(), 0); }

std::string Repeat(const std::string& text, size_t count) {
  std::string out;
  out.reserve(text.size() * count);
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

int CapFaults() {
  int faults = 0;
  Limits limits;
  faults += Expect(std::string(1001, '(') + "N.", Code::kLimit, "MARK at byte 1000");
  limits.max_nodes = 100;
  faults += Expect(Repeat("]", 200) + ".", Code::kLimit, "EMPTY_LIST", limits);
  limits = Limits();
  limits.max_bytes = 3;
  faults += Expect(
      "\x8c\x04"
      "abcd.",
      Code::kLimit, "SHORT_BINUNICODE", limits);
  limits = Limits();
  limits.max_memo = 3;
  faults += Expect("N" + Repeat("\x94", 9) + ".", Code::kLimit, "MEMOIZE at byte 4", limits);
  faults += Expect("Nq\x01q\x02q\x03q\x03r\xff\xff\xff\xff.", Code::kLimit, "LONG_BINPUT", limits);
  return faults;
}

void Caps(void**) { assert_int_equal(CapFaults(), 0); }

// Pickles whose meaning is far larger than they are, or which nest without end.
int BombFaults() {
  int faults = 0;
  auto nodes = [&faults](const std::string& pickle) {
    Result<Graph> graph = Parse(AsBytes(pickle));
    if (!graph.ok()) {
      print_error("%s\n", graph.status().ToString().c_str());
      ++faults;
      return;
    }
    if (graph->node_count() > pickle.size() + 8) ++faults;
    if (Walk(*graph) == 0) ++faults;
  };
  nodes("N\x85q\0"s + Repeat("h\0h\0\x86q\0"s, 100000) + ".");  // 2^100000 leaves
  nodes("N" + Repeat("2\x86", 100000) + ".");                   // likewise
  nodes(Repeat("]", 300000) + Repeat("a", 299999) + ".");       // nested lists
  nodes("N" + Repeat("\x85", 300000) + ".");                    // nested tuples
  nodes("cm\nf\n" + Repeat(")R", 300000) + ".");                // calls of results
  nodes("cm\nf\n" + Repeat(")R)b", 300000) + ".");              // with states
  nodes("](" + Repeat("N", 500000) + "e.");                     // one wide list
  nodes("]" + Repeat("(NNNNe", 50000) + ".");                   // many batches
  nodes("]" + Repeat("]a", 100000) + ".");                      // children of no size
  nodes(Repeat("]", 1000) + Repeat("2Na0", 1000) + ".");
  nodes("N" + Repeat("r\xff\xff\xff\xff", 1000) + ".");  // the farthest memo index
  return faults;
}

void Bombs(void**) {
  struct rusage before;
  struct rusage after;
  getrusage(RUSAGE_SELF, &before);
  const int faults = BombFaults();
  getrusage(RUSAGE_SELF, &after);
  assert_int_equal(faults, 0);
  assert_true(after.ru_maxrss - before.ru_maxrss < 400 << 10);  // KiB
}

// No memo index makes the memo larger than the input.
int MemoFaults() {
  std::string pickle = "K\x01";
  for (uint32_t index : {0u, 70u, 5000u, 1u << 20, 0x7fffffffu, 0xfffffffeu}) {
    pickle += "r";
    AppendLe(pickle, index);
  }
  pickle += "p18446744073709551615\n0";
  for (uint32_t index : {0u, 70u, 5000u, 1u << 20, 0x7fffffffu, 0xfffffffeu}) {
    pickle += "j";
    AppendLe(pickle, index);
    pickle += "0";
  }
  pickle += "g18446744073709551615\n.";
  if (ParseText(pickle) != "1") return 1;
  pickle.back() = '0';
  return Expect(pickle + "j\x47\0\0\0."s, Code::kCorrupt, "memo index 71");
}

void FarMemoIndices(void**) { assert_int_equal(MemoFaults(), 0); }

}  // namespace
}  // namespace dcp::pickle

int main() {
  using namespace dcp::pickle;
  const CMUnitTest tests[] = {
      cmocka_unit_test(EveryPrefixIsRefused),
      cmocka_unit_test(ChangedBytesDoNoHarm),
      cmocka_unit_test(StackUnderflow),
      cmocka_unit_test(WrongTypes),
      cmocka_unit_test(WrongArguments),
      cmocka_unit_test(Caps),
      cmocka_unit_test(Bombs),
      cmocka_unit_test(FarMemoIndices),
  };
  return cmocka_run_group_tests_name("pickle/hostile", tests, nullptr, nullptr);
}
