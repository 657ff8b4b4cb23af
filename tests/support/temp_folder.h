// A fresh folder, removed with all in it.
#ifndef DCP_TESTS_SUPPORT_TEMP_FOLDER_H_
#define DCP_TESTS_SUPPORT_TEMP_FOLDER_H_

#include <string>

namespace dcp {

class TempFolder {
 public:
  TempFolder();  // below $TMPDIR, else /tmp; aborts when none can be made
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace dcp

#endif  // DCP_TESTS_SUPPORT_TEMP_FOLDER_H_
