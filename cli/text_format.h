// Figures and names as people read them in a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace asr {

// "0 B", "512 B", "1.5 GiB": at most four digits.
[[nodiscard]] std::string HumanBytes(std::uint64_t bytes);
// "0 s", "0.3 s", "12 s", "3 min 5 s", "2 h", "4 d 3 h".
[[nodiscard]] std::string HumanSeconds(double seconds);
// "now", "12 s ago", "3 min ago", "2 h ago", "4 d ago"; a time to come: "in 3 min".
[[nodiscard]] std::string HumanAge(double seconds);

// Columns that `text` (UTF-8) takes in a terminal: wide characters take two, combining ones none.
[[nodiscard]] std::size_t DisplayWidth(std::string_view text);
// Cut to `width` columns, with ".." at the end if anything is lost.
[[nodiscard]] std::string CutToWidth(std::string_view text, std::size_t width);

// Names and messages may come from a guest or a foreign file: control characters, which could steer
// the terminal, become '?'; so do bytes that are not UTF-8.
[[nodiscard]] std::string Printable(std::string_view text);

}  // namespace asr
