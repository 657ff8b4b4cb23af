// Writes pickle opcodes. The caller drives it as a stack machine; nothing is checked beyond sizes.
#ifndef DCP_PICKLE_WRITER_H_
#define DCP_PICKLE_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace dcp::pickle {

// Protocol 2 (what torch.save writes) or 4 (what Python 3.8 to 3.13 write by default; emitted
// without FRAME opcodes, which are optional).
class Writer {
 public:
  // Appends to `out`, which is borrowed. Writes the PROTO opcode at once.
  Writer(int protocol, std::string* out);

  void None();
  void Bool(bool value);
  void Int(int64_t value);                        // BININT1, BININT2, BININT or LONG1
  void WideInt(uint32_t value);                   // LONG1 of seven bytes, whatever the value
  void BigInt(std::string_view twos_complement);  // LONG1 / LONG4
  void Float(double value);
  void String(std::string_view utf8);  // SHORT_BINUNICODE (4), BINUNICODE, BINUNICODE8 (4)
  void BytesValue(
      std::string_view bytes);  // protocol 4: BINBYTES; 2: _codecs.encode(str, 'latin1')
  void EmptyTuple();
  void EmptyList();
  void EmptyDict();
  void EmptySet();  // protocol 4 only
  void Mark();
  void TupleFromMark();
  void Tuple1();
  void Tuple2();
  void Tuple3();
  void Append();
  void Appends();
  void SetItem();
  void SetItems();
  void AddItems();                                              // protocol 4 only, to an EMPTY_SET
  void Global(std::string_view module, std::string_view name);  // memoised: written once, then got
  void Reduce();
  void NewObject();
  void Build();
  void PersistentId();  // BINPERSID, operand on the stack
  uint32_t Memoize();   // remembers the top of the stack and returns its index
  void Get(uint32_t memo);
  void Stop();

  // Entries of the memo. Opcodes that made none mean the same wherever they are written again.
  uint32_t memo_size() const { return memo_next_; }
  void Repeat(std::string_view opcodes) { out_->append(opcodes); }

  // String that is remembered and got again when written a second time (names of fields).
  void InternedString(std::string_view utf8);

 private:
  void Op(char opcode) { out_->push_back(opcode); }
  template <typename T>
  void Op(char opcode, T argument);

  std::string* out_;
  int protocol_;
  uint32_t memo_next_ = 0;
  std::unordered_map<std::string, uint32_t> interned_;  // private keys -> memo index
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_WRITER_H_
