// The name of one save: a random UUID, version 4, as upstream writes it.
#ifndef DCP_CHECKPOINT_SAVE_ID_H_
#define DCP_CHECKPOINT_SAVE_ID_H_

#include <string>

#include "base/status.h"

namespace dcp {

Result<std::string> NewSaveId();  // "6d0c2a4e-...": 36 characters, from the system's random source

}  // namespace dcp

#endif  // DCP_CHECKPOINT_SAVE_ID_H_
