#include "value/dlpack.h"

#include <cstring>

#include "support/cmocka.h"

namespace dcp {
namespace {

// The public layout of dlpack.h, written down a second time on purpose.
struct Plain {
  void* data;
  int32_t device_type;
  int32_t device_id;
  int32_t ndim;
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct Managed {
  Plain tensor;
  void* context;
  void (*deleter)(Managed*);
};
struct Versioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(Versioned*);
  uint64_t flags;
  Plain tensor;
};

template <typename T>
void Count(T* managed) {
  ++*static_cast<int*>(managed->context);
}

float g_data[6] = {0, 1, 2, 3, 4, 5};
int64_t g_shape[2] = {2, 2};
int64_t g_strides[2] = {2, 1};

Plain Sample() { return {g_data, 1, 0, 2, 2, 32, 1, g_shape, g_strides, 4}; }

struct Outcome {
  Code code = Code::kOk;
  float first = -1;
  bool read_only = false;
  int freed_early = 0;
  int freed = 0;
};

template <typename T>
Outcome Import(T managed, bool versioned) {
  Outcome outcome;
  managed.context = &outcome.freed;
  managed.deleter = Count<T>;
  {
    Result<Tensor> tensor = TensorFromDLPack(&managed, versioned);
    outcome.code = tensor.status().code();
    if (tensor.ok()) {
      std::memcpy(&outcome.first, tensor->data, sizeof outcome.first);
      outcome.read_only = tensor->read_only;
      Tensor copy = *tensor;
      outcome.freed_early = outcome.freed;
    }
  }
  return outcome;
}

void Imports(void**) {
  const Outcome plain = Import(Managed{Sample(), nullptr, nullptr}, false);
  assert_int_equal(plain.code, Code::kOk);
  assert_true(plain.first == 1);
  assert_false(plain.read_only);
  assert_int_equal(plain.freed_early, 0);
  assert_int_equal(plain.freed, 1);

  const Outcome current = Import(Versioned{1, 2, nullptr, nullptr, 1, Sample()}, true);
  assert_int_equal(current.code, Code::kOk);
  assert_true(current.read_only);
  assert_int_equal(current.freed, 1);
}

void FailuresRunTheDeleterOnce(void**) {
  Versioned managed{2, 0, nullptr, nullptr, 0, Sample()};
  Outcome outcome = Import(managed, true);
  assert_int_equal(outcome.code, Code::kUnsupported);
  assert_int_equal(outcome.freed, 1);

  managed.major = 1;
  managed.tensor.lanes = 4;
  outcome = Import(managed, true);
  assert_int_equal(outcome.code, Code::kUnsupported);
  assert_int_equal(outcome.freed, 1);

  managed.tensor = Sample();
  managed.tensor.ndim = -1;
  outcome = Import(managed, true);
  assert_int_equal(outcome.code, Code::kInvalidArgument);
  assert_int_equal(outcome.freed, 1);

  int64_t backwards[2] = {2, -1};
  managed.tensor = Sample();
  managed.tensor.strides = backwards;
  outcome = Import(managed, true);
  assert_int_equal(outcome.code, Code::kInvalidArgument);
  assert_int_equal(outcome.freed, 1);

  const Code null = TensorFromDLPack(nullptr, true).status().code();
  assert_int_equal(null, Code::kInvalidArgument);
}

int RoundTripFaults() {
  int faults = 0;
  for (int32_t number = 1; IsValidDType(number); ++number) {
    const auto dtype = static_cast<DType>(number);
    for (bool versioned : {false, true}) {
      int freed = 0;
      {
        std::shared_ptr<const void> owner(&freed, [](int* count) { ++*count; });
        Tensor tensor = *Tensor::Borrow(dtype, Shape{1, 2}, {}, g_data, std::move(owner));
        Result<void*> made = TensorToDLPack(tensor, versioned, false);
        const bool wanted = number <= 22;
        if (made.ok() != wanted) ++faults;
        if (!made.ok()) continue;
        tensor = Tensor();
        if (freed != 0) ++faults;
        Result<Tensor> back = TensorFromDLPack(*made, versioned);
        if (!back.ok() || back->dtype != dtype || back->shape != Shape{1, 2} ||
            static_cast<void*>(back->data) != g_data || back->read_only) {
          ++faults;
        }
      }
      if (freed != 1) ++faults;
    }
  }
  Tensor tensor = *Tensor::Borrow(DType::kFloat32, Shape{2}, {}, g_data);
  if (TensorToDLPack(tensor, false, true).ok()) ++faults;
  Result<void*> made = TensorToDLPack(tensor, true, true);
  auto* managed = static_cast<Versioned*>(*made);
  if (managed->major != 1 || managed->flags != 1 || managed->tensor.code != 2) ++faults;
  managed->deleter(managed);
  return faults;
}

void RoundTrips(void**) { assert_int_equal(RoundTripFaults(), 0); }

}  // namespace
}  // namespace dcp

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(dcp::Imports),
      cmocka_unit_test(dcp::FailuresRunTheDeleterOnce),
      cmocka_unit_test(dcp::RoundTrips),
  };
  return cmocka_run_group_tests_name("value/dlpack", tests, nullptr, nullptr);
}
