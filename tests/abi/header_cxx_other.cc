#include <dcp.h>

const char* VersionSeenElsewhere();
const char* VersionSeenElsewhere() { return dcp_version_string(); }
