// Which process this is, without a system call each time it is asked.
#ifndef DCP_BASE_PROCESS_H_
#define DCP_BASE_PROCESS_H_

#include <sys/types.h>

namespace dcp {

// The process's number, right in a forked child too. Any thread.
pid_t ThisProcess();

}  // namespace dcp

#endif  // DCP_BASE_PROCESS_H_
