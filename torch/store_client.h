// A c10d store as dcp.h's key-value table wants it: every call ends in time, and a store that does
// not answer is the fault of the rank that hosts it.
#ifndef DCP_TORCH_STORE_CLIENT_H_
#define DCP_TORCH_STORE_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <torch/csrc/distributed/c10d/Store.hpp>

#include "dcp.h"
#include "patient_thread.h"

namespace dcp_torch {

// One call at a time, on any thread. A failure names `host_rank`, unless that is negative: then it
// is DCP_IO.
class StoreClient {
 public:
  using Open = std::function<c10::intrusive_ptr<c10d::Store>()>;
  // `open` is run on a thread of this client's own and makes a store for it alone: a clone, or a
  // new one.
  static dcp_status New(Open open, int32_t host_rank, int64_t timeout_ms,
                        std::unique_ptr<StoreClient>* out, dcp_error** error);
  ~StoreClient();
  StoreClient(const StoreClient&) = delete;
  StoreClient& operator=(const StoreClient&) = delete;

  // Timeouts are in milliseconds, negative: without end. With 0 it is left to the thread.
  dcp_status Set(std::string key, std::vector<uint8_t> value, int64_t timeout_ms,
                 dcp_error** error);
  // DCP_TIMEOUT, without ranks, when the key does not come in time.
  dcp_status Get(std::string key, int64_t timeout_ms, std::vector<uint8_t>* value,
                 dcp_error** error);
  // Left to the thread; a failure comes out of the next call.
  dcp_status Remove(std::string key, dcp_error** error);

 private:
  struct Shared;  // with what still runs when this client is gone
  using Call = std::function<void(c10d::Store&)>;

  StoreClient(std::shared_ptr<Shared> shared, int32_t host_rank)
      : shared_(std::move(shared)), host_rank_(host_rank) {}
  dcp_status Run(Call call, int64_t timeout_ms, PatientThread::Late late, dcp_error** error);
  dcp_status Post(Call call, dcp_error** error);
  dcp_status Failed(dcp_error** error);
  dcp_status Silent(dcp_error** error);
  dcp_status Fail(dcp_status status, const std::string& message, dcp_error** error) const;

  const std::shared_ptr<Shared> shared_;
  const int32_t host_rank_;
  int64_t usual_timeout_ms_ = 0;  // of the last call that had one
  PatientThread thread_;
};

// Calls on a StoreClient, which is the user_data and goes with it.
dcp_key_value_table StoreTable();

}  // namespace dcp_torch

#endif  // DCP_TORCH_STORE_CLIENT_H_
