#include "core/failover/serial_watch.h"

#include <algorithm>
#include <utility>

namespace asr {
namespace {

// A line longer than this is shown in part. Also what is kept from one look to the next.
constexpr std::size_t kLongestShownLine = 4 * kKiB;
constexpr std::size_t kReadBytes = 64 * kKiB;
// A guest that writes without end shall not keep us from looking at the clock.
constexpr int kMostReadsOfALook = 256;

constexpr char kEscape = '\x1B';

// The length of the terminal's control sequence (ECMA-48) that starts `text` with an escape.
std::size_t EscapeLength(std::string_view text) {
  if (text.size() < 2) return text.size();
  if (text[1] != '[') return 2;
  std::size_t length = 2;
  while (length < text.size() && (text[length] < '@' || text[length] > '~')) ++length;
  return std::min(length + 1, text.size());
}

// The length of the UTF-8 character that starts `text`, or 0 if it is none (RFC 3629, table 3-7 of
// the Unicode standard) or a control character (U+0080 to U+009F).
std::size_t CharacterLength(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool control = lead == 0xC2 && second < 0xA0;
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second > 0x9F;
  const bool beyond = lead == 0xF4 && second > 0x8F;
  return control || overlong || surrogate || beyond ? 0 : length;
}

bool IsControl(char byte) { return (byte >= 0 && byte < ' ') || byte == '\x7F'; }

}  // namespace

std::string PrintableText(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const char first = bytes.front();
    if (first == kEscape) {
      bytes.remove_prefix(EscapeLength(bytes));
    } else if (first == '\t') {
      text += ' ';
      bytes.remove_prefix(1);
    } else if (IsControl(first)) {
      bytes.remove_prefix(1);
    } else {
      const std::size_t length = CharacterLength(bytes);
      text += length == 0 ? std::string_view("?") : bytes.substr(0, length);
      bytes.remove_prefix(std::max<std::size_t>(length, 1));
    }
  }
  return text;
}

Result<std::optional<std::string>> SerialWatch::Look() {
  if (!Exists(fs_, path_)) return std::optional<std::string>();
  ASR_TRY(const std::unique_ptr<File> file, fs_.Open(path_, {}));
  std::string bytes(kReadBytes, '\0');
  bool grown = false;
  for (int reads = 0; reads < kMostReadsOfALook; ++reads) {
    ASR_TRY(const std::size_t count,
            file->ReadUpTo(offset_bytes_, std::as_writable_bytes(std::span(bytes))));
    if (count == 0) return FoundLine(/*more_may_follow=*/grown);
    grown = true;
    offset_bytes_ += count;
    recent_.append(bytes, 0, count);
    if (auto line = FoundLine(/*more_may_follow=*/true)) return line;
    const std::size_t kept = std::max(kLongestShownLine, text_.size());
    // Once the text is in it, the line's end is all that is missing, and that is near.
    if (recent_.size() > kept && recent_.find(text_) == std::string::npos) {
      recent_.erase(0, recent_.size() - kept);
    }
  }
  return std::optional<std::string>();
}

// If more may follow at once, a line counts only when it has ended.
std::optional<std::string> SerialWatch::FoundLine(bool more_may_follow) const {
  const std::size_t found = recent_.find(text_);
  if (found == std::string::npos) return std::nullopt;
  const std::size_t after = found + text_.size();
  std::size_t end = recent_.find_first_of("\r\n", after);
  if (end == std::string::npos) {
    if (more_may_follow && recent_.size() - after < kLongestShownLine) return std::nullopt;
    end = recent_.size();
  }
  const std::size_t break_before =
      found == 0 ? std::string::npos : recent_.find_last_of("\r\n", found - 1);
  std::size_t start = break_before == std::string::npos ? 0 : break_before + 1;
  if (found - start > kLongestShownLine) start = found;
  end = std::min(end, after + kLongestShownLine);
  return PrintableText(std::string_view(recent_).substr(start, end - start));
}

std::vector<std::string> LastLines(FileSystem& fs, const std::string& path, std::size_t count) {
  constexpr std::uint64_t kTailBytes = 8 * kKiB;
  const auto file = fs.Open(path, {});
  if (!file) return {};
  const auto stamp = (*file)->Stat();
  if (!stamp) return {};
  std::string tail(kTailBytes, '\0');
  const std::uint64_t start = stamp->size_bytes - std::min(stamp->size_bytes, kTailBytes);
  const auto read = (*file)->ReadUpTo(start, std::as_writable_bytes(std::span(tail)));
  if (!read) return {};
  tail.resize(*read);
  std::vector<std::string> lines;
  std::string_view rest = tail;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of("\r\n"), rest.size());
    std::string line = PrintableText(rest.substr(0, end));
    if (line.find_first_not_of(' ') != std::string::npos) lines.push_back(std::move(line));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<long>(count));
  return lines;
}

}  // namespace asr
