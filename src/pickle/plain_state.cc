#include "pickle/plain_state.h"

#include <algorithm>

#include "pickle/text.h"

namespace dcp::pickle {

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
    if (!Answer(recall)) return false;
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
  const auto is_short = [this](const PlainValue* value) {
    return value->text.size() <= longest_ && IsUtf8(value->text);
  };
  return std::all_of(pattern_->texts().begin(), pattern_->texts().end(), is_short);
}

// What was put earlier, or a shape of this state.
bool PlainStateReader::Answer(const StatePattern::Recall& recall) {
  PlainValue& value = *recall.value;
  const uint64_t base = memo_.count();
  if (recall.index < base) {
    value.kind = PlainValue::Kind::kNode;
    value.node = memo_.Get(recall.index);
    return value.node != kNoNode;
  }
  if (recall.index - base >= recall.memoised_before) return false;
  const PlainValue* shape = pattern_->numbers_memoised(recall.index - base);
  if (shape == nullptr) return false;
  value.kind = PlainValue::Kind::kNumbers;
  value.node = shape->node;
  value.numbers = shape->numbers;
  return true;
}

}  // namespace dcp::pickle
