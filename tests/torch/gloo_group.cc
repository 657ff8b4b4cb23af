// With the headers of Debian's libgloo-dev; the code is libtorch's.
#include <memory>

#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "job.h"

void RegisterGlooGroup(Job* job, const std::string& name) {
  const auto store = c10::make_intrusive<c10d::PrefixStore>("default_pg", job->store);
  const auto options = c10d::ProcessGroupGloo::Options::create();
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  const auto backend =
      c10::make_intrusive<c10d::ProcessGroupGloo>(store, job->rank, job->size, options);
  const auto group = c10::make_intrusive<c10d::ProcessGroup>(store, job->rank, job->size);
  group->setBackend(c10::kCPU, c10d::ProcessGroup::BackendType::GLOO, backend);
  group->setGroupName(name);
  c10d::register_process_group(name, group);
  job->group = std::make_shared<c10::intrusive_ptr<c10d::ProcessGroup>>(group);
}
