// The state of an object, as picklers write that of most dataclasses: a dict of names and of
// numbers, texts, shapes and things put earlier. Such a state is read at once, without making
// nodes.
#ifndef DCP_PICKLE_PLAIN_STATE_H_
#define DCP_PICKLE_PLAIN_STATE_H_

#include <array>

#include "pickle/memo.h"
#include "pickle/opcode.h"

namespace dcp::pickle {

// A shape that the pickle asks for again: it is read with the state, and must become a node.
struct KeptNumbers {
  uint64_t memo_index;
  NodeId callee;
  std::span<const uint64_t> numbers;
};

class PlainStateReader {
 public:
  // `longest`: bytes of a text; what is longer is not plain.
  PlainStateReader(Memo& memo, uint64_t longest) : memo_(memo), longest_(longest) {}

  // Reads from behind an object's NEWOBJ up to and including its BUILD. True when every opcode is
  // one of a plain state, in its place, and the memo keeps nothing of it but `kept()`; it then has
  // changed nothing but this reader, and so it is when false.
  bool Read(const std::byte* at, const std::byte* end);

  // Of the state read last; valid until the next Read.
  std::span<const PlainField> fields() const { return {fields_.data(), field_count_}; }
  std::span<const KeptNumbers> kept() const { return {kept_.data(), kept_count_}; }
  const std::byte* end() const { return at_; }
  uint64_t memoised() const { return next_ - memo_.count(); }

 private:
  static constexpr size_t kMostFields = 8;
  static constexpr size_t kMostNumbers = 160;

  size_t left() const { return static_cast<size_t>(end_ - at_); }
  bool Next(Opcode opcode);
  bool Memoised(bool* recalled);
  bool Forgotten();
  bool Natural(uint64_t* out);
  bool ShortText(std::string_view* out);
  bool Recall(NodeId* out);
  bool Key(PlainValue* out);
  bool Value(PlainValue* out);
  bool Numbers(PlainValue* out);
  bool Call(PlainValue* out);

  Memo& memo_;
  const uint64_t longest_;
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  uint64_t next_ = 0;  // memo index
  size_t field_count_ = 0;
  size_t kept_count_ = 0;
  size_t number_count_ = 0;
  std::array<PlainField, kMostFields> fields_;
  std::array<KeptNumbers, kMostFields> kept_;
  std::array<uint64_t, kMostNumbers> numbers_;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_PLAIN_STATE_H_
