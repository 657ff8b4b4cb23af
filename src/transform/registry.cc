#include <algorithm>

#include "transform/transform.h"

namespace dcp {
namespace {

constexpr int kDefaultZstdLevel = 3;
constexpr size_t kShownDescriptor = 80;

// Descriptors come from files: printable and short.
std::string Shown(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, kShownDescriptor)) {
    auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return text.size() > kShownDescriptor ? out + "..." : out;
}

std::string_view NameOf(std::string_view descriptor) {
  return descriptor.substr(0, descriptor.find('/'));
}

}  // namespace

TransformRegistry::TransformRegistry() {
  if (auto zstd = NewZstdTransform(kDefaultZstdLevel)) transforms_.push_back(std::move(zstd));
}

Status TransformRegistry::Add(std::shared_ptr<const Transform> transform) {
  if (transform == nullptr) return Status(Code::kInvalidArgument, "the transform is null");
  std::string_view name = transform->name();
  if (name.empty() || name.find('/') != std::string_view::npos) {
    return Error(Code::kInvalidArgument,
                 "a transform cannot be named '{}': a name is not empty and has no '/'",
                 Shown(name));
  }
  for (const auto& known : transforms_) {
    if (known->name() == name) {
      return Error(Code::kAlreadyExists, "there is a transform '{}' already", Shown(name));
    }
  }
  transforms_.push_back(std::move(transform));
  return Status::Ok();
}

Result<std::shared_ptr<const Transform>> TransformRegistry::Find(
    std::string_view descriptor) const {
  std::string_view name = NameOf(descriptor);
  for (const auto& known : transforms_) {
    if (known->name() == name) return known;
  }
  std::string known;
  for (const std::string& one : Descriptors()) known += (known.empty() ? "" : ", ") + one;
  return Error(Code::kUnsupported,
               "unknown stream transform '{}'; register it to read this entry (known here: {})",
               Shown(descriptor), known.empty() ? "none" : known)
      .WithDetail("transform", Shown(descriptor));
}

std::vector<std::string> TransformRegistry::Descriptors() const {
  std::vector<std::string> descriptors;
  for (const auto& known : transforms_) descriptors.push_back(known->Descriptor());
  return descriptors;
}

}  // namespace dcp
