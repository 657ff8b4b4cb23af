// Paths in messages: they may come from hostile files.
#ifndef DCP_STORAGE_PATH_TEXT_H_
#define DCP_STORAGE_PATH_TEXT_H_

#include <string>
#include <string_view>

namespace dcp {

// Printable and short: control bytes become \xNN, long paths lose their middle.
std::string PathText(std::string_view path);

}  // namespace dcp

#endif  // DCP_STORAGE_PATH_TEXT_H_
