// A directory for one test, gone when the test ends.
#pragma once

#include <string>
#include <string_view>

namespace asr::testing {

class TempDir {
 public:
  TempDir();  // below $TMPDIR, else /tmp
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // path() + "/" + name
  [[nodiscard]] std::string operator/(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace asr::testing
