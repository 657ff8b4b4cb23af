// Tests as C++ functions that return what went wrong, so that everything in them is destroyed
// before cmocka's longjmp:
//
//   std::string AddsUp() {
//     CHECK_THAT(1 + 1 == 2);
//     return {};
//   }
//   cmocka_unit_test(dcp::Checked<AddsUp>)
#ifndef DCP_TESTS_SUPPORT_CHECKS_H_
#define DCP_TESTS_SUPPORT_CHECKS_H_

#include <cstdio>
#include <string>

#include "base/status.h"
#include "support/cmocka.h"

namespace dcp {

// TSan is slow, and looks for what one round shows as well as many: loops in one thread may be
// shorter under it.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kUnderTsan = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kUnderTsan = true;
#else
inline constexpr bool kUnderTsan = false;
#endif
#else
inline constexpr bool kUnderTsan = false;
#endif

inline std::string CheckFailure(const char* file, int line, const char* what,
                                const std::string& detail) {
  return fmt::format("{}:{}: {}{}{}", file, line, what, detail.empty() ? "" : ": ", detail);
}
inline const Status& StatusOf(const Status& status) { return status; }
template <typename T>
const Status& StatusOf(const Result<T>& result) {
  return result.status();
}

inline void FailWith(std::string failure) {
  static char text[2000];
  std::snprintf(text, sizeof text, "%s", failure.c_str());
  std::string().swap(failure);
  if (text[0] == '\0') return;
  print_error("%s\n", text);
  _fail(__FILE__, __LINE__);
}

// A cmocka test of a check; `state` is handed on to those that take it.
template <std::string (*check)()>
void Checked(void**) {
  FailWith(check());
}
template <typename T, std::string (*check)(T&)>
void CheckedWith(void** state) {
  FailWith(check(*static_cast<T*>(*state)));
}

}  // namespace dcp

#define CHECK_THAT(condition)                                                         \
  do {                                                                                \
    if (!(condition)) return ::dcp::CheckFailure(__FILE__, __LINE__, #condition, ""); \
  } while (false)
// `expression` is a Status or a Result.
#define CHECK_OK(expression)                                                              \
  do {                                                                                    \
    const ::dcp::Status dcp_check_ = ::dcp::StatusOf(expression);                         \
    if (!dcp_check_.ok()) {                                                               \
      return ::dcp::CheckFailure(__FILE__, __LINE__, #expression, dcp_check_.ToString()); \
    }                                                                                     \
  } while (false)
#define CHECK_CODE(expression, expected)                                               \
  do {                                                                                 \
    const ::dcp::Status dcp_check_ = ::dcp::StatusOf(expression);                      \
    if (dcp_check_.code() != (expected)) {                                             \
      return ::dcp::CheckFailure(__FILE__, __LINE__, #expression " is not " #expected, \
                                 dcp_check_.ToString());                               \
    }                                                                                  \
  } while (false)
// The entry for dcp::name in a list of tests; cmocka shows the name alone.
#define DCP_CHECKED(name) \
  { #name, dcp::Checked < dcp::name>, nullptr, nullptr, nullptr }

#endif  // DCP_TESTS_SUPPORT_CHECKS_H_
