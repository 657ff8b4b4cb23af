// A growing array of plain values. Growth is by realloc, which moves pages and not bytes once the
// block is large, so that a graph of a big pickle never exists twice and slack stays untouched.
#ifndef DCP_PICKLE_POD_ARRAY_H_
#define DCP_PICKLE_POD_ARRAY_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

#include "base/large_pages.h"

namespace dcp::pickle {

// Throws std::bad_alloc; Parse() turns it into a status.
template <typename T>
class PodArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PodArray() = default;
  PodArray(const PodArray&) = delete;
  PodArray& operator=(const PodArray&) = delete;
  ~PodArray() { std::free(data_); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }

  void push_back(T value) {
    if (size_ == capacity_) Grow(size_ + 1);
    data_[size_++] = value;
  }
  void pop_back() { --size_; }
  void Truncate(size_t size) { size_ = size; }
  // Adds `count` values that are not initialised, and returns where they begin.
  T* Extend(size_t count) {
    if (count > capacity_ - size_) Grow(size_ + count);
    T* begin = data_ + size_;
    size_ += count;
    return begin;
  }
  // Of an empty array that may come to hold up to so many values: takes the addresses at once, so
  // that it need not move, and large pages. What is not used costs no memory. Where that cannot be
  // had, the array grows as it would have.
  void Expect(size_t count) {
    if (data_ != nullptr || count > SIZE_MAX / sizeof(T)) return;
    void* data = std::malloc(count * sizeof(T));
    if (data == nullptr) return;
    // The first of them come small: whoever gives memory back for what is added is not outrun.
    if (count * sizeof(T) > kLargePage) {
      PreferLargePages(static_cast<char*>(data) + kLargePage, count * sizeof(T) - kLargePage);
    }
    data_ = static_cast<T*>(data);
    capacity_ = count;
  }
  void Append(const T* values, size_t count) {
    if (count > 0) std::memcpy(Extend(count), values, count * sizeof(T));
  }

 private:
  [[gnu::noinline]] void Grow(size_t needed) {
    size_t capacity = capacity_ + capacity_ / 2 + 64;
    if (capacity < needed) capacity = needed;
    void* data =
        capacity > SIZE_MAX / sizeof(T) ? nullptr : std::realloc(data_, capacity * sizeof(T));
    if (data == nullptr) throw std::bad_alloc();
    data_ = static_cast<T*>(data);
    capacity_ = capacity;
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace dcp::pickle

#endif  // DCP_PICKLE_POD_ARRAY_H_
