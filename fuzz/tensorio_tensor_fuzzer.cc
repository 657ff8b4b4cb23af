// Reads the input as a tensor's item, and as the pickle inside one; and items that differ from it
// in some bytes, as its twins.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/bytes.h"
#include "base/checksum.h"
#include "tensorio/item_twins.h"
#include "tensorio/parsed_item.h"
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

// What is taken for a twin of `bytes` is parsed to the same. Which bytes differ follows from the
// CRC of all.
void ReadTwins(dcp::Bytes bytes) {
  dcp::MemorySource source(bytes);
  dcp::Result<dcp::ParsedItem> parsed = dcp::ParseItem(source);
  dcp::ItemTwin twin;
  if (!parsed.ok() || !twin.Learn(bytes, *parsed)) return;
  if (!twin.Matches(bytes) || !(twin.stored() == parsed->stored)) std::abort();
  std::string changed(dcp::AsText(bytes));
  uint64_t random = dcp::Crc32(0, bytes);
  for (int i = 0; i < 4; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    changed[(random >> 32) % changed.size()] = static_cast<char>(random >> 24);
    if (!twin.Matches(dcp::AsBytes(changed))) continue;
    dcp::MemorySource other(dcp::AsBytes(changed));
    dcp::Result<dcp::StoredTensor> again = dcp::ParseTensorItem(other);
    if (!again.ok() || !(*again == twin.stored())) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ReadItem(dcp::AsBytes(data, size));
  ReadTwins(dcp::AsBytes(data, size));
  ReadItem(dcp::AsBytes(dcp::WrapPickle(data, size)));
  return 0;
}
