/* Compiled with -Wpadded -Werror: no struct of the header has holes, so that the meaning of
 * "the part that is not known is zero" is exact. */
#include <dcp.h>

typedef char no_empty_unit[sizeof(dcp_tensor_view) > 0 ? 1 : -1];
