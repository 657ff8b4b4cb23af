// The value tree: everything a checkpoint's object or a state dict can hold. Nodes are immutable
// once shared, counted, and may be shared between parents (a DAG, never a cycle).
#ifndef DCP_VALUE_VALUE_H_
#define DCP_VALUE_VALUE_H_

#include <complex>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "value/tensor.h"

namespace dcp {

// The numbers are part of the C ABI (dcp_value_kind). Append only.
enum class ValueKind : int32_t {
  kNone = 1,
  kBool = 2,
  kInt = 3,
  kFloat = 4,
  kComplex = 5,
  kString = 6,
  kBytes = 7,
  kByteArray = 8,
  kList = 9,
  kTuple = 10,
  kDict = 11,
  kOrderedDict = 12,
  kSet = 13,
  kFrozenSet = 14,
  kSize = 15,
  kDType = 16,
  kDevice = 17,
  kLayout = 18,
  kMemoryFormat = 19,
  kTensor = 20,
  kShardedTensor = 21,
  kOpaque = 22,
  kPath = 23,
  kNumpyArray = 24,
  kNumpyScalar = 25,
  kConstructed = 26,
};

class Value;
using ValuePtr = std::shared_ptr<const Value>;

// One rank's part of a tensor that is cut into chunks: the local pieces and where they lie.
struct ShardedTensor {
  DType dtype = DType::kFloat32;
  Shape global_shape;
  struct Shard {
    Shape offsets;  // in the global tensor; sizes are the tensor's shape
    Tensor tensor;
  };
  std::vector<Shard> shards;
  bool requires_grad = false;
};

// An object that is kept but not understood. `pickled` is its torch.save blob, byte for byte.
struct Opaque {
  std::string global;  // the first global that is not on the allow-list: "module.name"
  std::shared_ptr<const std::string> pickled;
};

// A call of a well-known plain constructor that has no kind of its own (datetime, decimal,
// random state, enum members, ...): "module.name" and its arguments, kept as data.
struct Constructed {
  std::string global;
  ValuePtr arguments;  // tuple
  ValuePtr state;      // BUILD argument, or null
};

class Value {
 public:
  ValueKind kind = ValueKind::kNone;
  bool boolean = false;
  // kInt: two's complement little-endian, shortest form (empty is 0), as pickle's LONG1.
  // kString: UTF-8, lone surrogates encoded as three bytes. kBytes, kByteArray: the bytes.
  // kDType, kDevice ("cpu", "cuda:0"), kLayout ("torch.strided"), kMemoryFormat, kPath
  // ("pathlib.PosixPath" in `name`, joined path here).
  std::string text;
  std::string name;
  double real = 0;  // kFloat, and kComplex with `imaginary`
  double imaginary = 0;
  std::vector<ValuePtr> items;                         // list, tuple, sets
  std::vector<std::pair<ValuePtr, ValuePtr>> entries;  // dicts, insertion order
  Shape size;                                          // kSize
  Tensor tensor;                                       // kTensor, kNumpyArray, kNumpyScalar
  std::shared_ptr<const ShardedTensor> sharded;
  std::shared_ptr<const Opaque> opaque;
  std::shared_ptr<const Constructed> constructed;

  Value() = default;
  Value(const Value&) = default;
  Value& operator=(const Value&) = default;
  ~Value();  // uses constant stack, however deep the tree below

  static ValuePtr None();
  static ValuePtr Bool(bool value);
  static ValuePtr Int(int64_t value);
  static ValuePtr BigInt(std::string twos_complement);  // any length; is shortened
  static ValuePtr Float(double value);
  static ValuePtr Complex(double real, double imaginary);
  static ValuePtr String(std::string utf8);
  static ValuePtr BytesOf(std::string bytes);
  static ValuePtr Sequence(ValueKind kind, std::vector<ValuePtr> items);
  static ValuePtr Dict(std::vector<std::pair<ValuePtr, ValuePtr>> entries, bool ordered = false);
  static ValuePtr SizeOf(Shape size);
  static ValuePtr TypeOf(DType dtype);
  static ValuePtr Of(Tensor tensor);
  static ValuePtr Of(ShardedTensor sharded);
  static ValuePtr OpaqueOf(std::string global, std::shared_ptr<const std::string> pickled);

  bool is_mapping() const { return kind == ValueKind::kDict || kind == ValueKind::kOrderedDict; }
  // kInt only: false when the integer does not fit.
  bool ToInt64(int64_t* out) const;
  const ValuePtr* Find(std::string_view string_key) const;  // mappings; null when absent
};

// Equal kind, shape and content, tensors bit for bit (strides aside), NaNs equal by their bits.
// The order of sets and plain dicts does not count, as in Python; that of kOrderedDict does.
// Takes time linear in the number of distinct nodes (and the bytes of tensors).
bool Equal(const Value& a, const Value& b);
std::string ToString(const Value& value);  // Python-like, for messages and `show`; bounded length

}  // namespace dcp

#endif  // DCP_VALUE_VALUE_H_
