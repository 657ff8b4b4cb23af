#include "pickle/writer.h"

#include <cmath>
#include <limits>

#include "support/cmocka.h"
#include "unit/pickle/graph_text.h"

namespace dcp::pickle {
namespace {

using namespace std::string_literals;

int Differs(const char* what, const std::string& got, const std::string& want) {
  if (got == want) return 0;
  print_error("%s\n  got  %s\n  want %s\n", what, ToHex(got).c_str(), ToHex(want).c_str());
  return 1;
}

// The data.pkl that torch.save writes for a float32 tensor of shape [2, 2], byte for byte.
int TensorFaults() {
  std::string out;
  Writer w(2, &out);
  w.Global("torch._utils", "_rebuild_tensor_v2");
  w.Mark();
  w.Mark();
  w.InternedString("storage");
  w.Global("torch", "FloatStorage");
  w.InternedString("0");
  w.InternedString("cpu");
  w.Int(4);
  w.TupleFromMark();
  w.Memoize();
  w.PersistentId();
  w.Int(0);
  w.Int(2);
  w.Int(2);
  w.Tuple2();
  w.Memoize();
  w.Int(2);
  w.Int(1);
  w.Tuple2();
  w.Memoize();
  w.Bool(false);
  w.Global("collections", "OrderedDict");
  w.EmptyTuple();
  w.Reduce();
  w.Memoize();
  w.TupleFromMark();
  w.Memoize();
  w.Reduce();
  w.Memoize();
  w.Stop();
  return Differs("tensor", out,
                 "\x80\x02"
                 "ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\x00\x00\x00storageq\x01"
                 "ctorch\nFloatStorage\nq\x02X\x01\x00\x00\x00"
                 "0q\x03X\x03\x00\x00\x00"
                 "cpuq\x04K\x04tq\x05QK\x00K\x02K\x02\x86q\x06K\x02K\x01\x86q\x07\x89"
                 "ccollections\nOrderedDict\nq\x08)Rq\ttq\nRq\x0b."s);
}

void TorchTensor(void**) { assert_int_equal(TensorFaults(), 0); }

// pickle.dumps([b'\x00\xffabc'], 2) and a dict with a class instance in protocol 4 (no FRAME).
int KnownFaults() {
  int faults = 0;
  std::string out;
  Writer two(2, &out);
  two.BytesValue(
      "\x00\xff"
      "abc"s);
  two.Memoize();
  two.Stop();
  // As torch writes it, but for the tuple, which is not put into the memo.
  faults += Differs("bytes", out,
                    "\x80\x02"
                    "c_codecs\nencode\nq\x00X\x06\x00\x00\x00\x00\xc3\xbf"
                    "abcX\x06\x00\x00\x00latin1q\x01\x86Rq\x02."s);
  out.clear();
  Writer four(4, &out);
  four.Global("shapes", "Point");
  four.EmptyTuple();
  four.NewObject();
  four.EmptyDict();
  four.InternedString("x");
  four.Int(1);
  four.SetItem();
  four.Build();
  four.Stop();
  faults += Differs("object", out,
                    "\x80\x04\x8c\x06shapes\x94\x8c\x05Point\x94\x93\x94)\x81}"
                    "\x8c\x01x\x94K\x01sb."s);
  return faults;
}

void KnownBytes(void**) { assert_int_equal(KnownFaults(), 0); }

int IntFaults() {
  struct {
    int64_t value;
    std::string bytes;
  } const cases[] = {
      {0, "K\0"s},
      {255, "K\xff"},
      {256, "M\0\x01"s},
      {65535, "M\xff\xff"},
      {65536, "J\0\0\x01\0"s},
      {-1, "J\xff\xff\xff\xff"},
      {std::numeric_limits<int32_t>::max(), "J\xff\xff\xff\x7f"},
      {std::numeric_limits<int32_t>::min(), "J\0\0\0\x80"s},
      {int64_t{1} << 31, "\x8a\x05\0\0\0\x80\0"s},
      {-(int64_t{1} << 31) - 1, "\x8a\x05\xff\xff\xff\x7f\xff"},
      {std::numeric_limits<int64_t>::max(), "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"},
      {std::numeric_limits<int64_t>::min(), "\x8a\x08\0\0\0\0\0\0\0\x80"s},
  };
  int faults = 0;
  for (const auto& one : cases) {
    std::string out;
    Writer writer(4, &out);
    writer.Int(one.value);
    writer.Stop();
    faults += Differs("int", out, "\x80\x04" + one.bytes + ".");
    faults += Differs("int read", ParseText(out), std::to_string(one.value));
  }
  return faults;
}

void Integers(void**) { assert_int_equal(IntFaults(), 0); }

// What is written is read back, in both protocols.
int RoundTripFaults() {
  int faults = 0;
  for (int protocol : {2, 4}) {
    std::string out;
    Writer w(protocol, &out);
    w.Mark();
    w.None();
    w.Bool(true);
    w.Float(-0.5);
    w.Float(std::numeric_limits<double>::infinity());
    w.BigInt(std::string(300, '\x11'));
    w.BigInt("\x05\0\0\0\0\0\0\0\0\0"s);
    w.String("");
    w.String("\xed\xa0\x80");
    w.String(std::string(300, 'y'));
    w.EmptyList();
    w.Int(1);
    w.Append();
    w.Mark();
    w.Int(2);
    w.Int(3);
    w.Appends();
    w.EmptyDict();
    w.InternedString("k");
    w.Int(4);
    w.SetItem();
    w.Mark();
    w.InternedString("k");
    w.Int(5);
    w.SetItems();
    w.Int(6);
    w.Tuple1();
    const uint32_t tuple = w.Memoize();
    w.Int(7);
    w.Int(8);
    w.Int(9);
    w.Tuple3();
    w.Get(tuple);
    w.Global("m", "k");
    w.Global("m", "k");
    w.TupleFromMark();
    w.Stop();
    const std::string want = "(None, True, float:bfe0000000000000, float:7ff0000000000000, big:" +
                             ToHex(std::string(300, '\x11')) + ", 5, '', 'eda080', '" +
                             ToHex(std::string(300, 'y')) +
                             "', [1, 2, 3], {'6b': 4, '6b': 5}, (6), (7, 8, 9), (6), @m:k, @m:k)";
    faults += Differs("round trip", ParseText(out), want);
  }
  std::string out;
  Writer w(4, &out);
  w.EmptySet();
  w.Mark();
  w.BytesValue("\xff");
  w.BytesValue(std::string(300, 'z'));
  w.BytesValue("");
  w.AddItems();
  w.Stop();
  faults += Differs("set", ParseText(out), "set(b:ff, b:" + ToHex(std::string(300, 'z')) + ", b:)");
  return faults;
}

void RoundTrips(void**) { assert_int_equal(RoundTripFaults(), 0); }

// Memo indices beyond a byte, and names that look like others.
int MemoFaults() {
  int faults = 0;
  for (int protocol : {2, 4}) {
    std::string out;
    Writer w(protocol, &out);
    w.EmptyList();
    w.Mark();
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 400; ++i) w.InternedString(std::to_string(i));
    }
    w.InternedString("m\nk");
    w.Global("m", "k");
    w.Appends();
    w.Stop();
    Result<Graph> graph = Parse(AsBytes(out));
    if (!graph.ok()) return 1000;
    const std::span<const NodeId> items = graph->Items(graph->root());
    if (items.size() != 802) return 1001;
    for (size_t i = 0; i < 400; ++i) {
      if (items[i] != items[i + 400] || graph->Text(items[i]) != std::to_string(i)) ++faults;
    }
    if (graph->Text(items[800]) != "m\nk" || !graph->IsGlobal(items[801], "m", "k")) ++faults;
  }
  return faults;
}

void Interning(void**) { assert_int_equal(MemoFaults(), 0); }

}  // namespace
}  // namespace dcp::pickle

int main() {
  using namespace dcp::pickle;
  const CMUnitTest tests[] = {
      cmocka_unit_test(TorchTensor), cmocka_unit_test(KnownBytes), cmocka_unit_test(Integers),
      cmocka_unit_test(RoundTrips),  cmocka_unit_test(Interning),
  };
  return cmocka_run_group_tests_name("pickle/writer", tests, nullptr, nullptr);
}
