#include "storage/open.h"

#include <algorithm>

#include "storage/local/local_store.h"
#include "storage/path_text.h"

namespace dcp {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsSchemeByte(char c) {  // RFC 3986, 3.1
  return IsLetter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

// The scheme of "scheme://rest" in lower case, else empty.
std::string SchemeOf(std::string_view where) {
  size_t end = where.find("://");
  if (end == std::string_view::npos || end == 0 || !IsLetter(where[0])) return {};
  std::string scheme(where.substr(0, end));
  if (!std::all_of(scheme.begin(), scheme.end(), IsSchemeByte)) return {};
  for (char& c : scheme) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return scheme;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> PathOfFileUrl(std::string_view url) {
  auto refuse = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, "cannot open '{}': {}", PathText(url), why);
  };
  std::string_view rest = url.substr(url.find("://") + 3);
  size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return refuse("no path; write file:///folder/path");
  std::string_view host = rest.substr(0, slash);
  if (!host.empty() && host != "localhost") {
    return refuse("it names a host; write file:///folder/path with three slashes");
  }
  std::string path;
  for (size_t at = slash; at < rest.size(); ++at) {
    if (rest[at] == '?' || rest[at] == '#') {
      return refuse("a file URL has no query or fragment; write %3F or %23, or give a plain path");
    }
    if (rest[at] != '%') {
      path += rest[at];
      continue;
    }
    int high = at + 1 < rest.size() ? HexDigit(rest[at + 1]) : -1;
    int low = at + 2 < rest.size() ? HexDigit(rest[at + 2]) : -1;
    if (high < 0 || low < 0) return refuse("'%' without two hexadecimal digits; write %25");
    path += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return path;
}

}  // namespace

Result<std::unique_ptr<Store>> OpenStore(std::string_view where, const LocalStoreOptions& options) {
  std::string scheme = SchemeOf(where);
  std::string path(where);
  if (scheme == "memory") {
    if (where.size() > scheme.size() + 3) {
      return Error(Code::kInvalidArgument,
                   "cannot open '{}': memory stores have no names; write memory:// and share the "
                   "handle",
                   PathText(where));
    }
    return NewMemoryStore();
  }
  if (scheme == "file") {
    DCP_ASSIGN_OR_RETURN(path, PathOfFileUrl(where));
  } else if (!scheme.empty()) {
    return Error(Code::kUnsupported,
                 "cannot open '{}': no storage is known for '{}://'; there are plain paths, "
                 "file:// and memory://",
                 PathText(where), scheme);
  }
  if (path.empty()) return Status(Code::kInvalidArgument, "the checkpoint's path is empty");
  if (path.find('\0') != std::string::npos) {
    return Error(Code::kInvalidArgument, "the checkpoint's path '{}' holds a NUL byte",
                 PathText(path));
  }
  return NewLocalStore(std::move(path), options);
}

}  // namespace dcp
