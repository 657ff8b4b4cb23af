// Which paths and URLs are taken.
#include "storage/open.h"
#include "support/checks.h"
#include "support/temp_folder.h"

namespace dcp {
namespace {

std::string MessagesStayPrintable() {
  Status status = CheckRelativePath(std::string(5000, '\x01'));
  CHECK_CODE(status, Code::kInvalidArgument);
  CHECK_THAT(status.message().size() < 1200);
  for (char c : status.message()) CHECK_THAT(static_cast<unsigned char>(c) >= 0x20);
  CHECK_OK(CheckRelativePath(std::string(255, 'x')));
  CHECK_OK(CheckRelativePath("a/b.c/..d/e.."));
  CHECK_CODE(CheckRelativePath("a\\\0"), Code::kOk);  // ends at the NUL: a C string
  CHECK_CODE(CheckRelativePath("/"), Code::kInvalidArgument);
  return {};
}

std::string LongPathsOfShortNames() {
  std::string path = "a";
  while (path.size() + 2 <= 4095) path += "/a";
  CHECK_OK(CheckRelativePath(path));
  CHECK_CODE(CheckRelativePath(path + "/a"), Code::kInvalidArgument);
  return {};
}

std::string FileUrls() {
  TempFolder folder;
  auto store = OpenStore("file://" + folder.path() + "/with%20space%2Fsub", {});
  CHECK_OK(store);
  CHECK_OK((*store)->MakeRoot());
  CHECK_OK(WriteWholeFile(**store, "f", AsBytes("x"), false));
  auto same = OpenStore(folder / "with space/sub", {});
  CHECK_OK(same);
  CHECK_OK((*same)->Open("f"));
  CHECK_OK(OpenStore("FILE://localhost" + folder.path(), {}));
  for (const char* bad : {"file://", "file://host/x", "file:///a%", "file:///a%2", "file:///a%zz",
                          "file:///a%00b", "file:///a?b", "file:///a#b"}) {
    CHECK_CODE(OpenStore(bad, {}), Code::kInvalidArgument);
  }
  return {};
}

std::string OtherSchemes() {
  auto refused = OpenStore("s3://bucket/key", {});
  CHECK_CODE(refused, Code::kUnsupported);
  const std::string& message = refused.status().message();
  CHECK_THAT(message.find("'s3://'") != std::string::npos);
  CHECK_THAT(message.find("file://") != std::string::npos);
  CHECK_THAT(message.find("memory://") != std::string::npos);
  CHECK_CODE(OpenStore("", {}), Code::kInvalidArgument);
  CHECK_CODE(OpenStore(std::string("a\0b", 3), {}), Code::kInvalidArgument);
  auto memory = OpenStore("memory://", {});
  CHECK_OK(memory);
  CHECK_OK(WriteWholeFile(**memory, "f", {}, true));
  CHECK_CODE(OpenStore("memory://name", {}), Code::kInvalidArgument);
  CHECK_OK(OpenStore("1a://not-a-scheme", {}));
  return {};
}

}  // namespace
}  // namespace dcp

int main() {
  using namespace dcp;
  const CMUnitTest tests[] = {
      cmocka_unit_test(Checked<MessagesStayPrintable>),
      cmocka_unit_test(Checked<LongPathsOfShortNames>),
      cmocka_unit_test(Checked<FileUrls>),
      cmocka_unit_test(Checked<OtherSchemes>),
  };
  return cmocka_run_group_tests_name("storage/path", tests, nullptr, nullptr);
}
