// A file of metadata while it is decoded. A large one is fetched, and its checksum taken, by a
// thread of its own, while the first pass follows it; the second pass gives its memory back.
#ifndef DCP_METADATA_FILE_INPUT_H_
#define DCP_METADATA_FILE_INPUT_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/byte_source.h"
#include "metadata/page_buffer.h"
#include "pickle/input.h"

namespace dcp {

// Its bytes are those before the checksum trailer, if the file ends in one.
class FileInput final : public pickle::Input {
 public:
  // Borrows `file`. The error is the file's, or kOutOfMemory.
  static Result<std::unique_ptr<FileInput>> New(const ByteSource& file);
  ~FileInput() override;

  // Whether a trailer is there. Restart fails with kCorrupt when it does not match the bytes.
  bool has_trailer() const { return !trailer_.empty(); }
  // Of the whole file. Known after Restart.
  uint32_t crc32() const;

  size_t step() const override;
  void Pass(size_t offset) override;
  Status Restart() override;

 private:
  FileInput(const ByteSource& file, Bytes in_memory, std::string trailer);
  FileInput(const ByteSource& file, PageBuffer pages, std::string trailer);
  Status LoadMore(size_t end) override;
  void StartFetching();
  void FetchAll();
  Status Fetch(size_t begin, size_t end);

  const ByteSource& file_;
  PageBuffer pages_;
  const std::string trailer_;
  const bool borrowed_;  // the file lies in memory
  bool first_pass_ = true;
  uint32_t crc_ = 0;  // of what was fetched

  // Between the thread that fetches, if there is one, and the reader.
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable more_;
  size_t fetched_ = 0;
  Status failure_;
  bool stop_ = false;
};

}  // namespace dcp

#endif  // DCP_METADATA_FILE_INPUT_H_
