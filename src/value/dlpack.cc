#include "value/dlpack.h"

#include <array>

namespace dcp {
namespace {

struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
  bool operator==(const DLDataType&) const = default;
};

struct DLTensor {
  void* data;
  Device device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: row-major
  uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

struct DLManagedTensorVersioned {
  uint32_t major;
  uint32_t minor;
  void* context;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};

static_assert(sizeof(DLTensor) == 48 && sizeof(DLManagedTensor) == 64 &&
              sizeof(DLManagedTensorVersioned) == 80);

constexpr uint32_t kMajor = 1;
constexpr uint32_t kMinor = 1;
constexpr uint64_t kReadOnly = 1;

// Memory of these device types is the host's own, only pinned.
constexpr int32_t kCudaHost = 3;
constexpr int32_t kRocmHost = 11;

struct TypePair {
  DType dtype;
  DLDataType dl;
};

constexpr std::array kTypes = {
    TypePair{DType::kInt8, {0, 8, 1}},           TypePair{DType::kInt16, {0, 16, 1}},
    TypePair{DType::kInt32, {0, 32, 1}},         TypePair{DType::kInt64, {0, 64, 1}},
    TypePair{DType::kUInt8, {1, 8, 1}},          TypePair{DType::kUInt16, {1, 16, 1}},
    TypePair{DType::kUInt32, {1, 32, 1}},        TypePair{DType::kUInt64, {1, 64, 1}},
    TypePair{DType::kFloat16, {2, 16, 1}},       TypePair{DType::kFloat32, {2, 32, 1}},
    TypePair{DType::kFloat64, {2, 64, 1}},       TypePair{DType::kBFloat16, {4, 16, 1}},
    TypePair{DType::kComplex32, {5, 32, 1}},     TypePair{DType::kComplex64, {5, 64, 1}},
    TypePair{DType::kComplex128, {5, 128, 1}},   TypePair{DType::kBool, {6, 8, 1}},
    TypePair{DType::kFloat8E4M3FN, {10, 8, 1}},  TypePair{DType::kFloat8E4M3FNUZ, {11, 8, 1}},
    TypePair{DType::kFloat8E5M2, {12, 8, 1}},    TypePair{DType::kFloat8E5M2FNUZ, {13, 8, 1}},
    TypePair{DType::kFloat8E8M0FNU, {14, 8, 1}}, TypePair{DType::kFloat4E2M1FNx2, {17, 4, 2}},
};

template <typename Managed>
std::shared_ptr<const void> Own(Managed* managed) {
  return {managed, [](Managed* taken) {
            if (taken->deleter != nullptr) taken->deleter(taken);
          }};
}

Result<Tensor> View(const DLTensor& dl, std::shared_ptr<const void> owner) {
  const TypePair* type = nullptr;
  for (const TypePair& pair : kTypes) {
    if (pair.dl == dl.dtype) type = &pair;
  }
  if (type == nullptr) {
    return Error(Code::kUnsupported, "no dtype for DLPack type code {}, {} bits, {} lanes",
                 dl.dtype.code, dl.dtype.bits, dl.dtype.lanes);
  }
  if (dl.ndim < 0 || dl.ndim > kMaxDims) {
    return Error(Code::kInvalidArgument, "a DLPack tensor of {} dimensions", dl.ndim);
  }
  if (dl.ndim > 0 && dl.shape == nullptr) {
    return Error(Code::kInvalidArgument, "a DLPack tensor of {} dimensions without a shape",
                 dl.ndim);
  }
  const auto ndim = static_cast<size_t>(dl.ndim);
  const Dims shape(dl.shape, ndim);
  const Dims strides(dl.strides, dl.strides == nullptr ? 0 : ndim);
  auto* data = static_cast<std::byte*>(dl.data);
  if (data != nullptr) data += dl.byte_offset;
  DCP_ASSIGN_OR_RETURN(Tensor tensor,
                       Tensor::Borrow(type->dtype, shape, strides, data, std::move(owner)));
  tensor.device = dl.device;
  if (dl.device.type == kCudaHost || dl.device.type == kRocmHost) tensor.device = Device();
  return tensor;
}

template <typename Managed>
struct Export {
  Managed managed{};
  Tensor tensor;
};

template <typename Managed>
Managed* MakeExport(const Tensor& tensor, DLDataType dtype) {
  auto made = std::make_unique<Export<Managed>>();
  made->tensor = tensor;
  Tensor& kept = made->tensor;
  made->managed.tensor = {
      kept.data,         kept.device,         static_cast<int32_t>(kept.shape.size()), dtype,
      kept.shape.data(), kept.strides.data(),
      /*byte_offset=*/0};
  made->managed.context = made.get();
  made->managed.deleter = [](Managed* managed) {
    delete static_cast<Export<Managed>*>(managed->context);
  };
  return &made.release()->managed;
}

}  // namespace

Result<Tensor> TensorFromDLPack(void* managed, bool versioned) {
  if (managed == nullptr) return Error(Code::kInvalidArgument, "the DLPack tensor is null");
  if (!versioned) {
    auto* plain = static_cast<DLManagedTensor*>(managed);
    return View(plain->tensor, Own(plain));
  }
  auto* current = static_cast<DLManagedTensorVersioned*>(managed);
  std::shared_ptr<const void> owner = Own(current);
  // The members up to the deleter stay in place across major versions; the rest may not.
  if (current->major != kMajor) {
    return Error(Code::kUnsupported, "DLPack version {}.{}; version {}.x is supported",
                 current->major, current->minor, kMajor);
  }
  const bool read_only = (current->flags & kReadOnly) != 0;
  DCP_ASSIGN_OR_RETURN(Tensor tensor, View(current->tensor, std::move(owner)));
  tensor.read_only = read_only;
  return tensor;
}

Result<void*> TensorToDLPack(const Tensor& tensor, bool versioned, bool read_only) {
  const TypePair* type = nullptr;
  for (const TypePair& pair : kTypes) {
    if (pair.dtype == tensor.dtype) type = &pair;
  }
  if (type == nullptr) {
    return Error(Code::kUnsupported, "DLPack has no type code for {}", DTypeName(tensor.dtype));
  }
  read_only = read_only || tensor.read_only;
  if (!versioned) {
    if (read_only) {
      return Error(Code::kUnsupported,
                   "the unversioned DLPack struct cannot say read-only; ask for the versioned one");
    }
    return static_cast<void*>(MakeExport<DLManagedTensor>(tensor, type->dl));
  }
  auto* made = MakeExport<DLManagedTensorVersioned>(tensor, type->dl);
  made->major = kMajor;
  made->minor = kMinor;
  made->flags = read_only ? kReadOnly : 0;
  return static_cast<void*>(made);
}

}  // namespace dcp
