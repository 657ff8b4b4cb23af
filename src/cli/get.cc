#include <fmt/format.h>

#include <memory>
#include <new>
#include <optional>

#include "cli/checkpoint.h"
#include "cli/commands.h"
#include "cli/npy.h"
#include "cli/output_file.h"
#include "cli/slice.h"
#include "cli/tensor_text.h"
#include "cli/text.h"
#include "cli/value_json.h"

namespace dcp::cli {
namespace {

struct GetOptions {
  std::string path;
  std::string key;
  std::string slice;
  std::string output;
  std::optional<uint64_t> item;
};

std::string_view AsText(const dcp_value* value) {
  const char* bytes = nullptr;
  size_t size = 0;
  if (dcp_value_get_text(value, &bytes, &size, nullptr) != DCP_OK) return {};
  return std::string_view(bytes, size);
}

int GetItem(Session& session, const GetOptions& options, const Checkpoint& checkpoint,
            const Entry& entry) {
  if (options.output.empty()) return session.FailUsage("--item needs -o FILE, or -o - for a pipe");
  ValueHandle item;
  if (Failure failure = Try([&](dcp_error** error) {
        return dcp_checkpoint_item(checkpoint.get(), entry.index, *options.item, Out(item), error);
      })) {
    return session.Fail(failure);
  }
  Failure failure = WriteOutput(options.output, AsText(item.get()), "");
  return failure ? session.Fail(failure) : kFine;
}

int GetObject(Session& session, const GetOptions& options, const Checkpoint& checkpoint,
              const Entry& entry) {
  if (!options.slice.empty()) {
    return session.FailUsage(
        fmt::format("{} is an object, not a tensor: it has no slices", Escape(entry.name)));
  }
  ValueHandle value;
  if (Failure failure = Try([&](dcp_error** error) {
        return dcp_checkpoint_object(checkpoint.get(), entry.index, Out(value), error);
      })) {
    return session.Fail(failure);
  }
  if (!session.json && options.output.empty()) {
    StringHandle text;
    if (Failure failure = Try([&](dcp_error** error) {
          return dcp_value_to_string(value.get(), Out(text), error);
        })) {
      return session.Fail(failure);
    }
    fmt::print("{}\n", text.get());
    return kFine;
  }
  Json json;
  if (Failure failure = ValueJson(value.get(), &json)) return session.Fail(failure);
  if (!options.output.empty()) {
    std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    if (Failure failure = WriteOutput(options.output, text, "")) return session.Fail(failure);
  }
  if (session.json) {
    Json document = session.Document();
    document["path"] = options.path;
    document["entry"] = EntryJson(entry);
    document["value"] = std::move(json);
    document["output"] = options.output.empty() ? Json(nullptr) : Json(options.output);
    PrintJson(document);
  }
  return kFine;
}

class Memory {
 public:
  // False when there is not that much.
  bool Allocate(uint64_t size) {
    bytes_.reset(new (std::nothrow) char[size == 0 ? 1 : size]);
    size_ = size;
    return bytes_ != nullptr;
  }
  char* data() { return bytes_.get(); }
  std::string_view view() const { return std::string_view(bytes_.get(), size_); }

 private:
  std::unique_ptr<char[]> bytes_;
  uint64_t size_ = 0;
};

int SaveTensor(Session& session, const GetOptions& options, const Entry& entry, const Slice& slice,
               const Memory& memory) {
  NpyHeader header = MakeNpyHeader(entry.dtype, slice.shape);
  if (Failure failure = WriteOutput(options.output, header.bytes, memory.view())) {
    return session.Fail(failure);
  }
  if (header.raw) {
    session.Warn(fmt::format(
        "numpy has no {}: written as uint8, the last dimension is the {} of an element",
        entry.dtype_name, Count(static_cast<uint64_t>(dcp_dtype_size(entry.dtype)), "byte")));
  }
  return kFine;
}

void PrintTensor(Session& session, const GetOptions& options, const Entry& entry,
                 const Slice& slice, const Memory* memory, uint64_t unverified) {
  if (session.json) {
    Json document = session.Document();
    document["path"] = options.path;
    document["entry"] = EntryJson(entry);
    document["slice"] = {{"offsets", slice.offsets},
                         {"steps", slice.steps},
                         {"sizes", slice.sizes},
                         {"shape", slice.shape}};
    document["values"] = memory == nullptr
                             ? Json(nullptr)
                             : TensorJson(entry.dtype, slice.shape, memory->view().data());
    document["unverified_bytes"] = unverified;
    document["output"] = options.output.empty() ? Json(nullptr) : Json(options.output);
    PrintJson(document);
    return;
  }
  if (memory != nullptr) {
    fmt::print("{}\n", TensorText(entry.dtype, slice.shape, memory->view().data()));
  } else {
    fmt::print(
        "{} {} {}: too many elements to print; narrow it with --slice, or write it with "
        "-o FILE.npy\n",
        Escape(entry.name), entry.dtype_name, ShapeText(slice.shape));
  }
}

int GetTensor(Session& session, const GetOptions& options, const Checkpoint& checkpoint,
              const Entry& entry) {
  Slice slice;
  std::string mistake;
  if (!ParseSlice(options.slice, entry.shape, &slice, &mistake)) {
    return session.FailUsage(fmt::format("--slice {}: {}; {} is {}", options.slice, mistake,
                                         Escape(entry.name), ShapeText(entry.shape)));
  }
  if (entry.dtype == 0) {
    return session.Fail(Failure(
        DCP_UNSUPPORTED,
        fmt::format("{}: dtype {} is not known to this version; --item 0 -o FILE gives its first "
                    "item as torch.save wrote it",
                    Escape(entry.name), Escape(entry.dtype_name))));
  }
  bool save = !options.output.empty();
  uint64_t elements = ElementCount(slice.sizes);
  uint64_t unverified = 0;
  if (!save && elements > kMaxPrintedElements) {
    PrintTensor(session, options, entry, slice, nullptr, 0);
    return kFine;
  }
  int32_t dtype = save ? entry.dtype : PrintedDtype(entry.dtype);
  Memory memory;
  if (!memory.Allocate(elements * static_cast<uint64_t>(dcp_dtype_size(dtype)))) {
    return session.Fail(Failure(
        DCP_OUT_OF_MEMORY, fmt::format("no memory for {} of {}; take less at a time with --slice",
                                       HumanBytes(entry.bytes), Escape(entry.name))));
  }
  if (Failure failure = checkpoint.Read(entry, slice.offsets, slice.steps, slice.sizes, dtype,
                                        memory.data(), &unverified)) {
    return session.Fail(failure);
  }
  if (save) {
    if (int code = SaveTensor(session, options, entry, slice, memory)) return code;
  }
  if (!save || session.json) {
    PrintTensor(session, options, entry, slice, save ? nullptr : &memory, unverified);
  }
  if (unverified > 0) {
    session.Warn(fmt::format("{} had no checksum for this part; verify reads the whole",
                             HumanBytes(unverified)));
  }
  return kFine;
}

int RunGet(Session& session, const GetOptions& options) {
  if (session.json && options.output == "-") {
    return session.FailUsage("--json and -o - both want standard output");
  }
  Checkpoint checkpoint;
  if (Failure failure = Checkpoint::Open(session, options.path, &checkpoint)) {
    return session.Fail(failure);
  }
  Entry entry;
  if (Failure failure = checkpoint.Find(options.key, &entry)) return session.Fail(failure);
  if (options.item) return GetItem(session, options, checkpoint, entry);
  return entry.is_tensor ? GetTensor(session, options, checkpoint, entry)
                         : GetObject(session, options, checkpoint, entry);
}

}  // namespace

Command AddGet(CLI::App& app) {
  auto options = std::make_shared<GetOptions>();
  CLI::App* command =
      app.add_subcommand("get", "Print one tensor or object, or write it to a file");
  command->add_option("path", options->path, "The checkpoint")->required();
  command->add_option("key", options->key, "The name, as it is or as ls prints it")->required();
  command->add_option("--slice", options->slice,
                      "Part of a tensor: 0:10,:,-1 (--slice=-3: when it starts with a minus)");
  command->add_option("-o,--output", options->output,
                      "Write tensors as .npy, objects as JSON; - is standard output");
  command->add_option("--item", options->item,
                      "With -o: shard N of the entry, byte for byte as torch.save wrote it");
  return {command, [options](Session& session) { return RunGet(session, *options); }};
}

}  // namespace dcp::cli
