// Decodes any bytes as a .metadata file; what decodes must survive being written and read again.
// Folding, and giving the input back meanwhile, must make no difference.
#include <cstdint>
#include <cstdlib>

#include "metadata/codec.h"
#include "metadata/flatten.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CompareEntries(const dcp::Metadata& a, const dcp::Metadata& b) {
  Require(a.entries.size() == b.entries.size());
  for (size_t i = 0; i < a.entries.size(); ++i) {
    const dcp::Entry& x = a.entries[i];
    const dcp::Entry& y = b.entries[i];
    Require(x.name == y.name && x.kind == y.kind && x.properties == y.properties);
    Require(x.size == y.size && x.boxes == y.boxes);
    Require(x.locations.size() == y.locations.size());
    for (size_t c = 0; c < x.locations.size(); ++c) {
      const dcp::Location& from = x.locations[c];
      const dcp::Location& to = y.locations[c];
      Require(from.missing() == to.missing());
      if (from.missing()) continue;
      Require(a.files[from.file] == b.files[to.file]);
      Require(a.transform_sets[from.transforms] == b.transform_sets[to.transforms]);
      Require(from.offset == to.offset && from.length == to.length);
      Require(from.has_crc32 == to.has_crc32 && from.crc32 == to.crc32);
    }
  }
  Require(a.planner_data == b.planner_data && a.version == b.version);
}

void CompareResults(const dcp::Result<dcp::Metadata>& a, const dcp::Result<dcp::Metadata>& b) {
  Require(a.ok() == b.ok());
  if (!a.ok()) {
    Require(a.status().code() == b.status().code() && a.status().message() == b.status().message());
    return;
  }
  CompareEntries(*a, *b);
  Require(a->files == b->files && a->transform_sets == b->transform_sets);
  Require(a->notes == b->notes && a->checksummed == b->checksummed);
}

// A file, to the decoder: read into memory of its own, which is given back.
class ReadSource final : public dcp::ByteSource {
 public:
  explicit ReadSource(dcp::Bytes bytes) : memory_(bytes) {}
  uint64_t size() const override { return memory_.size(); }
  dcp::Status ReadAt(uint64_t offset, dcp::MutableBytes out) const override {
    return memory_.ReadAt(offset, out);
  }

 private:
  const dcp::MemorySource memory_;
};

void CompareWays(const dcp::Result<dcp::Metadata>& decoded, const uint8_t* data, size_t size) {
  CompareResults(decoded, dcp::DecodeMetadata(ReadSource(dcp::AsBytes(data, size)), ".metadata"));
  dcp::Result<dcp::Metadata> whole =
      dcp::DecodeMetadata(dcp::AsBytes(data, size), ".metadata", dcp::Folding::kNone);
  // The whole graph is larger, and may meet a cap.
  if (!whole.ok() && whole.status().code() == dcp::Code::kLimit) return;
  CompareResults(decoded, whole);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dcp::Result<dcp::Metadata> decoded = dcp::DecodeMetadata(dcp::AsBytes(data, size), ".metadata");
  CompareWays(decoded, data, size);
  if (!decoded.ok()) return 0;
  for (const dcp::Entry& entry : decoded->entries) {
    Require(decoded->Find(entry.name).has_value());
    Require(entry.kind == dcp::EntryKind::kBytes ||
            entry.boxes.size() == 2 * entry.ndim() * entry.chunk_count());
  }
  dcp::Result<std::string> encoded = dcp::EncodeMetadata(*decoded, dcp::Dialect::kDefault);
  if (encoded.ok()) {
    dcp::Result<dcp::Metadata> again = dcp::DecodeMetadata(dcp::AsBytes(*encoded), ".metadata");
    Require(again.ok() && again->checksummed);
    CompareEntries(*decoded, *again);
  }
  if (decoded->planner_data) {
    std::vector<dcp::FlatLeaf> leaves;
    for (const auto& [name, path] : *decoded->planner_data) {
      leaves.push_back({name, path, dcp::Value::None()});
    }
    dcp::Result<dcp::ValuePtr> nested = dcp::Unflatten(leaves);
    if (nested.ok()) (void)dcp::Flatten(**nested, dcp::FlattenRule::kDefault).ok();
  }
  (void)dcp::MergeRankMetadata({*decoded, *decoded}).ok();
  return 0;
}
