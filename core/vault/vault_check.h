// Looks a vault over and says what is wrong. Changes nothing, and reads no page of a disk: whether
// those are right is told by verifying points.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/item.h"
#include "core/vault/vault.h"
#include "storage/blob/blob_store.h"

namespace asr {

enum class Severity : std::uint8_t {
  kError,    // something is lost or damaged
  kWarning,  // works, but should not be so
  kNote,     // work that was interrupted, and goes on by itself or with the command that is named
};
[[nodiscard]] std::string_view SeverityName(Severity severity);  // "error", "warning", "note"

struct Finding {
  Severity severity = Severity::kError;
  std::string item;  // the VM's name, or the item's id where only that is known; empty: of no item
  std::string blob;  // empty: of no single one
  std::string message;
  std::string action;
  bool operator==(const Finding&) const = default;
};

struct VaultReport {
  std::vector<Finding> findings;
  std::optional<VaultIdentity> identity;  // none: vault.json cannot be read
  std::vector<Item> items;                // those whose documents are whole
  // What was looked at.
  std::size_t document_count = 0;
  std::size_t item_count = 0;
  std::size_t point_count = 0;
  std::size_t blob_count = 0;  // page blobs

  [[nodiscard]] bool is_healthy() const;  // no errors
};

// One damaged thing hides no other. Fails only if the place cannot be listed (kNotFound, code
// kVaultNotFound, if it holds nothing of a vault), or after a stop. Beside a writer, an item is
// looked at again until it held still; notes may tell of what the writer is doing just then.
[[nodiscard]] Result<VaultReport> CheckContent(BlobStore& store, Timestamp now,
                                               const std::stop_token& stop);

}  // namespace asr
