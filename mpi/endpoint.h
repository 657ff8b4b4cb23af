// Messages of any size between the ranks of one MPI communicator.
#ifndef DCP_MPI_ENDPOINT_H_
#define DCP_MPI_ENDPOINT_H_

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dcp.h"
#include "outbox.h"

namespace dcp_mpi {

// One call at a time, on any thread.
class Endpoint {
 public:
  // Duplicates `comm`; collective.
  static dcp_status Open(MPI_Comm comm, int64_t timeout_ms, std::unique_ptr<Endpoint>* out,
                         dcp_error** error);
  // Frees the duplicate, unless something is still under way on it: MPI then has it for good.
  ~Endpoint();

  int rank() const { return rank_; }
  int size() const { return size_; }
  dcp_status Send(int to, const void* data, size_t size, dcp_error** error);
  // DCP_TIMEOUT when no message of `from` is there in time.
  dcp_status Receive(int from, int64_t timeout_ms, std::string* out, dcp_error** error);

 private:
  explicit Endpoint(MPI_Comm comm) : comm_(comm) {}
  dcp_status Take(int from, bool* whole, bool* moved, dcp_error** error);

  // Of one sender: the message so far, and the part that is on its way.
  struct Incoming {
    std::string bytes;
    size_t part = 0;
    int tag = 0;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 0;
  std::vector<Incoming> incoming_;
  std::unique_ptr<Outbox> outbox_ = std::make_unique<Outbox>();
};

}  // namespace dcp_mpi

#endif  // DCP_MPI_ENDPOINT_H_
