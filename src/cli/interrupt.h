// Ctrl-C as a request to stop.
#ifndef DCP_CLI_INTERRUPT_H_
#define DCP_CLI_INTERRUPT_H_

#include <dcp.h>

namespace dcp::cli {

// The first SIGINT, SIGTERM or SIGHUP requests `cancel`; the next one ends the process. `cancel`
// must stay until the process ends.
void CancelOnInterrupt(dcp_cancel* cancel);

}  // namespace dcp::cli

#endif  // DCP_CLI_INTERRUPT_H_
