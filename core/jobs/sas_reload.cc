#include "core/jobs/sas_reload.h"

#include <stop_token>
#include <utility>

#include <fmt/format.h>

#include "storage/http/wait.h"

namespace asr {
namespace {

constexpr double kLookSeconds = 1;

class SasReload {
 public:
  SasReload(const Environment& environment, KeptSas kept,
            std::shared_ptr<const std::atomic<bool>> is_in_use)
      : clock_(environment.clock),
        progress_(environment.progress),
        waits_(environment.waits),
        has_person_(environment.has_person),
        stop_(environment.stop),
        kept_(std::move(kept)),
        is_in_use_(std::move(is_in_use)) {}

  Result<SasToken> operator()(const Secret& refused) const {
    ASR_TRY(SasToken sas, kept_.read());
    const bool is_new = IsUsable(sas, refused);
    if (is_new || !is_in_use_ || !*is_in_use_) return sas;
    if (!has_person_) return Fail(Ended(sas));
    return WaitForAnother(sas, refused);
  }

 private:
  [[nodiscard]] bool HasExpired(const SasToken& sas) const {
    return sas.expires_at && *sas.expires_at <= clock_.Now();
  }
  [[nodiscard]] bool IsUsable(const SasToken& sas, const Secret& refused) const {
    return !HasExpired(sas) && sas.query.Reveal() != refused.Reveal();
  }
  [[nodiscard]] std::string WhatHappened(const SasToken& sas) const {
    if (HasExpired(sas))
      return fmt::format("{} ended at {}", kept_.what, FormatTime(*sas.expires_at));
    return kept_.what + " is not accepted any more";
  }
  [[nodiscard]] Error Ended(const SasToken& sas) const {
    return MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired, WhatHappened(sas))
        .WithCause("shared access signatures are given for a time, and end with their key")
        .WithAction(kept_.renewal + "; then run the command again, which goes on where it was")
        .Retryable();
  }

  Result<SasToken> WaitForAnother(const SasToken& ended, const Secret& refused) const {
    const InputWaits::Wait waiting(waits_);
    progress_.Warn(fmt::format(
        "{}; the work waits {:.0f} minutes for another one, and goes on then; {} (from another "
        "terminal; Ctrl-C ends it here)",
        WhatHappened(ended), kInputWaitSeconds / 60, kept_.renewal));
    const double begun = clock_.MonotonicSeconds();
    while (clock_.MonotonicSeconds() - begun < kInputWaitSeconds) {
      ASR_CHECK(WaitSeconds(clock_, kLookSeconds, stop_));
      auto sas = kept_.read();
      if (sas && IsUsable(*sas, refused)) return sas;
      // Some remove the old one before they add the new one.
      if (!sas && !IsNotFound(sas.error())) return Fail(std::move(sas).error());
    }
    return Fail(Ended(ended).WithContext(
        fmt::format("after {:.0f} minutes without another one", kInputWaitSeconds / 60)));
  }

  Clock& clock_;
  ProgressSink& progress_;
  const std::shared_ptr<InputWaits> waits_;
  const bool has_person_;
  const std::stop_token stop_;
  const KeptSas kept_;
  const std::shared_ptr<const std::atomic<bool>> is_in_use_;
};

}  // namespace

SasAuthorizer::Reload MakeSasReload(const Environment& environment, KeptSas kept,
                                    std::shared_ptr<const std::atomic<bool>> is_in_use) {
  return SasReload(environment, std::move(kept), std::move(is_in_use));
}

}  // namespace asr
