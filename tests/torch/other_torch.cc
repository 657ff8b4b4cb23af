// A process whose libtorch says that it is of another version: everything is refused.
#include <cstdio>
#include <cstring>
#include <string>

#include "dcp/torch.h"

namespace {
uint64_t other_version = 0;
}

// Found before libtorch's own.
extern "C" __attribute__((visibility("default"))) uint64_t aoti_torch_abi_version() {
  return other_version;
}

namespace {

int failures = 0;

void Refused(const char* what, dcp_status status, dcp_error* error, const std::string& running) {
  const char* message = dcp_error_message(error);
  if (status != DCP_UNSUPPORTED || std::strstr(message, dcp_torch_version()) == nullptr ||
      std::strstr(message, running.c_str()) == nullptr) {
    std::fprintf(stderr, "%s under torch %s: %s, %s\n", what, running.c_str(),
                 dcp_status_name(status), message);
    ++failures;
  }
  dcp_error_free(error);
}

void Try(uint64_t major, uint64_t minor) {
  other_version = major << 56 | minor << 48;
  const std::string running = std::to_string(major) + "." + std::to_string(minor);
  dcp_error* error = nullptr;
  dcp_communicator* comm = nullptr;
  dcp_status status = dcp_torch_check(&error);
  Refused("check", status, error, running);
  status = dcp_torch_communicator_from_group_name("g", "p", 0, 0, &comm, &error);
  Refused("group", status, error, running);
  status = dcp_torch_communicator_from_tcp_store("localhost", 1, "p", 0, 1, 0, 0, &comm, &error);
  Refused("store", status, error, running);
}

}  // namespace

int main() {
  const std::string built_for = dcp_torch_version();
  const size_t dot = built_for.find('.');
  const uint64_t major = std::stoull(built_for.substr(0, dot));
  const uint64_t minor = std::stoull(built_for.substr(dot + 1));
  Try(major, minor + 1);
  Try(major, minor - 1);
  Try(major + 1, minor);
  other_version = major << 56 | minor << 48 | 7ull << 40;  // another patch version is none
  if (dcp_torch_check(nullptr) != DCP_OK) {
    std::fprintf(stderr, "a patch version is refused\n");
    ++failures;
  }
  return failures;
}
