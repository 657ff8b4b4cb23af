// Opens the input as a zip, in memory and through reads, and reads every record.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "zip/archive.h"

namespace {

constexpr uint64_t kMaxRecord = 1 << 22;

// Hides that the bytes are in memory.
class Reads final : public dcp::ByteSource {
 public:
  explicit Reads(dcp::Bytes bytes) : inner_(bytes) {}
  uint64_t size() const override { return inner_.size(); }
  dcp::Status ReadAt(uint64_t offset, dcp::MutableBytes out) const override {
    return inner_.ReadAt(offset, out);
  }

 private:
  dcp::MemorySource inner_;
};

void Open(const dcp::ByteSource& source) {
  dcp::Result<dcp::zip::Archive> archive = dcp::zip::Archive::Open(&source);
  if (!archive.ok()) {
    if (archive.status().message().empty()) std::abort();
    return;
  }
  uint64_t stored = 0;
  for (const dcp::zip::Record& record : archive->records()) {
    std::string_view name = std::string_view(record.name).substr(archive->prefix().size());
    if (archive->Find(name) != &record) std::abort();
    if (record.data_offset > source.size() ||
        record.compressed_size > source.size() - record.data_offset) {
      std::abort();
    }
    stored += record.compressed_size;
    dcp::Result<std::string> data = archive->Read(record, kMaxRecord);
    if (data.ok() && data->size() != record.size) std::abort();
  }
  if (stored > source.size()) std::abort();  // records share bytes
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dcp::Bytes bytes = dcp::AsBytes(data, size);
  Open(dcp::MemorySource(bytes));
  Open(Reads(bytes));
  return 0;
}
