// Reads the input as a tensor's item, and as the pickle inside one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tensorio/tensor_item.h"
#include "wrap_pickle.h"

namespace {

constexpr int64_t kMaxBytes = 1 << 20;

void ReadItem(dcp::Bytes bytes) {
  dcp::MemorySource source(bytes);
  dcp::Result<dcp::StoredTensor> stored = dcp::ParseTensorItem(source);
  if (!stored.ok()) {
    if (stored.status().message().empty()) std::abort();
    return;
  }
  if (stored->form != dcp::TensorForm::kDense) return;
  if (stored->data_size > static_cast<uint64_t>(kMaxBytes)) return;
  std::string payload(stored->data_size, '\0');
  bool checked = false;
  dcp::Status status = dcp::ReadPayload(
      source, *stored, {reinterpret_cast<std::byte*>(payload.data()), payload.size()}, &checked);
  dcp::Result<int64_t> count = dcp::NumElements(stored->shape);
  if (!count.ok()) std::abort();
  if (!status.ok() || *count > kMaxBytes / 16) return;
  dcp::Result<dcp::Tensor> out = dcp::Tensor::Allocate(stored->dtype, stored->shape);
  if (!out.ok()) std::abort();
  dcp::ExtractBox(*stored, dcp::AsBytes(payload), dcp::Shape(stored->shape.size(), 0), *out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ReadItem(dcp::AsBytes(data, size));
  ReadItem(dcp::AsBytes(dcp::WrapPickle(data, size)));
  return 0;
}
