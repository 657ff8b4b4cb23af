// Copies between host memory and devices, plugged in from outside (libdcp_cuda, a host's own).
#ifndef DCP_BASE_DEVICE_H_
#define DCP_BASE_DEVICE_H_

#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"

namespace dcp {

// The numbers are DLPack's DLDeviceType.
struct Device {
  int32_t type = 1;  // 1: CPU
  int32_t index = 0;
  bool is_cpu() const { return type == 1; }
  bool operator==(const Device&) const = default;
};

class DeviceCopier {
 public:
  virtual ~DeviceCopier() = default;
  virtual bool Handles(Device device) const = 0;
  // Both wait until the bytes are there. Any thread.
  virtual Status ToHost(Device device, const void* from, MutableBytes to) = 0;
  virtual Status ToDevice(Device device, Bytes from, void* to) = 0;
};

}  // namespace dcp

#endif  // DCP_BASE_DEVICE_H_
