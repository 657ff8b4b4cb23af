// The states that are read at once, without making nodes.
#ifndef DCP_PICKLE_PLAIN_STATE_H_
#define DCP_PICKLE_PLAIN_STATE_H_

#include "pickle/memo.h"
#include "pickle/state_pattern.h"

namespace dcp::pickle {

class PlainStateReader {
 public:
  // `longest`: bytes of a text; what is longer is not plain.
  PlainStateReader(Memo& memo, uint64_t longest) : memo_(memo), longest_(longest) {}

  // Reads from behind an object's NEWOBJ up to and including its BUILD. True when every opcode is
  // one of a plain state, in its place, and the memo keeps nothing of it but `kept()`; it then has
  // changed nothing but this reader, and so it is when false.
  bool Read(const std::byte* at, const std::byte* end);

  // Of the state read last; valid until the next Read.
  PlainState state() const { return {pattern_->pairs(), form_}; }
  // Bit i: whether the ith thing it memoises is a shape that the memo keeps.
  uint64_t kept() const { return kept_; }
  // Class and numbers of such a shape.
  const PlainValue& shape(size_t i) const { return *pattern_->numbers_memoised(i); }
  const std::byte* end() const { return pattern_->end(); }
  uint64_t memoised() const { return pattern_->memoised(); }
  uint32_t depth() const { return pattern_->depth(); }  // MARKs on the stack at once

 private:
  bool Settle();
  bool AreShortTexts() const;
  bool AnswerEarlier(const StatePattern::Recall& recall);
  bool AnswerOwn(const StatePattern::Recall& recall, uint64_t base);

  Memo& memo_;
  const uint64_t longest_;
  StatePatterns patterns_;
  StatePattern* pattern_ = nullptr;
  uint64_t form_ = 0;
  uint64_t kept_ = 0;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_PLAIN_STATE_H_
