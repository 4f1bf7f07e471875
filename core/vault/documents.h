// The vault's JSON documents (man/asr-vault.5, "Documents"): values to text and back. Decoders take
// the blob's name for their errors, check every field, and ignore keys they do not know.
#pragma once

#include <string>

#include "core/model/item.h"
#include "core/model/point.h"
#include "core/model/policy.h"
#include "core/vault/vault.h"

namespace asr {

[[nodiscard]] std::string EncodeIdentity(const VaultIdentity& identity);
[[nodiscard]] Result<VaultIdentity> DecodeIdentity(const std::string& name,
                                                   const std::string& text);

[[nodiscard]] std::string EncodePolicy(const Policy& policy);
[[nodiscard]] Result<Policy> DecodePolicy(const std::string& name, const std::string& text);

[[nodiscard]] std::string EncodeItem(const Item& item);
[[nodiscard]] Result<Item> DecodeItem(const std::string& name, const std::string& text);

// With the content of its firmware's variables, if the point has it.
[[nodiscard]] std::string EncodePoint(const RecoveryPoint& point);
[[nodiscard]] Result<RecoveryPoint> DecodePoint(const std::string& name, const std::string& text);

[[nodiscard]] std::string EncodeProof(const Proof& proof);
[[nodiscard]] Result<Proof> DecodeProof(const std::string& name, const std::string& text);

[[nodiscard]] std::string EncodePin(const Pin& pin);
[[nodiscard]] Result<Pin> DecodePin(const std::string& name, const std::string& text);

}  // namespace asr
