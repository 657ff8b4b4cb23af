#include <cstdint>
#include <string>

#include <torch/version.h>

#include "dcp/torch.h"
#include "failure.h"

// Of libtorch, since 2.8: its version in the two highest bytes.
extern "C" __attribute__((weak)) uint64_t aoti_torch_abi_version();

#define DCP_TORCH_TEXT_OF(x) #x
#define DCP_TORCH_TEXT(x) DCP_TORCH_TEXT_OF(x)
#define DCP_TORCH_BUILT_FOR \
  DCP_TORCH_TEXT(TORCH_VERSION_MAJOR) "." DCP_TORCH_TEXT(TORCH_VERSION_MINOR)

extern "C" const char* dcp_torch_version(void) { return DCP_TORCH_BUILT_FOR; }

extern "C" dcp_status dcp_torch_check(dcp_error** error) {
  if (error != nullptr) *error = nullptr;
  return dcp_torch::Guard(error, [&]() -> dcp_status {
    std::string running = "older than 2.8";
    if (aoti_torch_abi_version != nullptr) {
      const uint64_t version = aoti_torch_abi_version();
      const uint64_t major = version >> 56 & 0xff;
      const uint64_t minor = version >> 48 & 0xff;
      if (major == TORCH_VERSION_MAJOR && minor == TORCH_VERSION_MINOR) return DCP_OK;
      running = std::to_string(major) + "." + std::to_string(minor);
    }
    return dcp_torch::Fail(DCP_UNSUPPORTED,
                           "this libdcp_torch was built for torch " DCP_TORCH_BUILT_FOR
                           ", but the libtorch of this process is " +
                               running +
                               ": take the libdcp_torch of that version, or build it with "
                               "DCP_TORCH_DIR set to that libtorch",
                           error);
  });
}
