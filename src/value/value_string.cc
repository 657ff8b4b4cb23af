#include <algorithm>
#include <cmath>

#include "value/value.h"
#include "value/wtf8.h"

namespace dcp {
namespace {

constexpr size_t kMaxLength = 4000;
constexpr size_t kMaxText = 200;     // bytes of one string, bytes or name
constexpr size_t kMaxDecimal = 256;  // bytes of an integer that is written in decimal
constexpr int kMaxDepth = 50;

std::string FloatText(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string IntText(const Value& value) {
  int64_t small;
  if (value.ToInt64(&small)) return fmt::format("{}", small);
  std::string magnitude = value.text;  // little-endian
  const bool negative = static_cast<uint8_t>(magnitude.back()) >= 0x80;
  if (magnitude.size() > kMaxDecimal) {
    return fmt::format("<{}int of {} bytes>", negative ? "negative " : "", magnitude.size());
  }
  if (negative) {
    unsigned carry = 1;
    for (char& c : magnitude) {
      const unsigned byte = (~static_cast<unsigned>(static_cast<uint8_t>(c)) & 0xffu) + carry;
      c = static_cast<char>(byte & 0xffu);
      carry = byte >> 8;
    }
  }
  std::string digits;
  while (!magnitude.empty()) {
    unsigned rest = 0;
    for (size_t i = magnitude.size(); i-- > 0;) {
      rest = rest << 8 | static_cast<uint8_t>(magnitude[i]);
      magnitude[i] = static_cast<char>(rest / 10);
      rest %= 10;
    }
    digits.push_back(static_cast<char>('0' + rest));
    while (!magnitude.empty() && magnitude.back() == 0) magnitude.pop_back();
  }
  if (negative) digits.push_back('-');
  return {digits.rbegin(), digits.rend()};
}

class Writer {
 public:
  std::string Run(const Value& value) {
    Write(&value, 0);
    if (out_.size() > kMaxLength) {
      out_.resize(kMaxLength);
      while (!out_.empty() && static_cast<uint8_t>(out_.back()) >= 0x80) out_.pop_back();
      out_ += "...";
    }
    return std::move(out_);
  }

 private:
  bool full() const { return out_.size() > kMaxLength; }

  void Quoted(std::string_view text, std::string_view prefix = "") {
    out_.append(prefix).push_back('\'');
    const bool cut = text.size() > kMaxText;
    if (cut) {
      text = text.substr(0, kMaxText);
      while (!text.empty() && (static_cast<uint8_t>(text.back()) & 0xc0) == 0x80) {
        text.remove_suffix(1);
      }
      if (!text.empty() && static_cast<uint8_t>(text.back()) >= 0xc0) text.remove_suffix(1);
    }
    for (size_t at = 0; at < text.size();) {
      size_t special = std::min(text.find_first_of("'\\\n", at), text.size());
      AppendPrintable(text.substr(at, special - at), &out_);
      if (special < text.size()) {
        out_ += '\\';
        out_ += text[special] == '\n' ? 'n' : text[special];
        ++special;
      }
      at = special;
    }
    out_.append(cut ? "'..." : "'");
  }

  void QuotedBytes(std::string_view bytes) {
    out_ += "b'";
    for (char c : bytes.substr(0, kMaxText)) {
      if (c == '\'' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (c >= 0x20 && c < 0x7f) {
        out_ += c;
      } else {
        out_ += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
      }
    }
    out_.append(bytes.size() > kMaxText ? "'..." : "'");
  }

  void Geometry(std::string_view what, DType dtype, const Shape& shape) {
    out_ += fmt::format("{}({}, {})", what, DTypeName(dtype), dcp::ToString(Dims(shape)));
  }

  void Items(std::string_view open, const Value& value, std::string_view close, int depth) {
    out_ += open;
    for (size_t i = 0; i < value.items.size() && !full(); ++i) {
      if (i > 0) out_ += ", ";
      Write(value.items[i].get(), depth);
    }
    out_ += close;
  }

  void Entries(std::string_view open, const Value& value, std::string_view close, int depth) {
    out_ += open;
    for (size_t i = 0; i < value.entries.size() && !full(); ++i) {
      if (i > 0) out_ += ", ";
      Write(value.entries[i].first.get(), depth);
      out_ += ": ";
      Write(value.entries[i].second.get(), depth);
    }
    out_ += close;
  }

  void Write(const Value* value, int depth) {
    if (full()) return;
    if (value == nullptr) {
      out_ += "<absent>";
      return;
    }
    if (depth >= kMaxDepth) {
      out_ += "...";
      return;
    }
    ++depth;
    switch (value->kind) {
      case ValueKind::kNone:
        out_ += "None";
        return;
      case ValueKind::kBool:
        out_ += value->boolean ? "True" : "False";
        return;
      case ValueKind::kInt:
        out_ += IntText(*value);
        return;
      case ValueKind::kFloat:
        out_ += FloatText(value->real);
        return;
      case ValueKind::kComplex:
        out_ += fmt::format("complex({}, {})", FloatText(value->real), FloatText(value->imaginary));
        return;
      case ValueKind::kString:
        Quoted(value->text);
        return;
      case ValueKind::kBytes:
        QuotedBytes(value->text);
        return;
      case ValueKind::kByteArray:
        out_ += "bytearray(";
        QuotedBytes(value->text);
        out_ += ")";
        return;
      case ValueKind::kList:
        Items("[", *value, "]", depth);
        return;
      case ValueKind::kTuple:
        Items("(", *value, value->items.size() == 1 ? ",)" : ")", depth);
        return;
      case ValueKind::kSet:
        if (value->items.empty()) {
          out_ += "set()";
        } else {
          Items("{", *value, "}", depth);
        }
        return;
      case ValueKind::kFrozenSet:
        Items("frozenset({", *value, "})", depth);
        return;
      case ValueKind::kDict:
        Entries("{", *value, "}", depth);
        return;
      case ValueKind::kOrderedDict:
        Entries("OrderedDict({", *value, "})", depth);
        return;
      case ValueKind::kSize:
        out_ += "torch.Size(";
        out_ += dcp::ToString(Dims(value->size).first(std::min(value->size.size(), kMaxText)));
        out_ += ")";
        return;
      case ValueKind::kDType:
      case ValueKind::kLayout:
      case ValueKind::kMemoryFormat:
        AppendPrintable(std::string_view(value->text).substr(0, kMaxText), &out_);
        return;
      case ValueKind::kDevice:
        Quoted(value->text, "device ");
        return;
      case ValueKind::kPath:
        Quoted(value->text, "path ");
        return;
      case ValueKind::kTensor:
        Geometry("tensor", value->tensor.dtype, value->tensor.shape);
        return;
      case ValueKind::kNumpyArray:
        Geometry("numpy.array", value->tensor.dtype, value->tensor.shape);
        return;
      case ValueKind::kNumpyScalar:
        Geometry("numpy.scalar", value->tensor.dtype, value->tensor.shape);
        return;
      case ValueKind::kShardedTensor:
        if (value->sharded != nullptr) {
          Geometry("sharded_tensor", value->sharded->dtype, value->sharded->global_shape);
        }
        return;
      case ValueKind::kOpaque:
        out_ += "<opaque ";
        if (value->opaque != nullptr) Quoted(value->opaque->global);
        out_ += ">";
        return;
      case ValueKind::kConstructed:
        if (value->constructed == nullptr) return;
        AppendPrintable(std::string_view(value->constructed->global).substr(0, kMaxText), &out_);
        if (value->constructed->arguments == nullptr) return;  // the global itself
        Write(value->constructed->arguments.get(), depth);
        return;
    }
  }

  std::string out_;
};

}  // namespace

std::string ToString(const Value& value) { return Writer().Run(value); }

}  // namespace dcp
