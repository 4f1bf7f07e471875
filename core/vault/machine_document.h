// How a VM is run, as part of the documents of items and recovery points (man/asr-vault.5).
#pragma once

#include <nlohmann/json.hpp>

#include "core/model/virtual_machine.h"
#include "core/vault/document_reader.h"

namespace asr {

[[nodiscard]] nlohmann::ordered_json EncodeSettings(const MachineSettings& settings);
// Of the member "machine". What is wrong is the reader's status.
[[nodiscard]] MachineSettings DecodeSettings(DocumentReader& reader);

[[nodiscard]] nlohmann::ordered_json EncodeTarget(const TargetSettings& target);
// Of the member "target"; none where nothing was set.
[[nodiscard]] TargetSettings DecodeTarget(DocumentReader& reader);

}  // namespace asr
