#include "pickle/writer.h"

#include <bit>

#include <fmt/format.h>

#include "base/bytes.h"
#include "pickle/opcode.h"
#include "pickle/text.h"

namespace dcp::pickle {
namespace {

constexpr char Char(Opcode opcode) { return static_cast<char>(opcode); }

}  // namespace

template <typename T>
void Writer::Op(char opcode, T argument) {
  char bytes[1 + sizeof argument];
  bytes[0] = opcode;
  std::memcpy(bytes + 1, &argument, sizeof argument);
  out_->append(bytes, sizeof bytes);
}

Writer::Writer(int protocol, std::string* out) : out_(out), protocol_(protocol) {
  Op(Char(Opcode::kProto));
  out_->push_back(static_cast<char>(protocol));
}

void Writer::None() { Op(Char(Opcode::kNone)); }

void Writer::Bool(bool value) { Op(Char(value ? Opcode::kNewTrue : Opcode::kNewFalse)); }

void Writer::Int(int64_t value) {
  if (value >= 0 && value <= 0xff) {
    Op(Char(Opcode::kBinInt1), static_cast<uint8_t>(value));
  } else if (value >= 0 && value <= 0xffff) {
    Op(Char(Opcode::kBinInt2), static_cast<uint16_t>(value));
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    Op(Char(Opcode::kBinInt), static_cast<int32_t>(value));
  } else {
    BigInt(AsText(AsBytes(&value, sizeof value)));
  }
}

void Writer::WideInt(uint32_t value) {
  constexpr uint8_t kSize = sizeof value + 1;  // a byte for the sign
  Op(Char(Opcode::kLong1), kSize);
  out_->append(AsText(AsBytes(&value, sizeof value)));
  out_->push_back('\0');
}

void Writer::BigInt(std::string_view twos_complement) {
  twos_complement = ShortestInteger(twos_complement);
  if (twos_complement.size() <= 0xff) {
    Op(Char(Opcode::kLong1), static_cast<uint8_t>(twos_complement.size()));
  } else {
    Op(Char(Opcode::kLong4), static_cast<uint32_t>(twos_complement.size()));
  }
  out_->append(twos_complement);
}

void Writer::Float(double value) {
  Op(Char(Opcode::kBinFloat), __builtin_bswap64(std::bit_cast<uint64_t>(value)));
}

void Writer::String(std::string_view utf8) {
  if (protocol_ >= 4 && utf8.size() <= 0xff) {
    Op(Char(Opcode::kShortBinUnicode), static_cast<uint8_t>(utf8.size()));
  } else if (utf8.size() <= 0xffffffff) {
    Op(Char(Opcode::kBinUnicode), static_cast<uint32_t>(utf8.size()));
  } else {
    Op(Char(Opcode::kBinUnicode8), static_cast<uint64_t>(utf8.size()));
  }
  out_->append(utf8);
}

void Writer::BytesValue(std::string_view bytes) {
  if (protocol_ < 3) {
    Global("_codecs", "encode");
    std::string text;
    text.reserve(bytes.size());
    for (char c : bytes) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte >= 0x80) text.push_back(static_cast<char>(0xc0 | byte >> 6));
      text.push_back(static_cast<char>(byte < 0x80 ? byte : 0x80 | (byte & 0x3f)));
    }
    String(text);
    InternedString("latin1");
    Tuple2();
    Reduce();
    return;
  }
  if (bytes.size() <= 0xff) {
    Op(Char(Opcode::kShortBinBytes), static_cast<uint8_t>(bytes.size()));
  } else if (bytes.size() <= 0xffffffff) {
    Op(Char(Opcode::kBinBytes), static_cast<uint32_t>(bytes.size()));
  } else {
    Op(Char(Opcode::kBinBytes8), static_cast<uint64_t>(bytes.size()));
  }
  out_->append(bytes);
}

void Writer::EmptyTuple() { Op(Char(Opcode::kEmptyTuple)); }
void Writer::EmptyList() { Op(Char(Opcode::kEmptyList)); }
void Writer::EmptyDict() { Op(Char(Opcode::kEmptyDict)); }
void Writer::EmptySet() { Op(Char(Opcode::kEmptySet)); }
void Writer::Mark() { Op(Char(Opcode::kMark)); }
void Writer::TupleFromMark() { Op(Char(Opcode::kTuple)); }
void Writer::Tuple1() { Op(Char(Opcode::kTuple1)); }
void Writer::Tuple2() { Op(Char(Opcode::kTuple2)); }
void Writer::Tuple3() { Op(Char(Opcode::kTuple3)); }
void Writer::Append() { Op(Char(Opcode::kAppend)); }
void Writer::Appends() { Op(Char(Opcode::kAppends)); }
void Writer::SetItem() { Op(Char(Opcode::kSetItem)); }
void Writer::SetItems() { Op(Char(Opcode::kSetItems)); }
void Writer::AddItems() { Op(Char(Opcode::kAddItems)); }
void Writer::Reduce() { Op(Char(Opcode::kReduce)); }
void Writer::NewObject() { Op(Char(Opcode::kNewObj)); }
void Writer::Build() { Op(Char(Opcode::kBuild)); }
void Writer::PersistentId() { Op(Char(Opcode::kBinPersId)); }
void Writer::Stop() { Op(Char(Opcode::kStop)); }

void Writer::Global(std::string_view module, std::string_view name) {
  std::string key = fmt::format("g{}\n{}", module, name);
  if (auto found = interned_.find(key); found != interned_.end()) return Get(found->second);
  if (protocol_ >= 4) {
    InternedString(module);
    InternedString(name);
    Op(Char(Opcode::kStackGlobal));
  } else {
    Op(Char(Opcode::kGlobal));
    out_->append(key, 1).push_back('\n');
  }
  interned_.emplace(std::move(key), Memoize());
}

uint32_t Writer::Memoize() {
  if (protocol_ >= 4) {
    Op(Char(Opcode::kMemoize));
  } else if (memo_next_ <= 0xff) {
    Op(Char(Opcode::kBinPut), static_cast<uint8_t>(memo_next_));
  } else {
    Op(Char(Opcode::kLongBinPut), memo_next_);
  }
  return memo_next_++;
}

void Writer::Get(uint32_t memo) {
  if (memo <= 0xff) {
    Op(Char(Opcode::kBinGet), static_cast<uint8_t>(memo));
  } else {
    Op(Char(Opcode::kLongBinGet), memo);
  }
}

void Writer::InternedString(std::string_view utf8) {
  std::string key = "t";
  key.append(utf8);
  if (auto found = interned_.find(key); found != interned_.end()) return Get(found->second);
  String(utf8);
  interned_.emplace(std::move(key), Memoize());
}

}  // namespace dcp::pickle
