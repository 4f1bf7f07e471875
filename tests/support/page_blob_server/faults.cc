#include "tests/support/page_blob_server/faults.h"

#include <utility>

namespace asr::testing::page_blob {
namespace {

bool Concerns(const FaultRule& rule, const std::string& blob) {
  if (rule.blob.starts_with('*')) return blob.ends_with(rule.blob.substr(1));
  return rule.blob.empty() || rule.blob == blob;
}

}  // namespace

void FaultRules::Add(FaultRule rule) {
  const std::lock_guard lock(mutex_);
  rules_.push_back(std::move(rule));
}

void FaultRules::Clear() {
  const std::lock_guard lock(mutex_);
  rules_.clear();
}

int FaultRules::strikes() {
  const std::lock_guard lock(mutex_);
  return strikes_;
}

std::optional<FaultRule> FaultRules::Match(const std::string& operation, const std::string& blob) {
  const std::lock_guard lock(mutex_);
  for (FaultRule& rule : rules_) {
    if (rule.times == 0 || (!rule.operation.empty() && rule.operation != operation) ||
        !Concerns(rule, blob)) {
      continue;
    }
    if (rule.skip > 0) {
      --rule.skip;
      continue;
    }
    if (rule.times > 0) --rule.times;
    ++strikes_;
    return rule;
  }
  return std::nullopt;
}

}  // namespace asr::testing::page_blob
