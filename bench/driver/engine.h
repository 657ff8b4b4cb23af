// A context with the defaults and the storage of one folder.
#ifndef DCP_BENCH_DRIVER_ENGINE_H_
#define DCP_BENCH_DRIVER_ENGINE_H_

#include <string>

#include "arguments.h"

namespace dcp::bench {

class Engine {
 public:
  // `options` may be null. Dies when the folder cannot be a storage.
  Engine(const std::string& folder, const dcp_storage_options* options) {
    Check(cli::Try(
        [&](dcp_error** error) { return dcp_context_new(nullptr, cli::Out(context_), error); }));
    Check(cli::Try([&](dcp_error** error) {
      return dcp_storage_open(folder.c_str(), options, cli::Out(storage_), error);
    }));
  }

  dcp_context* context() const { return context_.get(); }
  dcp_storage* storage() const { return storage_.get(); }

  cli::CheckpointHandle Open() const { return Open(storage_.get()); }
  cli::CheckpointHandle Open(dcp_storage* storage) const {
    cli::CheckpointHandle checkpoint;
    Check(cli::Try([&](dcp_error** error) {
      return dcp_checkpoint_open(context_.get(), storage, nullptr, cli::Out(checkpoint), error);
    }));
    return checkpoint;
  }

 private:
  cli::ContextHandle context_;
  cli::StorageHandle storage_;
};

// Index of a name. Dies when there is none.
inline size_t Find(dcp_checkpoint* checkpoint, const std::string& name) {
  size_t index = 0;
  Check(cli::Try([&](dcp_error** error) {
    return dcp_checkpoint_find(checkpoint, name.data(), name.size(), &index, error);
  }));
  return index;
}

}  // namespace dcp::bench

#endif  // DCP_BENCH_DRIVER_ENGINE_H_
