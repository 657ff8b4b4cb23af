// Stream transforms: what lies between an item's bytes and the file (compression, ciphers).
// An item's descriptor is "<name>/<version>", for example "stream.zstd/1" (upstream's extension
// descriptors). tests/conformance/transform_suite is what an implementation must pass.
#ifndef DCP_TRANSFORM_TRANSFORM_H_
#define DCP_TRANSFORM_TRANSFORM_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_sink.h"

namespace dcp {

// One direction over one item. One thread at a time.
class TransformStream {
 public:
  virtual ~TransformStream() = default;
  virtual Status Push(Bytes in, const ByteSink& out) = 0;  // any split of the input
  virtual Status Finish(const ByteSink& out) = 0;          // kCorrupt when input is incomplete
};

// Any thread; streams are independent.
class Transform {
 public:
  virtual ~Transform() = default;
  virtual std::string_view name() const = 0;     // "stream.zstd"
  virtual std::string_view version() const = 0;  // "1"
  virtual Result<std::unique_ptr<TransformStream>> NewEncoder() const = 0;
  // `version` is the one in the file; kUnsupported when its leading component is not ours.
  virtual Result<std::unique_ptr<TransformStream>> NewDecoder(std::string_view version) const = 0;
  std::string Descriptor() const { return std::string(name()) + "/" + std::string(version()); }
};

class TransformRegistry {
 public:
  TransformRegistry();  // with the built-in ones: zstd when built in
  Status Add(std::shared_ptr<const Transform> transform);  // kAlreadyExists for a taken name
  // By descriptor from a file. kUnsupported naming what is unknown.
  Result<std::shared_ptr<const Transform>> Find(std::string_view descriptor) const;
  std::vector<std::string> Descriptors() const;

 private:
  std::vector<std::shared_ptr<const Transform>> transforms_;
};

// Encoders in the order given: the last one sees the data first (upstream's writer nests the same
// way), so the descriptor list is written reversed. See docs/format.md.
class EncodeChain {
 public:
  static Result<EncodeChain> Create(std::span<const std::shared_ptr<const Transform>> transforms);
  Status Push(Bytes in, const ByteSink& out) { return PushFrom(0, in, out); }
  Status Finish(const ByteSink& out);

 private:
  Status PushFrom(size_t stage, Bytes in, const ByteSink& out);
  std::vector<std::unique_ptr<TransformStream>> stages_;
};
// What _StorageInfo.transform_descriptors holds for these transforms.
std::vector<std::string> DescriptorsFor(
    std::span<const std::shared_ptr<const Transform>> transforms);

// Undoes the descriptors of one item, as written by EncodeChain, over the whole of `encoded`.
// kLimit when more than `max_size` bytes come out.
Result<std::string> DecodeAll(const TransformRegistry& registry,
                              std::span<const std::string> descriptors, Bytes encoded,
                              uint64_t max_size);

std::shared_ptr<const Transform> NewZstdTransform(int level);  // null when not built in

}  // namespace dcp

#endif  // DCP_TRANSFORM_TRANSFORM_H_
