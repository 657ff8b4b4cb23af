// Owns one file descriptor.
#ifndef DCP_STORAGE_LOCAL_UNIQUE_FD_H_
#define DCP_STORAGE_LOCAL_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace dcp {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  void Reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  int fd_ = -1;
};

}  // namespace dcp

#endif  // DCP_STORAGE_LOCAL_UNIQUE_FD_H_
