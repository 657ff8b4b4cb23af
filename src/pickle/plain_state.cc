#include "pickle/plain_state.h"

#include <algorithm>

#include "pickle/text.h"

namespace dcp::pickle {

inline bool PlainStateReader::AnswerEarlier(const StatePattern::Recall& recall) {
  recall.value->kind = PlainValue::Kind::kNode;
  recall.value->node = memo_.Get(recall.index);
  return recall.value->node != kNoNode;
}

bool PlainStateReader::Read(const std::byte* at, const std::byte* end) {
  if (!memo_.in_order()) return false;
  const uint64_t base = memo_.count();
  const auto [pattern, form] = patterns_.Find(at, end, base);
  if (pattern == nullptr || pattern->memoised() > memo_.end() - std::min(base, memo_.end())) {
    return false;
  }
  pattern_ = pattern;
  form_ = form;
  if ((!pattern->settled() && !Settle()) || !AreShortTexts()) return false;
  for (const StatePattern::Recall& recall : pattern->recalls()) {
    if (!(recall.index < base ? AnswerEarlier(recall) : AnswerOwn(recall, base))) return false;
  }
  const uint64_t others = pattern->memoised() == 64 ? 0 : ~uint64_t{0} << pattern->memoised();
  kept_ = memo_.RecalledFrom(base) & ~others;
  return (kept_ & ~pattern->numbers_mask()) == 0;
}

// Nothing that was put in order changes, so that this is done once.
bool PlainStateReader::Settle() {
  for (const StatePattern::Recall& recall : pattern_->fixed_recalls()) {
    recall.value->node = memo_.Get(recall.index);
    if (recall.value->node == kNoNode) return false;
  }
  pattern_->Settle();
  return true;
}

bool PlainStateReader::AreShortTexts() const {
  if (pattern_->texts().empty()) return true;
  const auto is_short = [this](const PlainValue* value) {
    return value->text.size() <= longest_ && IsUtf8(value->text);
  };
  return std::all_of(pattern_->texts().begin(), pattern_->texts().end(), is_short);
}

// By a shape of the same state.
bool PlainStateReader::AnswerOwn(const StatePattern::Recall& recall, uint64_t base) {
  if (recall.index - base >= recall.memoised_before) return false;
  const PlainValue* shape = pattern_->numbers_memoised(recall.index - base);
  if (shape == nullptr) return false;
  recall.value->kind = PlainValue::Kind::kNumbers;
  recall.value->node = shape->node;
  recall.value->numbers = shape->numbers;
  return true;
}

}  // namespace dcp::pickle
