#include <string>

#include <zlib.h>
#if DCP_WITH_ZSTD
#include <zstd.h>
#endif

#include "base/checksum.h"
#include "dcp.h"
#include "storage/open.h"

#define DCP_TEXT_(x) #x
#define DCP_TEXT(x) DCP_TEXT_(x)

extern "C" {

uint32_t dcp_abi_version(void) { return DCP_ABI_VERSION; }

const char* dcp_version_string(void) {
  return DCP_TEXT(DCP_VERSION_MAJOR) "." DCP_TEXT(DCP_VERSION_MINOR) "." DCP_TEXT(
      DCP_VERSION_PATCH);
}

const char* dcp_build_info(void) {
  try {
    static const std::string info = [] {
      std::string text = "crc32: ";
      text += dcp::Crc32Implementation();
      text += "\nio_uring: ";
      text += dcp::IoUringWorks() ? "works"
              : DCP_WITH_IO_URING ? "built in, not allowed here"
                                  : "not built in";
      text += "\nzstd: ";
#if DCP_WITH_ZSTD
      text += ZSTD_VERSION_STRING;
#else
      text += "not built in";
#endif
      text += "\nzlib: " ZLIB_VERSION "\ncompiler: ";
#if defined(__clang__)
      text += "clang " DCP_TEXT(__clang_major__) "." DCP_TEXT(__clang_minor__);
#else
      text += "g++ " DCP_TEXT(__GNUC__) "." DCP_TEXT(__GNUC_MINOR__);
#endif
#if defined(__x86_64__)
      text += "\narchitecture: x86-64";
#elif defined(__aarch64__)
      text += "\narchitecture: arm64";
#endif
      return text;
    }();
    return info.c_str();
  } catch (...) {
    return "";
  }
}

}  // extern "C"
