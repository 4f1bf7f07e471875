// What the lists of a vault's documents share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/model/ids.h"
#include "core/vault/layout.h"
#include "storage/base/result.h"

namespace asr {

// "web.json" -> "web"; "" for any other name.
[[nodiscard]] inline std::string DocumentStem(const std::string& name) {
  constexpr std::string_view kEnding = layout::kDocumentEnding;
  return name.ends_with(kEnding) ? name.substr(0, name.size() - kEnding.size()) : "";
}

// What was there when it was listed, and is gone now, is no error of a list.
template <class Value>
[[nodiscard]] bool WasDeleted(const Result<Value>& result) {
  return !result && result.error().kind == ErrorKind::kNotFound;
}

// Trouble of getting at a document, which says nothing of what it holds: it is busy, its server
// cannot be reached or refuses us, there is no credential (codes 15xx and 16xx). Who takes it for
// damage would judge without what is whole.
[[nodiscard]] inline bool IsPassing(const Error& error) {
  const auto code = static_cast<unsigned>(error.code);
  return error.kind == ErrorKind::kBusy || (code >= 1500 && code < 1700);
}

// `error` with the name nearest to `name`, or with the command that lists them all.
[[nodiscard]] Error WithNearestName(Error error, const std::string& name,
                                    const std::vector<std::string>& names,
                                    const std::string& list_command);

// The error of an item's document that cannot be read, with what to do about it.
[[nodiscard]] Error ItemUnreadable(const ItemId& id, Error error);
// The same of a pin's.
[[nodiscard]] Error PinUnreadable(const std::string& blob, Error error);

}  // namespace asr
