// What was sent and has not been taken yet. MPI moves large messages only while someone calls it: a
// thread does, as long as there are any.
#ifndef DCP_MPI_OUTBOX_H_
#define DCP_MPI_OUTBOX_H_

#include <mpi.h>

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "dcp.h"

namespace dcp_mpi {

class Outbox {
 public:
  Outbox() = default;
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  // What nobody took is left to MPI, with its memory.
  ~Outbox();

  // Sends `bytes` and returns before they are taken.
  dcp_status Send(MPI_Comm comm, int to, int tag, std::string bytes, dcp_error** error);
  bool empty();

 private:
  struct Letter {
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void Deliver();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<std::unique_ptr<Letter>> letters_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace dcp_mpi

#endif  // DCP_MPI_OUTBOX_H_
