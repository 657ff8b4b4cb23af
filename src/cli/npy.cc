#include "cli/npy.h"

#include <dcp.h>
#include <fmt/format.h>

#include <vector>

namespace dcp::cli {
namespace {

// Null for dtypes numpy has no name for.
const char* Descriptor(int32_t dtype) {
  switch (dtype) {
    case DCP_FLOAT32:
      return "<f4";
    case DCP_FLOAT64:
      return "<f8";
    case DCP_FLOAT16:
      return "<f2";
    case DCP_INT8:
      return "|i1";
    case DCP_INT16:
      return "<i2";
    case DCP_INT32:
      return "<i4";
    case DCP_INT64:
      return "<i8";
    case DCP_UINT8:
      return "|u1";
    case DCP_UINT16:
      return "<u2";
    case DCP_UINT32:
      return "<u4";
    case DCP_UINT64:
      return "<u8";
    case DCP_BOOL:
      return "|b1";
    case DCP_COMPLEX64:
      return "<c8";
    case DCP_COMPLEX128:
      return "<c16";
    default:
      return nullptr;
  }
}

}  // namespace

NpyHeader MakeNpyHeader(int32_t dtype, std::span<const int64_t> shape) {
  NpyHeader header;
  const char* descriptor = Descriptor(dtype);
  std::vector<int64_t> sizes(shape.begin(), shape.end());
  if (descriptor == nullptr) {
    header.raw = true;
    descriptor = "|u1";
    sizes.push_back(dcp_dtype_size(dtype));
  }
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}",
                                 descriptor, fmt::join(sizes, ", "), sizes.size() == 1 ? "," : "");
  constexpr size_t kFront = 10;  // magic, version, length of the text
  text.resize((kFront + text.size() + 1 + 63) / 64 * 64 - kFront - 1, ' ');
  text += '\n';
  header.bytes.assign("\x93NUMPY\x01\x00", 8);
  header.bytes += static_cast<char>(text.size() & 0xff);
  header.bytes += static_cast<char>(text.size() >> 8);
  header.bytes += text;
  return header;
}

}  // namespace dcp::cli
