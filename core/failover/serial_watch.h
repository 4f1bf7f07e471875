// What a guest writes to its serial port, read as it grows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

// Fit for a terminal, a log and JSON: escape sequences and control characters are taken out, bytes
// that are no UTF-8 become '?'. A guest may write anything, also what would trick a terminal.
[[nodiscard]] std::string PrintableText(std::string_view bytes);

// Looks for a text in a file that another process appends to. Not thread-safe.
class SerialWatch {
 public:
  SerialWatch(FileSystem& fs, std::string path, std::string text)
      : fs_(fs), path_(std::move(path)), text_(std::move(text)) {}

  // Reads what is new. The whole line that holds the text, printable, once it has been seen: when
  // the line has ended, or when nothing came after it since the last look (a prompt has no end).
  // A file that does not exist yet is an empty one.
  [[nodiscard]] Result<std::optional<std::string>> Look();

 private:
  [[nodiscard]] std::optional<std::string> FoundLine(bool more_may_follow) const;

  FileSystem& fs_;
  std::string path_;
  std::string text_;
  std::uint64_t offset_bytes_ = 0;
  std::string recent_;  // the end of what was read: the line that goes on, and more
};

// The last `count` lines of the file that are not blank, printable; none if it cannot be read.
[[nodiscard]] std::vector<std::string> LastLines(FileSystem& fs, const std::string& path,
                                                 std::size_t count);

}  // namespace asr
