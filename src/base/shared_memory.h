// Memory that several processes of one host map.
#ifndef DCP_BASE_SHARED_MEMORY_H_
#define DCP_BASE_SHARED_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp {

// Zero when made. Pages are there once they are touched; it is gone with its last mapping, however
// the processes end. Its size cannot change, so that touching it cannot fail for that.
class SharedMemory {
 public:
  // Where another process of the same user finds it, as long as its maker has it.
  struct Name {
    int64_t process = 0;
    int32_t descriptor = -1;
    uint64_t device = 0;
    uint64_t inode = 0;
  };

  static Result<std::shared_ptr<SharedMemory>> Create(size_t size);
  // `name` may be anything: kNotFound unless it leads to shared memory of this user and size.
  static Result<std::shared_ptr<SharedMemory>> Open(const Name& name, size_t size);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  const Name& name() const { return name_; }
  MutableBytes bytes() const { return {data_, size_}; }
  // Makes the pages of [offset, offset + size), so that touching them cannot fail for want of
  // memory. False: there is none left, or the system cannot tell.
  bool MakePages(size_t offset, size_t size) const;

 private:
  SharedMemory(int descriptor, std::byte* data, size_t size, const Name& name)
      : descriptor_(descriptor), data_(data), size_(size), name_(name) {}
  static Result<std::shared_ptr<SharedMemory>> Map(int descriptor, size_t size, Name name);

  const int descriptor_;
  std::byte* const data_;
  const size_t size_;
  const Name name_;
};

}  // namespace dcp

#endif  // DCP_BASE_SHARED_MEMORY_H_
