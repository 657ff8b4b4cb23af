#include <fmt/format.h>

#include "storage/path_text.h"
#include "storage/store.h"

namespace dcp {
namespace {

// Linux's NAME_MAX and PATH_MAX without its NUL.
constexpr size_t kMaxComponent = 255;
constexpr size_t kMaxPath = 4095;

constexpr size_t kShown = 120;

std::string Escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string PathText(std::string_view path) {
  if (path.size() <= 2 * kShown) return Escaped(path);
  return fmt::format("{}...{} ({} bytes)", Escaped(path.substr(0, kShown)),
                     Escaped(path.substr(path.size() - kShown)), path.size());
}

Status CheckRelativePath(std::string_view path) {
  auto refuse = [&](std::string_view why) {
    std::string shown = PathText(path);
    return Error(Code::kInvalidArgument, "path '{}' is refused: {}", shown, why)
        .WithDetail("file", shown);
  };
  if (path.empty()) return refuse("it is empty");
  if (path.size() > kMaxPath) return refuse("it is longer than 4095 bytes");
  if (path.find('\0') != std::string_view::npos) return refuse("it holds a NUL byte");
  if (path.front() == '/') return refuse("it is absolute; paths are relative to the checkpoint");
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string_view component = path.substr(begin, end - begin);
    if (component == "..") return refuse("it holds a '..' component");
    if (component.empty() || component == ".") {
      return refuse("it holds an empty or '.' component, a second spelling of another path");
    }
    if (component.size() > kMaxComponent) return refuse("a name in it is longer than 255 bytes");
    begin = end + 1;
  }
  return Status::Ok();
}

}  // namespace dcp
