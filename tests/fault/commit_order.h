// What a log of store calls must look like for a save to survive a power cut at any of them.
#ifndef DCP_TESTS_FAULT_COMMIT_ORDER_H_
#define DCP_TESTS_FAULT_COMMIT_ORDER_H_

#include <string>
#include <vector>

namespace dcp {

// Data written, data synced, folder synced, metadata written and synced, renamed into place, folder
// synced, older files removed. `lines` are FaultStore's, of one durable save that succeeded; the
// answer is empty, or says what is out of order.
std::string CheckCommitOrder(const std::vector<std::string>& lines);

// Indices of the lines that make something durable.
std::vector<size_t> SyncLines(const std::vector<std::string>& lines);

}  // namespace dcp

#endif  // DCP_TESTS_FAULT_COMMIT_ORDER_H_
