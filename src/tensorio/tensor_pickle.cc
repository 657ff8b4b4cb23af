#include "tensorio/tensor_pickle.h"

#include "base/bytes.h"

namespace dcp {
namespace {

// Pickle protocol 2, each object remembered in the order in which Python's pickler does.
class Emitter {
 public:
  explicit Emitter(std::string* out) : out_(*out) {}

  void Raw(std::string_view opcodes) { out_ += opcodes; }
  void Remember() {
    out_.push_back('q');
    out_.push_back(static_cast<char>(memo_++));
  }
  void Global(std::string_view module, std::string_view name) {
    out_.push_back('c');
    (out_ += module).push_back('\n');
    (out_ += name).push_back('\n');
    Remember();
  }
  void String(std::string_view text) {
    out_.push_back('X');
    AppendLe<uint32_t>(out_, static_cast<uint32_t>(text.size()));
    out_ += text;
    Remember();
  }
  void Int(int64_t value) {
    if (value >= 0 && value <= 0xff) {
      out_.push_back('K');
      AppendLe<uint8_t>(out_, static_cast<uint8_t>(value));
    } else if (value >= 0 && value <= 0xffff) {
      out_.push_back('M');
      AppendLe<uint16_t>(out_, static_cast<uint16_t>(value));
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
      out_.push_back('J');
      AppendLe<int32_t>(out_, static_cast<int32_t>(value));
    } else {
      Long(value);
    }
  }
  void Tuple(Dims values) {
    if (values.empty()) return out_.push_back(')');
    if (values.size() > 3) out_.push_back('(');
    for (int64_t value : values) Int(value);
    // TUPLE1, TUPLE2 and TUPLE3 are 0x85 to 0x87.
    out_.push_back(values.size() > 3 ? 't' : static_cast<char>(0x84 + values.size()));
    Remember();
  }

 private:
  void Long(int64_t value) {
    int bytes = 8;
    while (bytes > 1 && (value >> (8 * bytes - 9) == 0 || value >> (8 * bytes - 9) == -1)) --bytes;
    out_.push_back(static_cast<char>(0x8a));
    out_.push_back(static_cast<char>(bytes));
    out_.append(reinterpret_cast<const char*>(&value), static_cast<size_t>(bytes));
  }

  std::string& out_;
  int memo_ = 0;  // at most thirteen
};

}  // namespace

void AppendTensorPickle(DType dtype, Dims shape, Dims strides, int64_t num_elements,
                        std::string* out) {
  const DTypeInfo& info = GetDTypeInfo(dtype);
  const bool typed = !info.storage_class.empty();
  Emitter emit(out);
  emit.Raw("\x80\x02");
  emit.Global("torch._utils", typed ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
  emit.Raw("((");
  emit.String("storage");
  emit.Global(typed ? "torch" : "torch.storage", typed ? info.storage_class : "UntypedStorage");
  emit.String("0");
  emit.String("cpu");
  emit.Int(typed ? num_elements : num_elements * info.item_size);
  emit.Raw("t");
  emit.Remember();
  emit.Raw("Q");
  emit.Int(0);
  emit.Tuple(shape);
  emit.Tuple(strides);
  emit.Raw("\x89");
  emit.Global("collections", "OrderedDict");
  emit.Raw(")R");
  emit.Remember();
  if (!typed) emit.Global("torch", info.name);
  emit.Raw("t");
  emit.Remember();
  emit.Raw("R");
  emit.Remember();
  emit.Raw(".");
}

}  // namespace dcp
