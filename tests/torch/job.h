// One rank of a torch job, as processes.py starts it.
#ifndef DCP_TESTS_TORCH_JOB_H_
#define DCP_TESTS_TORCH_JOB_H_

#include <memory>
#include <string>

#include "dcp/torch.hpp"

struct Job {
  int rank = 0;
  int size = 1;
  int port = 0;
  std::string folder;
  c10::intrusive_ptr<c10d::Store> store;

  // From argv's last four. kind: "tcp" (rank 0 hosts it), "prefix" (over that, twice) or "file".
  Job(const std::string& kind, int argc, char** argv);
  ~Job();
  // Returns when all ranks have come; rank 0 last, for the store goes with it.
  void End();
};

#endif  // DCP_TESTS_TORCH_JOB_H_
