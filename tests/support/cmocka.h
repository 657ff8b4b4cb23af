// cmocka for C and C++. A cmocka assertion leaves by longjmp: compute first, then assert in frames
// that hold nothing to destroy.
#ifndef DCP_TESTS_SUPPORT_CMOCKA_H_
#define DCP_TESTS_SUPPORT_CMOCKA_H_

#ifdef __cplusplus
extern "C" {
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#ifdef __cplusplus
}
#undef fail  // a macro that breaks the standard library's streams; fail_msg stays
#endif

#endif
