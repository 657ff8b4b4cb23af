#include "pickle/recalled.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "pickle/opcode.h"
#include "pickle/state_pattern.h"

namespace dcp::pickle {
namespace {

// How an opcode's argument is skipped: so many bytes (up to kFixedEnd), or by one of these.
enum Form : uint8_t {
  kFixedEnd = 8,
  kCounted1,  // a length of one byte, and as many bytes
  kCounted4,
  kCounted8,
  kOneLine,
  kTwoLines,
  kRecall1,
  kRecall4,
  kRecallLine,
  kInstance,  // no argument; a state may follow
  kEnd,       // nothing after it is run
};

constexpr std::array<uint8_t, 256> MakeForms() {
  std::array<uint8_t, 256> forms{};
  auto set = [&](uint8_t form, auto... opcodes) {
    ((forms[static_cast<uint8_t>(opcodes)] = form), ...);
  };
  using enum Opcode;
  set(1, kBinInt1, Opcode::kBinPut, kProto);
  set(2, kBinInt2);
  set(4, kBinInt, kLongBinPut);
  set(8, kBinFloat, kFrame);
  set(kCounted1, kLong1, kShortBinString, kShortBinBytes, kShortBinUnicode);
  set(kCounted4, kLong4, kBinString, kBinBytes, kBinUnicode);
  set(kCounted8, kBinBytes8, kBinUnicode8, kByteArray8);
  set(kOneLine, kInt, kLong, kFloat, kString, kUnicode, kPersId, kPut);
  set(kTwoLines, kGlobal, kInst);
  set(kRecall1, kBinGet);
  set(kRecall4, kLongBinGet);
  set(kRecallLine, kGet);
  set(kInstance, kNewObj);
  set(kEnd, kStop);
  return forms;
}

constexpr std::array<uint8_t, 256> kForms = MakeForms();

}  // namespace

Recalled::Recalled(Input& input, uint64_t end, bool alike) {
  Scan(input, end, alike);
  uint64_t* const words = bits_.data();
  uint32_t* const ranks = ranks_.Extend(bits_.size());
  for (size_t i = 0; i < bits_.size(); ++i) {
    ranks[i] = static_cast<uint32_t>(count_);
    count_ += CountBits(words[i]);
  }
}

void Recalled::Grow(uint64_t index) {
  const size_t added = static_cast<size_t>(index / 64) + 1 - bits_.size();
  std::fill_n(bits_.Extend(added), added, 0);
}

void Recalled::Scan(Input& input, uint64_t end, bool alike) {
  const std::byte* const begin = input.bytes().data();
  const std::byte* at = begin;
  const std::byte* const last = at + input.bytes().size();
  const std::byte* ready = begin + input.ready();
  size_t due = 0;
  // Makes what lies up to `size` bytes behind `from` ready.
  const auto load = [&](const std::byte* from, size_t size) {
    const size_t before = static_cast<size_t>(from - begin);
    if (!input.Load(before + std::min(size, input.bytes().size() - before)).ok()) return false;
    ready = begin + input.ready();
    return true;
  };
  const auto advance = [&] {
    const size_t passed = static_cast<size_t>(at - begin), step = input.step();
    input.Pass(passed);
    due = step > SIZE_MAX - passed ? SIZE_MAX : passed + step;
    return load(at, std::min(input.bytes().size(), step) + Input::kLookAhead);
  };
  const auto left = [&] { return static_cast<uint64_t>(last - at); };
  const auto skip = [&](uint64_t size) {
    if (size > left()) return false;
    at += size;
    return true;
  };
  const auto line = [&](std::string_view* out) {
    const void* found = nullptr;
    for (const std::byte* from = at; found == nullptr && from != last;) {
      if (from == ready && !load(from, Input::kLookAhead)) return false;
      found = std::memchr(from, '\n', static_cast<size_t>(ready - from));
      from = ready;
    }
    if (found == nullptr) return false;
    const auto* stop = static_cast<const std::byte*>(found);
    *out = AsText({at, stop});
    at = stop + 1;
    return true;
  };
  const auto recall = [&](uint64_t index) {
    if (index < end) Add(index);
  };
  StatePatterns patterns;
  const auto pass_state = [&] {
    StatePattern* const pattern = patterns.Find(at, last, StatePattern::kAnyIndex).pattern;
    if (pattern == nullptr) return;
    at = pattern->end();
    for (const StatePattern::Recall& asked : pattern->recalls()) recall(asked.index);
    if (pattern->settled()) return;
    for (const StatePattern::Recall& asked : pattern->fixed_recalls()) recall(asked.index);
    pattern->Settle();
  };
  // Skips an argument that starts with its length.
  const auto counted = [&]<typename Length>(Length) {
    if (left() < sizeof(Length)) return false;
    const uint64_t size = LoadLe<Length>(at);
    at += sizeof(Length);
    return skip(size);
  };
  while (at != last) {
    if (static_cast<size_t>(at - begin) >= due && !advance()) return;
    const uint8_t form = kForms[static_cast<uint8_t>(*at++)];
    std::string_view text;
    bool more = true;
    switch (form) {
      // By branches, which are foreseen, so that the next opcode need not wait for this one.
      case 0:
        break;
      case 1:
        more = skip(1);
        break;
      case 2:
        more = skip(2);
        break;
      case 4:
        more = skip(4);
        break;
      case kCounted1:
        more = counted(uint8_t{});
        break;
      case kCounted4:
        more = counted(uint32_t{});
        break;
      case kCounted8:
        more = counted(uint64_t{});
        break;
      case kOneLine:
        more = line(&text);
        break;
      case kTwoLines:
        more = line(&text) && line(&text);
        break;
      case kRecall1:
        if (left() == 0) return;
        recall(static_cast<uint8_t>(*at++));
        break;
      case kRecall4:
        if (left() < 4) return;
        recall(LoadLe<uint32_t>(at));
        at += 4;
        break;
      case kRecallLine: {
        if (!line(&text)) return;
        uint64_t index = 0;
        if (std::from_chars(text.data(), text.data() + text.size(), index).ec == std::errc()) {
          recall(index);
        }
        break;
      }
      case kInstance:
        if (alike) pass_state();
        break;
      case kEnd:
        return;
      default:
        more = skip(form);
    }
    if (!more) return;
  }
}

}  // namespace dcp::pickle
