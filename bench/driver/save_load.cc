// Whole checkpoints: save, load, copy, verify.
#include <fmt/format.h>

#include "commands.h"
#include "engine.h"
#include "measure.h"
#include "state.h"

namespace dcp::bench {

using LoadReportHandle = std::unique_ptr<dcp_load_report, cli::Freer<dcp_load_report_free>>;

void SaveCommand(const Arguments& arguments) {
  State state(ReadLayout(arguments.Text("layout")), State::Fill::kPayload);
  dcp_save_options options;
  dcp_save_options_init(&options, sizeof options);
  options.durable = static_cast<int32_t>(arguments.Number("durable", 1));
  options.files = static_cast<int32_t>(arguments.Number("files", 1));
  dcp_storage_options storage_options;
  dcp_storage_options_init(&storage_options, sizeof storage_options);
  storage_options.direct = static_cast<int32_t>(arguments.Number("direct", 1));
  storage_options.io_uring = static_cast<int32_t>(arguments.Number("io-uring", 1));
  std::string folder = arguments.Text("folder");
  cli::SaveReportHandle report;
  Result result;
  {
    Measure measure;
    Engine engine(folder, &storage_options);
    StateHandle dict = state.Dict();
    Check(cli::Try([&](dcp_error** error) {
      return dcp_save(engine.context(), engine.storage(), dict.get(), &options, cli::Out(report),
                      error);
    }));
    measure.Stop(&result);
  }
  result.Add("bytes", state.bytes());
  result.Add("tensors", static_cast<uint64_t>(state.count()));
  result.Add("written_bytes", dcp_save_report_bytes(report.get()));
  result.Print();
}

void LoadCommand(const Arguments& arguments) {
  State state(ReadLayout(arguments.Text("layout")), State::Fill::kOtherBytes);
  std::string folder = arguments.Text("folder");
  LoadReportHandle report;
  Result result;
  {
    Measure measure;
    Engine engine(folder, nullptr);
    StateHandle dict = state.Dict();
    Check(cli::Try([&](dcp_error** error) {
      return dcp_load(engine.context(), engine.storage(), dict.get(), nullptr, cli::Out(report),
                      error);
    }));
    measure.Stop(&result);
  }
  if (dcp_load_report_bytes_unverified(report.get()) != 0) Die("bytes were loaded unchecked");
  state.Check();
  result.Add("bytes", state.bytes());
  result.Add("tensors", static_cast<uint64_t>(state.count()));
  result.Print();
}

void CopyCommand(const Arguments& arguments) {
  std::string from = arguments.Text("folder");
  std::string into = arguments.Text("into");
  cli::SaveReportHandle report;
  Result result;
  {
    Measure measure;
    Engine engine(from, nullptr);
    cli::StorageHandle destination;
    cli::CheckpointHandle checkpoint = engine.Open();
    Check(cli::Try([&](dcp_error** error) {
      return dcp_storage_open(into.c_str(), nullptr, cli::Out(destination), error);
    }));
    Check(cli::Try([&](dcp_error** error) {
      return dcp_checkpoint_copy(checkpoint.get(), destination.get(), nullptr, cli::Out(report),
                                 error);
    }));
    measure.Stop(&result);
  }
  result.Add("bytes", dcp_save_report_bytes(report.get()));
  result.Print();
}

void VerifyCommand(const Arguments& arguments) {
  std::string folder = arguments.Text("folder");
  cli::VerifyReportHandle report;
  Result result;
  {
    Measure measure;
    Engine engine(folder, nullptr);
    cli::CheckpointHandle checkpoint = engine.Open();
    Check(cli::Try([&](dcp_error** error) {
      return dcp_checkpoint_verify(checkpoint.get(), nullptr, nullptr, nullptr, cli::Out(report),
                                   error);
    }));
    measure.Stop(&result);
  }
  if (dcp_verify_report_unchecked(report.get()) != 0) Die("items without a checksum");
  result.Add("bytes", dcp_verify_report_bytes(report.get()));
  result.Add("items", dcp_verify_report_items(report.get()));
  result.Print();
}

}  // namespace dcp::bench
