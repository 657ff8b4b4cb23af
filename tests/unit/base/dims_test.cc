#include "base/dims.h"

#include <random>
#include <set>
#include <vector>

#include "support/checks.h"

namespace dcp {
namespace {

using Vector = std::vector<int64_t>;

Vector Ramp(size_t count, int64_t first = 1) {
  Vector out(count);
  for (size_t i = 0; i < count; ++i) out[i] = first + static_cast<int64_t>(i);
  return out;
}

Shape ShapeOf(const Vector& numbers) { return Shape(numbers.begin(), numbers.end()); }

bool Inside(const Shape& shape) {
  const auto* at = reinterpret_cast<const std::byte*>(shape.data());
  const auto* self = reinterpret_cast<const std::byte*>(&shape);
  return at >= self && at < self + sizeof shape;
}

std::string Constructs() {
  CHECK_THAT(Shape().empty());
  CHECK_THAT(Shape(3) == (Shape{0, 0, 0}));
  CHECK_THAT(Shape(2, -1) == (Shape{-1, -1}));
  CHECK_THAT(Shape(0, 5).empty());
  const Vector many = Ramp(9);
  CHECK_THAT(ShapeOf(many) == many);
  CHECK_THAT(Shape(many.begin() + 2, many.begin() + 2).empty());
  const Dims none;
  CHECK_THAT(Shape(none.begin(), none.end()).empty());
  return {};
}

std::string FourAreInside() {
  for (size_t count = 0; count <= 10; ++count) {
    const Vector expected = Ramp(count);
    Shape pushed;
    for (int64_t number : expected) pushed.push_back(number);
    CHECK_THAT(pushed == expected);
    CHECK_THAT(Inside(pushed) == (count <= 4));
    const Shape made = ShapeOf(expected);
    CHECK_THAT(made == expected && Inside(made) == (count <= 4));
  }
  // Room that is there is kept.
  Shape shape = ShapeOf(Ramp(6));
  const int64_t* data = shape.data();
  while (shape.size() > 2) shape.pop_back();
  CHECK_THAT(shape == Ramp(2) && shape.data() == data && !Inside(shape));
  shape.assign(6, 7);
  CHECK_THAT(shape == Vector(6, 7) && shape.data() == data);
  shape.clear();
  CHECK_THAT(shape.empty() && shape == Shape());
  shape.reserve(2);
  CHECK_THAT(shape.data() == data);
  shape.resize(2);
  CHECK_THAT(shape == Vector(2, 0));
  return {};
}

std::string CopiesAndMoves() {
  for (size_t from = 0; from <= 9; ++from) {
    const Vector numbers = Ramp(from);
    const Shape original = ShapeOf(numbers);
    const Shape copy = original;
    CHECK_THAT(copy == numbers && original == numbers);
    CHECK_THAT(from == 0 || copy.data() != original.data());
    Shape given = original;
    const Shape taken = std::move(given);
    CHECK_THAT(taken == numbers && given.empty());
    given.push_back(3);
    CHECK_THAT(given == Shape{3} && taken == numbers);
    for (size_t to = 0; to <= 9; ++to) {
      const Vector others = Ramp(to, 100);
      Shape target = ShapeOf(others);
      target = original;
      CHECK_THAT(target == numbers && original == numbers);
      target = ShapeOf(others);
      CHECK_THAT(target == others);
      Shape other = original;
      target.swap(other);
      CHECK_THAT(target == numbers && other == others);
      target = std::move(other);
      CHECK_THAT(target == others && other.empty());
    }
    Shape self = original;
    Shape& same = self;
    self = same;
    CHECK_THAT(self == numbers);
    self = std::move(same);
    CHECK_THAT(self == numbers);
    self.swap(same);
    CHECK_THAT(self == numbers);
  }
  // On the heap, with few numbers.
  Shape few = ShapeOf(Ramp(8));
  few.resize(2);
  const Shape copy = few;
  CHECK_THAT(copy == Ramp(2));
  const Shape moved = std::move(few);
  CHECK_THAT(moved == Ramp(2) && few.empty() && Inside(few));
  return {};
}

std::string AssignsPartsOfItself() {
  for (size_t count : {3u, 4u, 5u, 12u}) {
    for (size_t begin = 0; begin <= count; ++begin) {
      for (size_t end = begin; end <= count; ++end) {
        Shape shape = ShapeOf(Ramp(count));
        shape.assign(shape.begin() + begin, shape.begin() + end);
        CHECK_THAT(shape == Ramp(end - begin, 1 + static_cast<int64_t>(begin)));
      }
    }
  }
  Shape shape = {1, 2, 3, 4};
  shape.push_back(shape[0]);
  CHECK_THAT(shape == (Shape{1, 2, 3, 4, 1}));
  shape = {7, 8, 9, 10};
  shape.resize(20, shape[3]);
  CHECK_THAT(shape.back() == 10 && shape[0] == 7);
  return {};
}

std::string Compares() {
  CHECK_THAT((Shape{1, 2} == Shape{1, 2}) && (Shape{1, 2} != Shape{1, 3}));
  CHECK_THAT((Shape{1, 2} != Shape{1}) && Shape() != Shape{0});
  CHECK_THAT((Shape{1, 2} == Vector{1, 2}) && (Vector{1, 2, 3} != Shape{1, 2}));
  CHECK_THAT(Dims(Vector{4}) == Shape{4});
  std::mt19937 random(5);
  std::set<Shape> shapes;
  std::set<Vector> vectors;
  Vector last;
  for (int i = 0; i < 2000; ++i) {
    Vector numbers(random() % 7);
    for (int64_t& number : numbers) number = static_cast<int64_t>(random() % 3) - 1;
    CHECK_THAT((ShapeOf(numbers) < ShapeOf(last)) == (numbers < last));
    CHECK_THAT((ShapeOf(numbers) == ShapeOf(last)) == (numbers == last));
    shapes.insert(ShapeOf(numbers));
    vectors.insert(numbers);
    last = std::move(numbers);
  }
  CHECK_THAT(std::equal(shapes.begin(), shapes.end(), vectors.begin(), vectors.end()));
  return {};
}

std::string GrowsFarAndRefusesMore() {
  Shape shape;
  Vector expected;
  for (int64_t i = 0; i < 100000; ++i) {
    shape.push_back(i);
    expected.push_back(i);
  }
  CHECK_THAT(shape == expected && shape.capacity() < 200000);
  for (size_t count : {size_t{UINT32_MAX} + 1, SIZE_MAX}) {
    bool refused = false;
    try {
      shape.resize(count);
    } catch (const std::length_error&) {
      refused = true;
    }
    CHECK_THAT(refused && shape == expected);
  }
  return {};
}

// Any sequence of calls leaves what it leaves of a std::vector.
std::string DoesAsVectorDoes() {
  std::mt19937_64 random(11);
  std::vector<Shape> shapes(4);
  std::vector<Vector> vectors(4);
  for (int step = 0; step < 100000; ++step) {
    const size_t at = random() % shapes.size(), from = random() % shapes.size();
    Shape& shape = shapes[at];
    Vector& vector = vectors[at];
    const size_t count = random() % 11;
    const auto value = static_cast<int64_t>(random());
    switch (random() % 12) {
      case 0:
      case 1:
        shape.push_back(value);
        vector.push_back(value);
        break;
      case 2:
        if (vector.empty()) break;
        shape.pop_back();
        vector.pop_back();
        break;
      case 3:
        shape.resize(count, value);
        vector.resize(count, value);
        break;
      case 4:
        shape.assign(count, value);
        vector.assign(count, value);
        break;
      case 5:
        shape.clear();
        vector.clear();
        break;
      case 6:
        shape.reserve(count);
        break;
      case 7:
        shape = shapes[from];
        vector = vectors[from];
        break;
      case 8:
        if (at == from) break;
        shape = std::move(shapes[from]);
        vector = std::move(vectors[from]);
        vectors[from].clear();
        break;
      case 9:
        shape.swap(shapes[from]);
        vector.swap(vectors[from]);
        break;
      case 10: {
        if (vector.empty()) break;
        const size_t begin = random() % vector.size();
        shape.assign(shape.begin() + begin, shape.end());
        vector.erase(vector.begin(), vector.begin() + static_cast<ptrdiff_t>(begin));
        break;
      }
      default:
        shapes[at] = Shape(shapes[from].begin(), shapes[from].end());
        vectors[at] = Vector(vectors[from]);
        if (step % 3 == 0) {  // moved to other memory
          shapes.shrink_to_fit();
          shapes.reserve(shapes.size() + 1);
        }
        break;
    }
    for (size_t i = 0; i < shapes.size(); ++i) CHECK_THAT(shapes[i] == vectors[i]);
    CHECK_THAT((shapes[at] <=> shapes[from]) == (vectors[at] <=> vectors[from]));
    if (!vectors[at].empty()) CHECK_THAT(shapes[at].back() == vectors[at].back());
  }
  return {};
}

static_assert(std::is_nothrow_move_constructible_v<Shape>);
static_assert(std::is_nothrow_move_assignable_v<Shape>);
static_assert(std::is_nothrow_default_constructible_v<Shape>);
static_assert(std::is_convertible_v<const Shape&, Dims>);
static_assert(!std::is_convertible_v<Dims, Shape>);
static_assert(!std::is_convertible_v<size_t, Shape>);

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      DCP_CHECKED(Constructs),       DCP_CHECKED(FourAreInside),
      DCP_CHECKED(CopiesAndMoves),   DCP_CHECKED(AssignsPartsOfItself),
      DCP_CHECKED(Compares),         DCP_CHECKED(GrowsFarAndRefusesMore),
      DCP_CHECKED(DoesAsVectorDoes),
  };
  return cmocka_run_group_tests_name("base/dims", tests, nullptr, nullptr);
}
