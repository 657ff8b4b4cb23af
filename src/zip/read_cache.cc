#include "zip/read_cache.h"

#include <algorithm>

namespace dcp::zip {

Bytes ReadCache::Find(uint64_t offset, uint64_t length) const {
  if (!memory_.empty()) {
    if (offset > memory_.size() || length > memory_.size() - offset) return {};
    return memory_.subspan(offset, length);
  }
  for (auto span = spans_.rbegin(); span != spans_.rend(); ++span) {
    if (offset < span->begin) continue;
    uint64_t skip = offset - span->begin;
    if (skip <= span->bytes.size() && length <= span->bytes.size() - skip) {
      return AsBytes(span->bytes).subspan(skip, length);
    }
  }
  return {};
}

Result<Bytes> ReadCache::Fetch(uint64_t offset, uint64_t length) {
  if (offset > size() || length > size() - offset) {
    return Error(Code::kCorrupt, "zip: {} bytes at offset {} are outside the archive of {} bytes",
                 length, offset, size());
  }
  if (length == 0) return Bytes();
  if (Bytes found = Find(offset, length); !found.empty()) return found;
  Span span{offset, {}};
  span.bytes.resize(std::min(std::max(length, kSpan), size() - offset));
  DCP_RETURN_IF_ERROR(source_->ReadAt(
      offset, {reinterpret_cast<std::byte*>(span.bytes.data()), span.bytes.size()}));
  if (spans_.size() == kKept) spans_.pop_back();
  spans_.push_back(std::move(span));
  return AsBytes(spans_.back().bytes).first(length);
}

}  // namespace dcp::zip
