// What every opaque handle carries, and how calls are guarded: nothing unwinds across dcp.h.
#ifndef DCP_C_API_HANDLE_H_
#define DCP_C_API_HANDLE_H_

#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "base/process.h"
#include "base/status.h"
#include "dcp.h"

namespace dcp::c_api {

// Remembers the process that made it: in a forked child the handle is dead.
struct Handle {
  pid_t process = ThisProcess();
  bool forked() const { return process != ThisProcess(); }
};

// Fills *error (when asked for) and returns the code. Never throws: when there is no memory for an
// error object, *error stays NULL.
dcp_status Deliver(const Status& status, dcp_error** error) noexcept;

// Runs an exported function's body, which returns Status.
template <typename Body>
dcp_status Guard(dcp_error** error, Body&& body) noexcept {
  if (error != nullptr) *error = nullptr;
  try {
    return Deliver(body(), error);
  } catch (const std::bad_alloc&) {
    return DCP_OUT_OF_MEMORY;
  } catch (const std::exception& problem) {
    try {
      return Deliver(Error(Code::kInternal, "unexpected exception: {}", problem.what()), error);
    } catch (...) {
      return DCP_INTERNAL;
    }
  } catch (...) {
    return DCP_INTERNAL;
  }
}

// kInvalidArgument for NULL, kForked in a child of the process that made the handle.
template <typename T>
Status CheckHandle(const T* handle, const char* what) {
  if (handle == nullptr) return Error(Code::kInvalidArgument, "{} is NULL", what);
  if (handle->forked()) {
    return Error(Code::kForked, "{} belongs to the parent of this forked process", what);
  }
  return Status::Ok();
}

inline Status CheckOut(const void* out, const char* what) {
  return out == nullptr ? Error(Code::kInvalidArgument, "{} is NULL", what) : Status::Ok();
}

template <typename T>
void Free(T* handle) noexcept {
  if (handle == nullptr || handle->forked()) return;
  delete handle;
}

// Copies a caller's struct over one of ours: what an older caller lacks keeps its default, what a
// newer one adds must be zero. `minimum` bytes must be there.
Status CopyVersioned(const void* from, uint64_t from_size, size_t minimum, void* to, size_t to_size,
                     const char* what);

// Options: NULL means the defaults.
template <typename T>
Status CopyOptions(const T* from, void (*init)(T*, size_t), T* to, const char* what) {
  init(to, sizeof(T));
  if (from == nullptr) return Status::Ok();
  return CopyVersioned(from, from->struct_size, sizeof(uint32_t), to, sizeof(T), what);
}

// Callback tables: members past the caller's struct_size are NULL.
template <typename T>
Status CopyTable(const T* from, T* to, const char* what) {
  std::memset(to, 0, sizeof(T));
  if (from == nullptr) return Error(Code::kInvalidArgument, "{} is NULL", what);
  return CopyVersioned(from, from->struct_size, sizeof(uint64_t), to, sizeof(T), what);
}

// Defaults for an _init function: as much of `defaults` as the caller's struct holds, zero behind.
template <typename T>
void InitOptions(T* options, size_t struct_size, T defaults) noexcept {
  if (options == nullptr || struct_size < sizeof(uint32_t)) return;
  defaults.struct_size = static_cast<uint32_t>(struct_size);
  std::memset(static_cast<void*>(options), 0, struct_size);
  std::memcpy(static_cast<void*>(options), &defaults,
              struct_size < sizeof(T) ? struct_size : sizeof(T));
}

// Calls destroy(user_data) once, when the last user of a callback table is gone: also when the call
// that took it fails.
class UserData {
 public:
  UserData(void* data, void (*destroy)(void*)) : data_(data), destroy_(destroy) {}
  UserData(const UserData&) = delete;
  UserData& operator=(const UserData&) = delete;
  ~UserData() {
    if (destroy_ != nullptr && process_ == ThisProcess()) destroy_(data_);
  }
  void* get() const { return data_; }

 private:
  void* data_;
  void (*destroy_)(void*);
  pid_t process_ = ThisProcess();
};

// Takes user_data at call entry; a table too short to hold `destroy` has none.
template <typename T>
std::unique_ptr<UserData> TakeUserData(const T* table, void* user_data) {
  bool has = table != nullptr && table->struct_size >= offsetof(T, destroy) + sizeof(void*);
  return std::make_unique<UserData>(user_data, has ? table->destroy : nullptr);
}

// The Status of a callback that returned `code` and perhaps an error, which is taken.
Status FromCallback(dcp_status code, dcp_error* error, const char* callback);

}  // namespace dcp::c_api

#endif  // DCP_C_API_HANDLE_H_
