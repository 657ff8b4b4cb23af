// One rank of a torch job, as ranks.py starts it.
#ifndef DCP_TESTS_TORCH_JOB_H_
#define DCP_TESTS_TORCH_JOB_H_

#include <memory>
#include <string>

#include "dcp/torch.hpp"

struct Job {
  int rank = 0;
  int size = 1;
  std::string folder;
  c10::intrusive_ptr<c10d::Store> store;
  std::shared_ptr<void> group;  // torch's registry does not keep it

  // From argv's last five. kind: "tcp" (rank 0 hosts it), "prefix" (over that, twice) or "file".
  Job(const std::string& kind, int argc, char** argv);
  ~Job();
  // Returns when all ranks have come; on rank 0 last, for the store goes with it.
  void End();
};

// Registers a ProcessGroupGloo of all ranks, over the job's store, as long as the job lasts.
void RegisterGlooGroup(Job* job, const std::string& name);

#endif  // DCP_TESTS_TORCH_JOB_H_
