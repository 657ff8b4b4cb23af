#include "pickle/plain_state.h"

#include <algorithm>

#include "pickle/arena.h"
#include "pickle/text.h"

namespace dcp::pickle {

bool PlainStateReader::Read(const std::byte* at, const std::byte* end) {
  if (!memo_.in_order()) return false;
  at_ = at;
  end_ = end;
  next_ = memo_.count();
  field_count_ = kept_count_ = number_count_ = 0;
  if (!Forgotten()) return false;  // the object
  if (!Next(Opcode::kEmptyDict) || !Forgotten() || !Next(Opcode::kMark)) return false;
  while (!Next(Opcode::kSetItems)) {
    if (field_count_ == fields_.size()) return false;
    PlainField& field = fields_[field_count_++];
    if (!Key(&field.key) || !Value(&field.value)) return false;
  }
  return Next(Opcode::kBuild);
}

bool PlainStateReader::Next(Opcode opcode) {
  if (at_ == end_ || static_cast<Opcode>(*at_) != opcode) return false;
  ++at_;
  return true;
}

// Passes the opcode that memoises what came before, if there is one; it must name the next index.
bool PlainStateReader::Memoised(bool* recalled) {
  *recalled = false;
  if (at_ == end_) return true;
  switch (static_cast<Opcode>(*at_)) {
    case Opcode::kMemoize:
      at_ += 1;
      break;
    case Opcode::kBinPut:
      if (left() < 2 || static_cast<uint8_t>(at_[1]) != next_) return false;
      at_ += 2;
      break;
    case Opcode::kLongBinPut:
      if (left() < 5 || LoadLe<uint32_t>(at_ + 1) != next_) return false;
      at_ += 5;
      break;
    default:
      return true;
  }
  if (next_ >= memo_.end()) return false;
  *recalled = memo_.IsRecalled(next_);
  ++next_;
  return true;
}

bool PlainStateReader::Forgotten() {
  bool recalled;
  return Memoised(&recalled) && !recalled;
}

bool PlainStateReader::Natural(uint64_t* out) {
  const size_t after = left() - 1;
  switch (static_cast<Opcode>(*at_)) {
    case Opcode::kBinInt1:
      if (after < 1) return false;
      *out = static_cast<uint8_t>(at_[1]);
      at_ += 2;
      return true;
    case Opcode::kBinInt2:
      if (after < 2) return false;
      *out = LoadLe<uint16_t>(at_ + 1);
      at_ += 3;
      return true;
    case Opcode::kBinInt:
      if (after < 4) return false;
      *out = LoadLe<uint32_t>(at_ + 1);
      at_ += 5;
      return *out <= INT32_MAX;
    case Opcode::kLong1: {
      if (after < 1) return false;
      const size_t size = static_cast<uint8_t>(at_[1]);
      if (size > sizeof *out || after < 1 + size) return false;
      *out = 0;
      std::memcpy(out, at_ + 2, size);
      at_ += 2 + size;
      return size == 0 || *out >> (8 * size - 1) == 0;
    }
    default:
      return false;
  }
}

bool PlainStateReader::ShortText(std::string_view* out) {
  size_t head;
  uint64_t size;
  if (static_cast<Opcode>(*at_) == Opcode::kShortBinUnicode && left() >= 2) {
    head = 2;
    size = static_cast<uint8_t>(at_[1]);
  } else if (static_cast<Opcode>(*at_) == Opcode::kBinUnicode && left() >= 5) {
    head = 5;
    size = LoadLe<uint32_t>(at_ + 1);
  } else {
    return false;
  }
  if (size > left() - head || size > longest_) return false;
  *out = AsText({at_ + head, static_cast<size_t>(size)});
  at_ += head + size;
  return IsUtf8(*out) && Forgotten();
}

bool PlainStateReader::Recall(NodeId* out) {
  uint64_t index;
  if (static_cast<Opcode>(*at_) == Opcode::kBinGet && left() >= 2) {
    index = static_cast<uint8_t>(at_[1]);
    at_ += 2;
  } else if (static_cast<Opcode>(*at_) == Opcode::kLongBinGet && left() >= 5) {
    index = LoadLe<uint32_t>(at_ + 1);
    at_ += 5;
  } else {
    return false;
  }
  *out = memo_.Get(index);
  return *out != kNoNode;
}

bool PlainStateReader::Key(PlainValue* out) {
  if (at_ == end_) return false;
  const auto opcode = static_cast<Opcode>(*at_);
  const bool recalls = opcode == Opcode::kBinGet || opcode == Opcode::kLongBinGet;
  out->kind = recalls ? PlainValue::Kind::kNode : PlainValue::Kind::kText;
  return recalls ? Recall(&out->node) : ShortText(&out->text);
}

bool PlainStateReader::Value(PlainValue* out) {
  if (at_ == end_) return false;
  switch (static_cast<Opcode>(*at_)) {
    case Opcode::kNone:
      ++at_;
      out->kind = PlainValue::Kind::kNode;
      out->node = kNoneNode;
      return true;
    case Opcode::kShortBinUnicode:
    case Opcode::kBinUnicode:
      out->kind = PlainValue::Kind::kText;
      return ShortText(&out->text);
    case Opcode::kBinGet:
    case Opcode::kLongBinGet:
      return Recall(&out->node) && Call(out);
    default:
      out->kind = PlainValue::Kind::kNumber;
      return Natural(&out->number);
  }
}

// What was recalled is the value, or is called with a tuple of numbers.
bool PlainStateReader::Call(PlainValue* out) {
  out->kind = PlainValue::Kind::kNode;
  if (at_ == end_) return false;
  switch (static_cast<Opcode>(*at_)) {
    case Opcode::kBinInt1:
    case Opcode::kBinInt2:
    case Opcode::kBinInt:
    case Opcode::kLong1:
    case Opcode::kMark:
    case Opcode::kEmptyTuple:
      break;
    default:
      return true;
  }
  out->kind = PlainValue::Kind::kNumbers;
  bool recalled;
  if (!Numbers(out) || !Next(Opcode::kTuple1) || !Forgotten() || !Next(Opcode::kReduce) ||
      !Memoised(&recalled)) {
    return false;
  }
  if (recalled) kept_[kept_count_++] = {next_ - 1, out->node, out->numbers};
  return true;
}

bool PlainStateReader::Numbers(PlainValue* out) {
  if (Next(Opcode::kEmptyTuple)) {
    out->numbers = {};
    return true;
  }
  const bool marked = Next(Opcode::kMark);
  const size_t first = number_count_;
  for (;;) {
    if (at_ == end_) return false;
    const auto opcode = static_cast<Opcode>(*at_);
    if (opcode == Opcode::kTuple1 || opcode == Opcode::kTuple2 || opcode == Opcode::kTuple3 ||
        opcode == Opcode::kTuple) {
      break;
    }
    if (number_count_ == numbers_.size() || !Natural(&numbers_[number_count_])) return false;
    ++number_count_;
  }
  const size_t count = number_count_ - first;
  const auto unmarked = static_cast<Opcode>(static_cast<uint8_t>(Opcode::kTuple1) + count - 1);
  if (marked ? !Next(Opcode::kTuple) : count == 0 || count > 3 || !Next(unmarked)) return false;
  if (marked && count == 0) return false;  // a shared empty tuple, which nothing memoises
  out->numbers = {numbers_.data() + first, count};
  return Forgotten();
}

}  // namespace dcp::pickle
