// What a pickle is read from: bytes at fixed addresses, which need not all be there at once.
#ifndef DCP_PICKLE_INPUT_H_
#define DCP_PICKLE_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp::pickle {

// A reader goes from front to back, twice. At least every step() bytes it says how far it has come;
// it looks at no more than kLookAhead bytes past that, unless it has loaded them. One thread.
class Input {
 public:
  static constexpr size_t kLookAhead = 1 << 20;

  // All of them are there. Borrows `bytes`.
  explicit Input(Bytes bytes) : bytes_(bytes), ready_(bytes.size()) {}
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  virtual ~Input() = default;

  // Reading what is not ready is no fault, but gives no more than some bytes.
  Bytes bytes() const { return bytes_; }
  // Those before this offset are there, but for what was passed.
  size_t ready() const { return ready_; }
  virtual size_t step() const { return SIZE_MAX; }

  // Makes those before `end` ready, and maybe more; those past the last are not asked for.
  Status Load(size_t end) {
    end = std::min(end, bytes_.size());
    return end <= ready_ ? Status::Ok() : LoadMore(end);
  }
  // Those before `offset` are not looked at again before Restart.
  virtual void Pass(size_t /*offset*/) {}
  // The first pass is over, the second begins. Fails when a Load has failed, too.
  virtual Status Restart() { return Status::Ok(); }

 protected:
  // None is there yet.
  struct Nothing {};
  Input(Bytes bytes, Nothing) : bytes_(bytes) {}
  void set_ready(size_t ready) { ready_ = ready; }
  // ready() < end <= bytes().size().
  virtual Status LoadMore(size_t /*end*/) { return Status::Ok(); }

 private:
  const Bytes bytes_;
  size_t ready_ = 0;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_INPUT_H_
