// What documents of proofs tell of.
#pragma once

#include <optional>
#include <string>

#include "core/model/point.h"
#include "storage/base/result.h"

namespace asr {

// What a proof's document tells of. A later document takes the place of an earlier one that tells
// of nothing else.
struct ProofKinds {
  bool verified = false;
  bool booted = false;
  bool notes = false;

  static ProofKinds Of(const Proof& proof) {
    return {.verified = proof.verified_at.has_value(),
            .booted = proof.booted.has_value() || proof.tested_at.has_value(),
            .notes = !proof.notes.empty()};
  }
  [[nodiscard]] bool any() const { return verified || booted || notes; }
  [[nodiscard]] bool Covers(const ProofKinds& other) const {
    return (verified || !other.verified) && (booted || !other.booted) && (notes || !other.notes);
  }
  void Add(const ProofKinds& other) {
    verified |= other.verified;
    booted |= other.booted;
    notes |= other.notes;
  }
};

// nullopt: the document is gone; or it is damaged, which proves nothing, and must not keep the
// point from being used.
[[nodiscard]] Result<std::optional<Proof>> DecodeOneProof(const std::string& blob,
                                                          const Result<std::string>& text);

}  // namespace asr
