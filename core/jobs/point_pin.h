// Keeps retention away from a point while a job reads it.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "core/jobs/environment.h"
#include "core/vault/vault.h"

namespace asr {

class PointPin {
 public:
  // A reader that dies leaves its pin behind; it ends by itself after a day.
  static constexpr std::chrono::hours kLongestRead{24};

  [[nodiscard]] static Result<PointPin> Take(Environment& environment, Vault& vault,
                                             const ItemId& item, const PointId& point,
                                             const std::string& reader) {
    auto pin = vault.PinPoint(item, point, reader, environment.clock.Now() + kLongestRead);
    if (pin) return PointPin(vault, item, *std::move(pin));
    // A vault that is full or read-only must still give its points back.
    if (pin.error().kind != ErrorKind::kNoSpace && pin.error().code != ErrorCode::kPermission &&
        pin.error().code != ErrorCode::kNotAuthorized) {
      return Fail(std::move(pin).error());
    }
    environment.progress.Warn(
        "the recovery point cannot be kept from retention while it is read (" + pin.error().Line() +
        ")");
    return PointPin(vault, item, {});
  }
  ~PointPin() {
    if (!pin_.empty()) static_cast<void>(vault_->UnpinPoint(item_, pin_).has_value());
  }
  PointPin(PointPin&& other) noexcept
      : vault_(other.vault_), item_(std::move(other.item_)), pin_(std::exchange(other.pin_, {})) {}
  PointPin(const PointPin&) = delete;
  PointPin& operator=(const PointPin&) = delete;
  PointPin& operator=(PointPin&&) = delete;

 private:
  PointPin(Vault& vault, ItemId item, PinId pin)
      : vault_(&vault), item_(std::move(item)), pin_(std::move(pin)) {}
  Vault* vault_;
  ItemId item_;
  PinId pin_;
};

}  // namespace asr
