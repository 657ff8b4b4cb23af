#include <new>

#include "storage/path_text.h"
#include "storage/store.h"

namespace dcp {

Result<ReadableFile::Mapping> ReadableFile::Map(uint64_t /*offset*/, uint64_t /*size*/) const {
  return Error(Code::kUnsupported, "cannot map '{}': its store has no memory to map; read it",
               PathText(name()))
      .WithDetail("file", PathText(name()));
}

namespace {

Status WriteFile(Store& store, std::string_view path, const CreateOptions& options,
                 const ByteProducer& produce) {
  DCP_ASSIGN_OR_RETURN(auto file, store.Create(path, options));
  if (file->alignment() != 1) {
    return Error(Code::kInternal,
                 "'{}' in {}: asked to be written through the page cache, it "
                 "wants blocks of {}",
                 PathText(path), store.location(), file->alignment());
  }
  uint64_t size = 0;
  const Status produced = produce([&](Bytes piece) -> Status {
    if (piece.empty()) return Status::Ok();
    DCP_RETURN_IF_ERROR(file->Start(size, piece, 0));
    DCP_RETURN_IF_ERROR(file->Wait().status());
    size += piece.size();
    return Status::Ok();
  });
  DCP_RETURN_IF_ERROR(produced);
  return file->Finish(size, options.durable);
}

CreateOptions PlainFile(bool durable) {
  CreateOptions options;
  options.durable = durable;
  options.direct = false;  // the bytes may lie anywhere
  return options;
}

}  // namespace

Status WriteWholeFile(Store& store, std::string_view path, Bytes data, bool durable) {
  CreateOptions options = PlainFile(durable);
  options.expected_size = data.size();
  return WriteFile(store, path, options, [&](const ByteSink& sink) { return sink(data); });
}

Status WriteInPieces(Store& store, std::string_view path, const ByteProducer& produce,
                     bool durable) {
  return WriteFile(store, path, PlainFile(durable), produce);
}

Result<std::string> ReadWholeFile(const Store& store, std::string_view path, uint64_t max_size) {
  DCP_ASSIGN_OR_RETURN(auto file, store.Open(path));
  uint64_t size = file->size();
  if (size > max_size) {
    return Error(Code::kLimit, "'{}' in {} has {} bytes, more than the {} allowed here",
                 PathText(path), store.location(), size, max_size)
        .WithDetail("file", PathText(path));
  }
  std::string text;
  try {
    text.resize(size);
  } catch (const std::bad_alloc&) {
    return Error(Code::kOutOfMemory, "no memory for the {} bytes of '{}' in {}", size,
                 PathText(path), store.location());
  }
  DCP_RETURN_IF_ERROR(file->ReadAt(0, {reinterpret_cast<std::byte*>(text.data()), text.size()}));
  return text;
}

}  // namespace dcp
