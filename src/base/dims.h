// The numbers of a tensor's dimensions: sizes, strides (in elements) or offsets.
#ifndef DCP_BASE_DIMS_H_
#define DCP_BASE_DIMS_H_

#include <algorithm>
#include <cassert>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace dcp {

using Dims = std::span<const int64_t>;  // borrowed

// A vector of numbers, the first few of which take no memory of their own. Unlike std::vector, a
// move does not keep iterators, pointers and Dims of what is moved valid. A Shape that was moved
// from is empty. At most 2^32 - 1 numbers: std::length_error beyond.
class Shape {
 public:
  using value_type = int64_t;
  using iterator = int64_t*;
  using const_iterator = const int64_t*;

  Shape() noexcept = default;
  explicit Shape(size_t count, int64_t value = 0) { resize(count, value); }
  template <std::contiguous_iterator Iterator>
  Shape(Iterator first, Iterator last) {
    assign(first, last);
  }
  Shape(std::initializer_list<int64_t> dims) { assign(dims.begin(), dims.end()); }
  Shape(const Shape& other) {
    if (other.on_heap()) {
      assign(other.begin(), other.end());
    } else {
      size_ = other.size_;
      room_ = other.room_;
    }
  }
  Shape(Shape&& other) noexcept { Take(other); }
  Shape& operator=(const Shape& other) {
    if (on_heap() || other.on_heap()) {
      assign(other.begin(), other.end());
    } else {
      size_ = other.size_;
      room_ = other.room_;
    }
    return *this;
  }
  Shape& operator=(Shape&& other) noexcept {
    if (this != &other) {
      Free();
      Take(other);
    }
    return *this;
  }
  ~Shape() { Free(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return capacity_; }

  int64_t* data() { return on_heap() ? room_.heap : room_.own; }
  const int64_t* data() const { return on_heap() ? room_.heap : room_.own; }
  iterator begin() { return data(); }
  iterator end() { return data() + size_; }
  const_iterator begin() const { return data(); }
  const_iterator end() const { return data() + size_; }

  int64_t& operator[](size_t i) {
    assert(i < size_);
    return data()[i];
  }
  const int64_t& operator[](size_t i) const {
    assert(i < size_);
    return data()[i];
  }
  int64_t& back() { return (*this)[size_ - size_t{1}]; }
  const int64_t& back() const { return (*this)[size_ - size_t{1}]; }

  void push_back(int64_t value) {
    if (size_ == capacity_) Grow(size_t{size_} + 1);
    data()[size_++] = value;
  }
  void pop_back() {
    assert(size_ > 0);
    --size_;
  }
  void clear() { size_ = 0; }
  void reserve(size_t count) {
    if (count > capacity_) Grow(count);
  }
  void resize(size_t count, int64_t value = 0) {
    reserve(count);
    if (count > size_) std::fill(end(), data() + count, value);
    size_ = static_cast<uint32_t>(count);
  }
  void assign(size_t count, int64_t value) {
    clear();
    resize(count, value);
  }
  // [first, last) may be a part of this shape.
  template <std::contiguous_iterator Iterator>
  void assign(Iterator first, Iterator last) {
    static_assert(std::is_same_v<std::iter_value_t<Iterator>, int64_t>);
    Assign(std::to_address(first), static_cast<size_t>(last - first));
  }
  void swap(Shape& other) noexcept { std::swap(*this, other); }

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend bool operator==(const Shape& a, Dims b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend std::strong_ordering operator<=>(const Shape& a, const Shape& b) {
    return std::lexicographical_compare_three_way(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  static constexpr uint32_t kOwn = 4;
  union Room {
    int64_t own[kOwn] = {};
    int64_t* heap;
  };

  bool on_heap() const { return capacity_ > kOwn; }

  void Free() noexcept {
    if (on_heap()) delete[] room_.heap;
  }

  // What this shape has on the heap was freed or taken.
  void Take(Shape& other) noexcept {
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, kOwn);
    room_ = other.room_;
  }

  static int64_t* Allocate(size_t count) {
    if (count > UINT32_MAX) throw std::length_error("a shape of 2^32 dimensions");
    return new int64_t[count];
  }

  void Adopt(int64_t* heap, size_t capacity) noexcept {
    Free();
    room_.heap = heap;
    capacity_ = static_cast<uint32_t>(capacity);
  }

  void Grow(size_t least) {
    const size_t twice = std::min<size_t>(size_t{2} * capacity_, UINT32_MAX);
    const size_t capacity = std::max(least, twice);
    int64_t* grown = Allocate(capacity);
    std::copy(begin(), end(), grown);
    Adopt(grown, capacity);
  }

  void Assign(const int64_t* from, size_t count) {
    if (count > capacity_) {
      int64_t* grown = Allocate(count);
      std::copy(from, from + count, grown);
      Adopt(grown, count);
    } else if (count > 0) {
      std::memmove(data(), from, count * sizeof *from);
    }
    size_ = static_cast<uint32_t>(count);
  }

  uint32_t size_ = 0;
  uint32_t capacity_ = kOwn;  // more than kOwn: on the heap
  Room room_;
};

static_assert(sizeof(Shape) == 40);

}  // namespace dcp

#endif  // DCP_BASE_DIMS_H_
