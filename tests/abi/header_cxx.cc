// dcp.h in C++, in two units of one program: no definition may come twice.
#include <dcp.h>

#include <type_traits>

const char* VersionSeenElsewhere();

static_assert(std::is_standard_layout_v<dcp_tensor_view>);
static_assert(std::is_trivially_copyable_v<dcp_save_options>);
static_assert(std::is_same_v<dcp_status, int32_t>);

int main() { return VersionSeenElsewhere() == dcp_version_string() ? 0 : 1; }
