#include "c_api/checkpoint.h"
#include "c_api/save.h"
#include "c_api/storage.h"
#include "catalog/lazy_state.h"
#include "comm/communicator.h"

using dcp::Status;
using dcp::c_api::CheckHandle;
using dcp::c_api::Guard;

extern "C" dcp_status dcp_checkpoint_copy(dcp_checkpoint* checkpoint, dcp_storage* destination,
                                          const dcp_save_options* options, dcp_save_report** report,
                                          dcp_error** error) {
  return Guard(error, [&]() -> Status {
    if (report != nullptr) *report = nullptr;
    DCP_RETURN_IF_ERROR(CheckHandle(checkpoint, "checkpoint"));
    DCP_RETURN_IF_ERROR(CheckHandle(destination, "destination"));
    DCP_ASSIGN_OR_RETURN(const auto save, dcp::c_api::SaveRequestOf(options));
    if (save.writer != nullptr) {
      return Status(dcp::Code::kUnsupported, "a copy is made by the library's own storage writer");
    }
    DCP_ASSIGN_OR_RETURN(auto leaves, dcp::LazyLeaves(checkpoint->checkpoint));
    bool with_paths = checkpoint->checkpoint->metadata().planner_data.has_value();
    auto single = dcp::NewSingleCommunicator();
    return dcp::c_api::DeliverReport(
        dcp::SaveLeaves(*destination->store, *single, std::move(leaves), with_paths, save.options,
                        *checkpoint->engine),
        report);
  });
}
