// Varints, texts and names of what ranks tell each other: a writer and a reader that checks every
// bound.
#ifndef DCP_COMM_WIRE_CODEC_H_
#define DCP_COMM_WIRE_CODEC_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace dcp {

class WireWriter {
 public:
  void Number(uint64_t value);
  void Signed(int64_t value);  // small magnitudes take few bytes
  void Text(std::string_view text);
  void Name(std::string_view name);  // what its ends share with the name before is counted
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
  std::string previous_;
};

// After the first read that fails, every read gives zeros and ok() is false.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes);

  uint64_t Number(uint64_t max = UINT64_MAX) {
    if (!ok_ || rest_.empty() || static_cast<uint8_t>(rest_.front()) >= 0x80) {
      return LongNumber(max);
    }
    const auto value = static_cast<uint8_t>(rest_.front());
    if (value > max) return LongNumber(max);
    rest_.remove_prefix(1);
    return value;
  }
  int64_t Signed() {
    const uint64_t value = Number();
    return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  // Number of elements that follow, each of at least `element_size` bytes.
  size_t Count(size_t element_size = 1);
  std::string Text() { return std::string(TextView()); }
  std::string_view TextView();  // of the message
  std::string Name();
  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }
  bool complete() const { return ok_ && rest_.empty(); }

 private:
  uint64_t LongNumber(uint64_t max);

  std::string_view rest_;
  std::string previous_;
  uint64_t budget_;  // bytes that shared prefixes may still grow into
  bool ok_ = true;
};

}  // namespace dcp

#endif  // DCP_COMM_WIRE_CODEC_H_
