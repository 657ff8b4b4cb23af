#include "pickle/state_pattern.h"

#include <algorithm>
#include <memory>

#include "pickle/arena.h"
#include "pickle/opcode.h"

namespace dcp::pickle {
namespace {

constexpr uint64_t kWord = sizeof(uint64_t);

size_t Left(const std::byte* at, const std::byte* end) { return static_cast<size_t>(end - at); }

bool IsNumber(Opcode opcode) {
  return opcode == Opcode::kBinInt1 || opcode == Opcode::kBinInt2 || opcode == Opcode::kBinInt ||
         opcode == Opcode::kLong1;
}

constexpr size_t kLongestNumber = 2 + kWord;
constexpr size_t kLongestIndex = 5;
constexpr size_t kLongestHead = 5;  // of a text

// What follows reads an argument at *at, behind which *at then is; false for any other opcode.
// kChecked: whether the input may end within it. Else as much as it can take is there.

// An integer >= 0.
template <bool kChecked>
inline bool ReadNatural(const std::byte** at, const std::byte* end, uint64_t* out) {
  const std::byte* const from = *at;
  const auto lacks = [&](size_t size) { return kChecked && Left(from, end) < size; };
  if (lacks(2)) return false;
  switch (static_cast<Opcode>(*from)) {
    case Opcode::kBinInt1:
      *out = static_cast<uint8_t>(from[1]);
      *at += 2;
      return true;
    case Opcode::kBinInt2:
      if (lacks(3)) return false;
      *out = LoadLe<uint16_t>(from + 1);
      *at += 3;
      return true;
    case Opcode::kBinInt:
      if (lacks(5)) return false;
      *out = LoadLe<uint32_t>(from + 1);
      *at += 5;
      return *out <= INT32_MAX;
    case Opcode::kLong1: {
      const size_t size = static_cast<uint8_t>(from[1]);
      if (size > kWord || lacks(2 + size)) return false;
      *at += 2 + size;
      *out = 0;
      if (size == 0) return true;
      if constexpr (kChecked) {
        std::memcpy(out, from + 2, size);
      } else {
        *out = LoadLe<uint64_t>(from + 2) & ~uint64_t{0} >> 8 * (kWord - size);
      }
      return *out >> (8 * size - 1) == 0;
    }
    default:
      return false;
  }
}

template <bool kChecked>
inline bool ReadText(const std::byte** at, const std::byte* end, std::string_view* out) {
  const std::byte* const from = *at;
  const auto lacks = [&](size_t size) { return kChecked && Left(from, end) < size; };
  size_t head = 2;
  size_t size;
  if (lacks(2)) return false;
  if (static_cast<Opcode>(*from) == Opcode::kShortBinUnicode) {
    size = static_cast<uint8_t>(from[1]);
  } else if (static_cast<Opcode>(*from) == Opcode::kBinUnicode && !lacks(5)) {
    head = 5;
    size = LoadLe<uint32_t>(from + 1);
  } else {
    return false;
  }
  if (size > StatePattern::kLongestText || lacks(head + size)) return false;
  *out = AsText({from + head, size});
  *at += head + size;
  return true;
}

// By BINGET and BINPUT, or by the long ones.
template <bool kChecked>
inline bool ReadIndex(const std::byte** at, const std::byte* end, Opcode narrow, Opcode wide,
                      uint64_t* out) {
  const std::byte* const from = *at;
  const auto lacks = [&](size_t size) { return kChecked && Left(from, end) < size; };
  if (lacks(2)) return false;
  if (static_cast<Opcode>(*from) == narrow) {
    *out = static_cast<uint8_t>(from[1]);
    *at += 2;
    return true;
  }
  if (static_cast<Opcode>(*from) != wide || lacks(5)) return false;
  *out = LoadLe<uint32_t>(from + 1);
  *at += 5;
  return true;
}
template <bool kChecked>
inline bool ReadRecall(const std::byte** at, const std::byte* end, uint64_t* out) {
  return ReadIndex<kChecked>(at, end, Opcode::kBinGet, Opcode::kLongBinGet, out);
}
template <bool kChecked>
inline bool ReadPut(const std::byte** at, const std::byte* end, uint64_t* out) {
  return ReadIndex<kChecked>(at, end, Opcode::kBinPut, Opcode::kLongBinPut, out);
}

// `pattern` can be read in whole words.
template <bool kChecked>
inline bool SameBytes(const std::byte* at, const std::byte* end, const std::byte* pattern,
                      size_t size) {
  if (kChecked && Left(at, end) < AlignUp(size, kWord)) {
    return Left(at, end) >= size && std::memcmp(at, pattern, size) == 0;
  }
  if (size >= kWord) {
    const std::byte* const last = at + size - kWord;  // looked at by itself, in part again
    if (LoadLe<uint64_t>(last) != LoadLe<uint64_t>(pattern + size - kWord)) return false;
    for (; at < last; at += kWord, pattern += kWord) {
      if (LoadLe<uint64_t>(at) != LoadLe<uint64_t>(pattern)) return false;
    }
    return true;
  }
  if (size == 0) return true;
  const uint64_t differs = LoadLe<uint64_t>(at) ^ LoadLe<uint64_t>(pattern);
  return differs << 8 * (kWord - size) == 0;
}

}  // namespace

// Reads one state by the rules, and writes down the steps that lead through another such.
class StatePattern::Learner {
 public:
  Learner(StatePattern* pattern, const std::byte* at, const std::byte* end)
      : p_(*pattern), at_(at), end_(end) {}

  bool Run() {
    p_.step_count_ = p_.recall_count_ = p_.fixed_count_ = p_.text_count_ = 0;
    p_.memoised_ = p_.depth_ = 0;
    p_.calls_mask_ = 0;
    p_.settled_ = false;
    p_.longest_ = 0;
    std::construct_at(p_.values_.data());
    return Memoised() && DictState(p_.values_.data());
  }

 private:
  bool Next(Opcode opcode) {
    if (!At(opcode)) return false;
    return Fixed(1);
  }
  bool At(Opcode opcode) const { return at_ != end_ && static_cast<Opcode>(*at_) == opcode; }

  // Passes `size` bytes, which are the same in every such state.
  bool Fixed(size_t size) {
    Step* step = last();
    if (step == nullptr || step->kind != Step::Kind::kEnd) step = NewStep();
    if (step == nullptr) return false;
    const size_t begin = size_t{step->fixed_at} + step->fixed_size;
    if (AlignUp(begin + size, kWord) > p_.fixed_.size()) return false;
    std::memcpy(p_.fixed_.data() + begin, at_, size);
    step->fixed_size = static_cast<uint16_t>(step->fixed_size + size);
    fixed_end_ = begin + size;
    at_ += size;
    p_.longest_ += size + kWord;
    return true;
  }
  // Of what is not always the same, and takes up to `longest` bytes.
  Step* Add(Step::Kind kind, size_t longest) {
    Step* step = last();
    if (step == nullptr || step->kind != Step::Kind::kEnd) step = NewStep();
    if (step == nullptr) return nullptr;
    step->kind = kind;
    p_.longest_ += longest;
    return step;
  }
  Step* last() { return p_.step_count_ == 0 ? nullptr : &p_.steps_[p_.step_count_ - 1]; }
  Step* NewStep() {
    if (p_.step_count_ == p_.steps_.size()) return nullptr;
    Step* step = &p_.steps_[p_.step_count_++];
    step->kind = Step::Kind::kEnd;
    step->fixed_at = static_cast<uint16_t>(AlignUp(fixed_end_, kWord));
    step->fixed_size = 0;
    step->count = 1;
    step->at = 0;
    return step;
  }

  // Passes the opcode that memoises what came before, if there is one.
  bool Memoised(const PlainValue* numbers = nullptr) {
    if (At(Opcode::kMemoize)) {
      if (!Fixed(1)) return false;
    } else if (At(Opcode::kBinPut) || At(Opcode::kLongBinPut)) {
      uint64_t ignored;
      if (!ReadPut<true>(&at_, end_, &ignored)) return false;
      Step* step = Add(Step::Kind::kPut, kLongestIndex);
      if (step == nullptr) return false;
      step->at = static_cast<uint16_t>(p_.memoised_);
    } else {
      return true;
    }
    if (p_.memoised_ == kMostMemoised) return false;
    if (numbers != nullptr) p_.calls_mask_ |= uint64_t{1} << p_.memoised_;
    p_.calls_[p_.memoised_++] = numbers;
    return true;
  }

  bool Number(uint64_t* out) {
    if (!ReadNatural<true>(&at_, end_, out)) return false;
    Step* step = last();
    if (step != nullptr && step->kind == Step::Kind::kNumbers &&
        step->number + step->count == out) {
      ++step->count;
      p_.longest_ += kLongestNumber;
      return true;
    }
    step = Add(Step::Kind::kNumbers, kLongestNumber);
    if (step == nullptr) return false;
    step->number = out;
    return true;
  }

  bool Text(PlainValue* out) {
    out->kind = PlainValue::Kind::kText;
    if (!ReadText<true>(&at_, end_, &out->text)) return false;
    Step* step = Add(Step::Kind::kText, kLongestHead + kLongestText);
    if (step == nullptr || p_.text_count_ == p_.texts_.size()) return false;
    step->value = out;
    p_.texts_[p_.text_count_++] = out;
    return Memoised();
  }

  // Of a value that may be another in each state.
  bool Recalled(PlainValue* out) {
    out->kind = PlainValue::Kind::kNode;
    if (p_.recall_count_ == p_.recalls_.size()) return false;
    Recall& recall = p_.recalls_[p_.recall_count_];
    recall = {0, out, p_.memoised_};
    if (!ReadRecall<true>(&at_, end_, &recall.index)) return false;
    Step* step = Add(Step::Kind::kRecall, kLongestIndex);
    if (step == nullptr) return false;
    step->at = static_cast<uint16_t>(p_.recall_count_++);
    return true;
  }
  // Of what must be the same.
  bool FixedRecall(PlainValue* out) {
    if (p_.fixed_count_ == p_.fixed_recalls_.size()) return false;
    Recall& recall = p_.fixed_recalls_[p_.fixed_count_++];
    recall = {0, out, p_.memoised_};
    const std::byte* behind = at_;
    return ReadRecall<true>(&behind, end_, &recall.index) &&
           Fixed(static_cast<size_t>(behind - at_));
  }

  // Makes room for the items of `owner`.
  PlainValue* Open(PlainValue* owner, PlainValue::Kind kind) {
    if (containers_ == kMostContainers) return nullptr;
    PlainValue* items = p_.values_.data() + 1 + kMostItems * containers_++;
    std::uninitialized_fill_n(items, kMostItems, PlainValue());
    owner->kind = kind;
    owner->first_item = items;
    owner->item_count = 0;
    return items;
  }
  bool Mark() {
    p_.depth_ = std::max(p_.depth_, ++marks_);
    return Next(Opcode::kMark);
  }
  bool Unmark(Opcode opcode) {
    --marks_;
    return Next(opcode);
  }

  // From the dict up to and including BUILD.
  bool DictState(PlainValue* object) {
    PlainValue* const pairs = Open(object, PlainValue::Kind::kDictObject);
    if (pairs == nullptr || !Next(Opcode::kEmptyDict) || !Memoised() || !Mark()) return false;
    while (!At(Opcode::kSetItems)) {
      if (object->item_count == kMostItems) return false;
      PlainValue* const key = &pairs[object->item_count];
      object->item_count += 2;
      if (!Key(key) || !Value(key + 1)) return false;
    }
    return Unmark(Opcode::kSetItems) && Next(Opcode::kBuild);
  }
  bool TupleState(PlainValue* object) {
    PlainValue* const items = Open(object, PlainValue::Kind::kTupleObject);
    if (items == nullptr || !Mark()) return false;
    while (!At(Opcode::kTuple)) {
      if (object->item_count == kMostItems) return false;
      if (!Item(&items[object->item_count++])) return false;
    }
    // An empty one is shared, and nothing memoises it.
    return object->item_count > 0 && Unmark(Opcode::kTuple) && Memoised() && Next(Opcode::kBuild);
  }
  bool List(PlainValue* list) {
    PlainValue* const items = Open(list, PlainValue::Kind::kList);
    if (items == nullptr || !Next(Opcode::kEmptyList) || !Memoised()) return false;
    if (At(Opcode::kMark)) {
      if (!Mark()) return false;
      while (!At(Opcode::kAppends)) {
        if (list->item_count == kMostItems || !Object(&items[list->item_count++])) return false;
      }
      return Unmark(Opcode::kAppends);
    }
    if (!At(Opcode::kBinGet) && !At(Opcode::kLongBinGet)) return true;
    // It has one item, or none, and this begins the next key.
    const std::byte* behind = at_;
    uint64_t ignored;
    if (!ReadRecall<true>(&behind, end_, &ignored)) return false;
    if (behind == end_ || static_cast<Opcode>(*behind) != Opcode::kEmptyTuple) return true;
    list->item_count = 1;
    return Object(items) && Next(Opcode::kAppend);
  }
  bool Object(PlainValue* out) { return FixedRecall(out) && ObjectOfClass(out); }
  bool ObjectOfClass(PlainValue* out) {
    if (!Next(Opcode::kEmptyTuple) || !Next(Opcode::kNewObj) || !Memoised()) return false;
    return At(Opcode::kMark) ? TupleState(out) : DictState(out);
  }

  bool Key(PlainValue* out) {
    if (!At(Opcode::kBinGet) && !At(Opcode::kLongBinGet)) return Text(out);
    out->kind = PlainValue::Kind::kNode;
    return FixedRecall(out);
  }
  // Of a tuple that is a state: mostly the same things in all.
  bool Item(PlainValue* out) {
    if (At(Opcode::kBinGet) || At(Opcode::kLongBinGet)) {
      out->kind = PlainValue::Kind::kNode;
      return FixedRecall(out);
    }
    if (!At(Opcode::kMark) && !AtSmallTuple()) return Single(out);
    out->kind = PlainValue::Kind::kTuple;
    return Tuple(out);
  }
  // Whether all numbers that come next are the items of one tuple.
  bool AtSmallTuple() const {
    const std::byte* at = at_;
    size_t count = 0;
    uint64_t ignored;
    while (count <= 3 && ReadNatural<true>(&at, end_, &ignored)) ++count;
    if (count == 0 || count > 3 || at == end_) return false;
    return *at == static_cast<std::byte>(static_cast<size_t>(Opcode::kTuple1) + count - 1);
  }
  bool Single(PlainValue* out) {
    if (at_ == end_) return false;
    const auto constant = [&](NodeId node) {
      out->kind = PlainValue::Kind::kNode;
      out->node = node;
      return Fixed(1);
    };
    switch (static_cast<Opcode>(*at_)) {
      case Opcode::kNone:
        return constant(kNoneNode);
      case Opcode::kNewFalse:
        return constant(kFalseNode);
      case Opcode::kNewTrue:
        return constant(kTrueNode);
      case Opcode::kShortBinUnicode:
      case Opcode::kBinUnicode:
        return Text(out);
      case Opcode::kBinGet:
      case Opcode::kLongBinGet:
        return Recalled(out);
      default:
        out->kind = PlainValue::Kind::kNumber;
        return Number(&out->number);
    }
  }
  // Of a dict: also what begins with something recalled, or a list.
  bool Value(PlainValue* out) {
    if (At(Opcode::kEmptyList)) return List(out);
    if (!At(Opcode::kBinGet) && !At(Opcode::kLongBinGet)) return Single(out);
    const std::byte* behind = at_;
    uint64_t ignored;
    if (!ReadRecall<true>(&behind, end_, &ignored) || behind == end_) return false;
    const auto next = static_cast<Opcode>(*behind);
    if (next == Opcode::kEmptyTuple && behind + 1 != end_ &&
        static_cast<Opcode>(behind[1]) == Opcode::kNewObj) {
      return Object(out);
    }
    if (!IsNumber(next) && next != Opcode::kMark && next != Opcode::kEmptyTuple) {
      return Recalled(out);
    }
    return FixedRecall(out) && Call(out);
  }
  // What was recalled is called with a tuple of numbers.
  bool Call(PlainValue* out) {
    out->kind = PlainValue::Kind::kNumbers;
    return Tuple(out) && Next(Opcode::kTuple1) && Memoised() && Next(Opcode::kReduce) &&
           Memoised(out);
  }
  bool Tuple(PlainValue* out) {
    out->numbers = {};
    if (At(Opcode::kEmptyTuple)) return Fixed(1);
    const bool marked = At(Opcode::kMark);
    if (marked && !Mark()) return false;
    const size_t first = number_count_;
    while (at_ != end_ && IsNumber(static_cast<Opcode>(*at_))) {
      if (number_count_ == p_.numbers_.size() || !Number(&p_.numbers_[number_count_])) return false;
      ++number_count_;
    }
    const size_t count = number_count_ - first;
    if (count == 0) return false;
    out->numbers = {p_.numbers_.data() + first, count};
    if (marked) return Unmark(Opcode::kTuple) && Memoised();
    if (count > 3) return false;
    const auto unmarked = static_cast<uint8_t>(Opcode::kTuple1) + count - 1;
    return Next(static_cast<Opcode>(unmarked)) && Memoised();
  }

  StatePattern& p_;
  const std::byte* at_;
  const std::byte* const end_;
  size_t fixed_end_ = 0;
  size_t containers_ = 0;
  size_t number_count_ = 0;
  uint32_t marks_ = 0;
};

bool StatePattern::Learn(const std::byte* at, const std::byte* end) {
  return Learner(this, at, end).Run();
}

bool StatePattern::Match(const std::byte* at, const std::byte* end, uint64_t base) {
  return Left(at, end) < longest_ ? Follow<true>(at, end, base) : Follow<false>(at, end, base);
}

template <bool kChecked>
bool StatePattern::Follow(const std::byte* at, const std::byte* end, uint64_t base) {
  const Step* const last = steps_.data() + step_count_;
  for (const Step* step = steps_.data(); step != last; ++step) {
    if (!SameBytes<kChecked>(at, end, fixed_.data() + step->fixed_at, step->fixed_size)) {
      return false;
    }
    at += step->fixed_size;
    switch (step->kind) {
      case Step::Kind::kEnd:
        break;
      case Step::Kind::kNumbers: {
        uint64_t* out = step->number;
        for (uint64_t* const behind = out + step->count; out != behind; ++out) {
          if (!ReadNatural<kChecked>(&at, end, out)) return false;
        }
        break;
      }
      case Step::Kind::kText:
        if (!ReadText<kChecked>(&at, end, &step->value->text)) return false;
        break;
      case Step::Kind::kRecall:
        if (!ReadRecall<kChecked>(&at, end, &recalls_[step->at].index)) return false;
        break;
      case Step::Kind::kPut: {
        uint64_t index;
        if (!ReadPut<kChecked>(&at, end, &index)) return false;
        if (base != kAnyIndex && index != base + step->at) return false;
        break;
      }
    }
  }
  end_ = at;
  return true;
}

StatePatterns::Found StatePatterns::Use(Known* known) {
  if (last_ != nullptr) last_->follower = known;
  last_ = known;
  return {known->pattern.get(), known->form};
}

StatePatterns::Found StatePatterns::Find(const std::byte* at, const std::byte* end, uint64_t base) {
  Known* const likely = last_ == nullptr ? nullptr : last_->follower;
  if (likely != nullptr && likely->pattern->Match(at, end, base)) {
    last_ = likely;
    return {likely->pattern.get(), likely->form};
  }
  for (size_t i = 0; i < count_; ++i) {
    if (&known_[i] != likely && known_[i].pattern->Match(at, end, base)) return Use(&known_[i]);
  }
  if (spare_ == nullptr) spare_.reset(new StatePattern);
  if (!spare_->Learn(at, end) || !spare_->Match(at, end, base)) return {nullptr, 0};
  if (known_ == nullptr) known_ = std::make_unique<Known[]>(kMost);
  size_t which = count_;
  if (count_ < kMost) {
    ++count_;
  } else {
    which = oldest_;
    oldest_ = (oldest_ + 1) % kMost;
  }
  Known* const known = &known_[which];
  known->pattern.swap(spare_);
  known->form = ++forms_;
  known->follower = known;
  return Use(known);
}

}  // namespace dcp::pickle
