// Which job goes into which data file, and in which order: upstream's rules.
#ifndef DCP_WRITER_FILE_ASSIGNMENT_H_
#define DCP_WRITER_FILE_ASSIGNMENT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "writer/writer.h"

namespace dcp {

struct FileAssignment {
  std::vector<uint32_t> order;   // job numbers, file after file
  std::vector<uint32_t> begins;  // file n holds order[begins[n]] up to order[begins[n + 1]]

  size_t files() const { return begins.size() - 1; }
  std::span<const uint32_t> jobs(size_t file) const {
    return std::span(order).subspan(begins[file], begins[file + 1] - begins[file]);
  }
};

FileAssignment AssignFiles(std::span<const WriteJob> jobs, int32_t files, bool file_per_item);

}  // namespace dcp

#endif  // DCP_WRITER_FILE_ASSIGNMENT_H_
