// What the value of an argument or option names: declared beside each of them, so that shells can
// complete it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace asr {

enum class ValueKind : std::uint8_t {
  kFree,  // a number, a time, a text, a name that is new: nothing can be offered
  kWord,  // one of a few; see OneOf
  kOutputFormat,
  kSettingValue,  // of the setting that is named before it
  kFile,
  kDirectory,
  kVault,
  kHost,
  kCredential,
  kPolicy,
  kVm,     // of a host
  kItem,   // a VM of the vault
  kPoint,  // of the item that is named before it
  kDisk,   // of the item that is named before it
  kJob,
  kRunningJob,
  kUnsuccessfulJob,  // one that Failed or was Cancelled
};

struct ValueType {
  ValueType(ValueKind the_kind) : kind(the_kind) {}
  ValueKind kind;
  std::vector<std::string> words;  // of kWord
};

// The words that are possible; any other is refused when the line is parsed.
[[nodiscard]] inline ValueType OneOf(std::vector<std::string> words) {
  ValueType type(ValueKind::kWord);
  type.words = std::move(words);
  return type;
}

}  // namespace asr
