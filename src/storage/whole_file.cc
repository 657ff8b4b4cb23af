#include <new>

#include "storage/path_text.h"
#include "storage/store.h"

namespace dcp {

Result<ReadableFile::Mapping> ReadableFile::Map(uint64_t /*offset*/, uint64_t /*size*/) const {
  return Error(Code::kUnsupported, "cannot map '{}': its store has no memory to map; read it",
               PathText(name()))
      .WithDetail("file", PathText(name()));
}

Status WriteWholeFile(Store& store, std::string_view path, Bytes data, bool durable) {
  CreateOptions options;
  options.expected_size = data.size();
  options.durable = durable;
  options.direct = false;  // `data` may lie anywhere
  DCP_ASSIGN_OR_RETURN(auto file, store.Create(path, options));
  if (file->alignment() != 1) {
    return Error(Code::kInternal,
                 "'{}' in {}: asked to be written through the page cache, it "
                 "wants blocks of {}",
                 PathText(path), store.location(), file->alignment());
  }
  if (!data.empty()) {
    DCP_RETURN_IF_ERROR(file->Start(0, data, 0));
    DCP_RETURN_IF_ERROR(file->Wait().status());
  }
  return file->Finish(data.size(), durable);
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
