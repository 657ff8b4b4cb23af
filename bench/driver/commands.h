// The commands of bench_driver. Each prepares, measures one piece of work (measure.h), checks what
// it did, and prints a result; it dies when anything is wrong.
#ifndef DCP_BENCH_DRIVER_COMMANDS_H_
#define DCP_BENCH_DRIVER_COMMANDS_H_

#include "arguments.h"

namespace dcp::bench {

// --layout L --folder F [--durable 0] [--direct 0]
void SaveCommand(const Arguments& arguments);
// --layout L --folder F: into memory that is there
void LoadCommand(const Arguments& arguments);
// --folder F --into G: copied to another folder
void CopyCommand(const Arguments& arguments);
// --folder F: every checksum
void VerifyCommand(const Arguments& arguments);

// --folder F: the metadata only
void OpenCommand(const Arguments& arguments);
// --layout L --folder F: every tensor, in the mapped files; those that cannot be used there are
// read
void MapCommand(const Arguments& arguments);
// --folder F --name N --seed S: one tensor of a checkpoint
void TensorCommand(const Arguments& arguments);
// --folder F --name N --seed S --first ROW --rows COUNT [--counted 1]: rows of a tensor. Counted:
// through a store that counts the bytes asked of it.
void SliceCommand(const Arguments& arguments);

// --folder F --bytes N: O_DIRECT, synced
void LimitWriteCommand(const Arguments& arguments);
// --folder F: every file in it, O_DIRECT
void LimitReadCommand(const Arguments& arguments);
// --bytes N [--threads T]: memory to memory, both there
void LimitCopyCommand(const Arguments& arguments);
// --folder F --bytes N: write(2) into the page cache and one pass of CRC32, not synced
void LimitCachedWriteCommand(const Arguments& arguments);
// --folder F --file NAME --bytes N --count C: open, pread N bytes, close, C times
void LimitPreadsCommand(const Arguments& arguments);

}  // namespace dcp::bench

#endif  // DCP_BENCH_DRIVER_COMMANDS_H_
