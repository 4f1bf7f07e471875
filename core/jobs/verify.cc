#include "core/jobs/verify.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/job_run.h"
#include "core/jobs/point_pin.h"
#include "core/points/verify_point.h"
#include "core/vault/layout.h"
#include "storage/base/text.h"

namespace asr {
namespace {

// Good points that an error names.
constexpr std::size_t kNamedPoints = 3;

// A point with a damaged document is found by its id, and as the newest.
Result<std::vector<PointId>> ChosenPoints(Vault& vault, const Item& item,
                                          const VerifyRequest& request) {
  using Kind = PointSelector::Kind;
  ASR_TRY(auto ids, vault.ListPointIds(item.id));
  const PointSelector selector = request.point.value_or(PointSelector{});
  const bool by_id = selector.kind == Kind::kId && std::ranges::find(ids, selector.id) != ids.end();
  if (!ids.empty() && !request.point) return ids;
  if (!ids.empty() && selector.kind == Kind::kLatest) return std::vector{ids.front()};
  if (by_id) return std::vector{selector.id};
  ASR_TRY(const RecoveryPoint point, vault.FindPoint(item, selector));
  return std::vector{point.id};
}

Error DamagedPoint(const Item& item, const PointId& point, const std::string& what) {
  return MakeError(
             ErrorKind::kCorrupt, ErrorCode::kPointCorrupt,
             fmt::format("recovery point {} of VM {} is damaged: {}", point.value, item.name, what))
      .WithCause("the disk or the file system under the vault lost or changed bytes")
      .WithCause("somebody changed the vault's files by hand");
}

std::string WhatIsWrong(const std::vector<DiskDamage>& damages) {
  std::vector<std::string> texts;
  for (const DiskDamage& damage : damages) texts.push_back(damage.Text());
  return fmt::format("{}", fmt::join(texts, "; "));
}

class Verification {
 public:
  Verification(Environment& environment, Vault& vault, const Item& item, JobRun& run)
      : environment_(environment),
        vault_(vault),
        item_(item),
        run_(run),
        verifier_(
            vault, item,
            {.on_read = [this](std::uint64_t bytes) { OnRead(bytes); }, .stop = environment.stop}) {
  }

  // Fails at once only where no other point would do better.
  Status VerifyPoint(const PointId& id);
  [[nodiscard]] Status Outcome() const;

 private:
  void OnRead(std::uint64_t bytes) { follow_({.bytes_read = bytes}); }
  Status Compare(const PointId& id, const Result<RecoveryPoint>& point);
  Status Prove(const PointId& id);
  Status PassOver(const PointId& id);

  Environment& environment_;
  Vault& vault_;
  const Item& item_;
  JobRun& run_;
  PointVerifier verifier_;
  std::function<void(const TransferStats&)> follow_;
  // Of the point before: what the next one shares with it must not go meanwhile.
  std::optional<PointPin> last_pin_;
  std::vector<PointId> good_;
  std::size_t damaged_count_ = 0;
  std::optional<Error> first_damage_;
};

Status Verification::VerifyPoint(const PointId& id) {
  ASR_TRY(auto pin, PointPin::Take(environment_, vault_, item_.id, id, "verify"));
  const auto point = vault_.ReadPoint(item_.id, id);
  if (!point && IsNotFound(point.error())) return PassOver(id);
  std::uint64_t total_bytes = 0;
  if (point) {
    for (const auto& [disk, bytes] : verifier_.BytesToRead(*point)) total_bytes += bytes;
  }
  const auto verify = [&](TaskProgress& progress) -> Status {
    follow_ = run_.Follow(progress);
    return Compare(id, point);
  };
  Status status = run_.RunTask(fmt::format("Verify point {}", id.value), total_bytes, verify);
  last_pin_.emplace(std::move(pin));
  if (status || status.error().code != ErrorCode::kPointCorrupt) return status;
  ++damaged_count_;
  if (!first_damage_) first_damage_ = std::move(status).error();
  return {};
}

Status Verification::Compare(const PointId& id, const Result<RecoveryPoint>& point) {
  Error damage;
  if (point && point->id == id && point->item == item_.id) {
    const auto damages = verifier_.Verify(*point);
    if (!damages && IsNotFound(damages.error())) return PassOver(id);
    ASR_CHECK(damages);
    if (damages->empty()) return Prove(id);
    damage = DamagedPoint(item_, id, WhatIsWrong(*damages));
  } else if (point) {
    damage = DamagedPoint(item_, id, "its document is that of another point");
  } else if (point.error().code == ErrorCode::kVaultFormat) {
    damage = DamagedPoint(item_, id, point.error().Line());
  } else {
    return Fail(point.error());
  }
  vault_.WithdrawVerification(item_.id, id);
  return Fail(std::move(damage).WithAction(
      "restore another point; see which are whole: asr points list " + ShellQuote(item_.name)));
}

Status Verification::Prove(const PointId& id) {
  good_.push_back(id);
  const Timestamp now = environment_.clock.Now();
  Status added = vault_.AddProof(item_.id, id, {.verified_at = now}, now);
  if (added) return {};
  // A vault that is full or read-only can be verified all the same.
  if (added.error().kind != ErrorKind::kNoSpace && added.error().code != ErrorCode::kPermission &&
      added.error().code != ErrorCode::kNotAuthorized) {
    return added;
  }
  environment_.progress.Warn(fmt::format("point {} is whole; it cannot be noted in the vault ({})",
                                         id.value, added.error().Line()));
  return {};
}

Status Verification::PassOver(const PointId& id) {
  // Unless all of the vault went.
  ASR_CHECK(vault_.store().Get(std::string(layout::kVaultDocument)));
  environment_.progress.Warn(
      fmt::format("recovery point {} of VM {} was removed meanwhile", id.value, item_.name));
  return {};
}

Status Verification::Outcome() const {
  if (!first_damage_ && good_.empty()) {
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kPointNotFound,
                          fmt::format("there is nothing left to verify of VM {}", item_.name))
                    .WithCause("retention removed the points meanwhile")
                    .WithAction("see what there is: asr points list " + ShellQuote(item_.name)));
  }
  if (!first_damage_) return {};
  Error error = *first_damage_;
  error.context.clear();
  if (damaged_count_ > 1) {
    error.message += fmt::format(" ({} points are damaged)", damaged_count_);
  }
  const std::string name = ShellQuote(item_.name);
  if (good_.empty()) {
    error.action = fmt::format(
        "none of the points that were read is whole; look at the others: "
        "asr points verify {}",
        name);
  } else {
    std::vector<std::string> named;
    for (std::size_t i = 0; i < std::min(good_.size(), kNamedPoints); ++i) {
      named.push_back(good_[i].value);
    }
    error.action = fmt::format(
        "restore from a point that is whole: asr restore {} --to DIR --point {}; whole are {}{}",
        name, good_.front().value, fmt::join(named, ", "),
        good_.size() > named.size() ? fmt::format(" and {} more", good_.size() - named.size())
                                    : "");
  }
  error.action += fmt::format("; asr resync {} --now --deep mends the live replica", name);
  return Fail(std::move(error));
}

}  // namespace

Result<Plan> PlanVerify(Environment& environment, Vault& vault, const Item& item,
                        const VerifyRequest& request) {
  ASR_TRY(const auto ids, ChosenPoints(vault, item, request));
  PointVerifier verifier(vault, item, {.stop = environment.stop});
  Plan plan;
  for (const PointId& id : ids) {
    const auto point = vault.ReadPoint(item.id, id);
    if (!point) {
      if (!IsNotFound(point.error())) plan.warnings.push_back(point.error().Line());
      continue;
    }
    for (const auto& [disk, bytes] : verifier.BytesToRead(*point)) {
      plan.steps.push_back({.step = fmt::format("Verify point {}", id.value),
                            .item = item.name,
                            .disk = disk.value,
                            .bytes = bytes});
    }
    verifier.Assume(*point);
  }
  return plan;
}

Result<Job> VerifyPoints(Environment& environment, Vault& vault, const Item& item,
                         const VerifyRequest& request) {
  ASR_TRY(const auto ids, ChosenPoints(vault, item, request));
  ASR_TRY(JobRun run, JobRun::Start(environment, "VerifyPoints", item.name, vault.name()));
  const auto verify = [&]() -> Status {
    Verification verification(environment, vault, item, run);
    for (const PointId& id : ids) ASR_CHECK(verification.VerifyPoint(id));
    return verification.Outcome();
  };
  return run.End(verify());
}

}  // namespace asr
