// Adds findings to a vault's report.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "core/vault/document_list.h"
#include "core/vault/vault_check.h"

namespace asr {

// Those of one item, or of none.
class FindingList {
 public:
  FindingList(VaultReport& report, std::string item) : report_(report), item_(std::move(item)) {}

  void NameItem(std::string item) { item_ = std::move(item); }

  void Add(Severity severity, const std::string& blob, std::string message, std::string action) {
    report_.findings.push_back({severity, item_, blob, std::move(message), std::move(action)});
  }
  // What could not be read may be whole.
  void Add(const std::string& blob, const Error& error) {
    if (IsDamage(error)) return Add(Severity::kError, blob, error.Line(), error.action);
    Add(Severity::kError, blob, "could not be read: " + error.Line(),
        error.action.empty() ? "make it readable, then look again: asr vault check" : error.action);
  }

  // True for errors of what is stored, in contrast to those of getting at it.
  [[nodiscard]] static bool IsDamage(const Error& error) {
    return error.kind != ErrorKind::kIo && !IsPassing(error);
  }

  // The value of a document that is whole; none if it is not, or was deleted meanwhile.
  template <class Value>
  std::optional<Value> Read(BlobStore& store, const std::string& blob,
                            Result<Value> (*decode)(const std::string&, const std::string&)) {
    const auto text = store.Get(blob);
    if (!text && text.error().kind == ErrorKind::kNotFound) return std::nullopt;
    ++report_.document_count;
    auto value = text ? decode(blob, *text) : Result<Value>(Fail(text.error()));
    if (value) return *std::move(value);
    Add(blob, value.error());
    return std::nullopt;
  }

 private:
  VaultReport& report_;
  std::string item_;
};

}  // namespace asr
