#include "counting_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "arguments.h"

namespace dcp::bench {
namespace {

struct Store {
  std::string folder;
  std::shared_ptr<ReadCounts> counts;
};

struct File {
  int fd;
  bool metadata;
};

dcp_status Fail(dcp_status status, const char* message, dcp_error** error) {
  if (error != nullptr) *error = dcp_error_new(status, message);
  return status;
}

dcp_status Refuse(dcp_error** error) {
  return Fail(DCP_UNSUPPORTED, "this store is for reading only", error);
}

dcp_status OpenFile(void* user_data, const char* path, void** file, uint64_t* size,
                    dcp_error** error) {
  const auto* store = static_cast<Store*>(user_data);
  int fd = open((store->folder + "/" + path).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return Fail(DCP_NOT_FOUND, "no such file", error);
  struct stat facts = {};
  if (fd < 0 || fstat(fd, &facts) != 0) {
    if (fd >= 0) close(fd);
    return Fail(DCP_IO, std::strerror(errno), error);
  }
  *size = static_cast<uint64_t>(facts.st_size);
  *file = new File{fd, std::strcmp(path, ".metadata") == 0};
  return DCP_OK;
}

dcp_status ReadFile(void* user_data, void* file, uint64_t offset, void* data, size_t size,
                    dcp_error** error) {
  ReadCounts& counts = *static_cast<Store*>(user_data)->counts;
  const auto* opened = static_cast<File*>(file);
  (opened->metadata ? counts.metadata_bytes : counts.data_bytes) += size;
  if (!opened->metadata) ++counts.data_reads;
  for (size_t at = 0; at < size;) {
    ssize_t got = pread(opened->fd, static_cast<char*>(data) + at, size - at,
                        static_cast<off_t>(offset + at));
    if (got < 0) return Fail(DCP_IO, std::strerror(errno), error);
    if (got == 0) return Fail(DCP_CORRUPT, "the file ends early", error);
    at += static_cast<size_t>(got);
  }
  return DCP_OK;
}

void CloseFile(void*, void* file) {
  auto* opened = static_cast<File*>(file);
  close(opened->fd);
  delete opened;
}

dcp_status List(void* user_data, dcp_name_sink add, void* sink, dcp_error** error) {
  std::error_code failed;
  std::filesystem::directory_iterator entries(static_cast<Store*>(user_data)->folder, failed);
  if (failed) return Fail(DCP_NOT_FOUND, "no such folder", error);
  for (const auto& entry : entries) add(sink, entry.path().filename().c_str());
  return DCP_OK;
}

}  // namespace

cli::StorageHandle NewCountingStore(const std::string& folder, std::shared_ptr<ReadCounts> counts) {
  dcp_storage_table table = {};
  table.struct_size = sizeof table;
  table.make_root = [](void*, dcp_error** error) { return Refuse(error); };
  table.create = [](void*, const char*, uint64_t, void**, dcp_error** error) {
    return Refuse(error);
  };
  table.write = [](void*, void*, uint64_t, const void*, size_t, dcp_error** error) {
    return Refuse(error);
  };
  table.finish = [](void*, void*, uint64_t, int32_t, dcp_error** error) { return Refuse(error); };
  table.abort = [](void*, void*) {};
  table.open = OpenFile;
  table.read = ReadFile;
  table.close = CloseFile;
  table.rename = [](void*, const char*, const char*, dcp_error** error) { return Refuse(error); };
  table.remove = [](void*, const char*, dcp_error** error) { return Refuse(error); };
  table.list = List;
  table.destroy = [](void* user_data) { delete static_cast<Store*>(user_data); };
  cli::StorageHandle storage;
  Check(cli::Try([&](dcp_error** error) {
    return dcp_storage_new(&table, new Store{folder, std::move(counts)}, folder.c_str(),
                           cli::Out(storage), error);
  }));
  return storage;
}

}  // namespace dcp::bench
