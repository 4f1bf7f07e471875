// The part of a live snapshot that is about its guest's file systems.
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "core/source/domain_xml.h"
#include "core/source/live_snapshot.h"

namespace asr {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Of a run that died together with its guard. The note goes once the guest is surely thawed, or was
// started anew.
Status LiveSnapshot::EndOldFreeze() {
  const auto run = ReadWholeFile(fs_, NotePath());
  if (!run && IsNotFound(run.error())) return {};
  ASR_CHECK(run);
  if (*run == fmt::format("{}", domain_.run_id())) {
    const auto thawed = domain_.Thaw();
    if (!thawed) {
      request_.warn(
          fmt::format("VM {}: its file systems may be frozen since a cycle that was cut, "
                      "and its guest agent does not thaw them: {}; reset the VM if it "
                      "does not answer at all",
                      request_.vm_name, thawed.error().Line()));
      return {};
    }
  }
  return fs_.RemoveFile(NotePath());
}

std::string LiveSnapshot::WhyNotFrozen() const {
  const auto xml = domain_.Xml();
  if (!xml) return xml.error().Line();
  const auto description = ParseDomainXml(*xml);
  if (!description) return description.error().Line();
  return description->has_guest_agent ? "" : "no guest agent is connected";
}

// What cannot be frozen makes a crash-consistent point.
Status LiveSnapshot::Freeze() {
  const auto warn = [this](const std::string& why) {
    request_.warn(
        fmt::format("VM {}: the point is crash-consistent, for its file systems were not "
                    "frozen: {}",
                    request_.vm_name, why));
  };
  if (const std::string why = WhyNotFrozen(); !why.empty()) {
    warn(why);
    return {};
  }
  ASR_CHECK(guard_->Freezing());
  ASR_CHECK(fs_.CreateDirectories(NoteDirectory()));
  ASR_CHECK(WriteFileAtomic(fs_, NotePath(), AsBytes(fmt::format("{}", domain_.run_id()))));
  freeze_began_ = steady_clock::now();
  const auto count = domain_.Freeze();
  if (count && *count > 0) consistency_ = Consistency::kApp;
  if (!count) warn(count.error().Line() + "; likely its guest agent does not answer");
  if (count && *count == 0) warn("its guest agent found none to freeze");
  return {};
}

// Also after a freeze that failed: it may have got half-way, or come late. Only a thaw that the
// agent has answered ends the guard's care.
Status LiveSnapshot::Thaw() {
  if (!freeze_began_) return {};
  const bool was_frozen = consistency_ == Consistency::kApp;
  const auto count = domain_.Thaw();
  const auto duration =
      std::chrono::duration_cast<milliseconds>(steady_clock::now() - *freeze_began_);
  if (!count) {
    // Of an agent that never answered, no more can be had.
    if (was_frozen) return Fail(count.error());
    return {};
  }
  freeze_began_.reset();
  // A note that stays costs the next cycle a thaw, and no more.
  static_cast<void>(fs_.RemoveFile(NotePath()));
  ASR_CHECK(guard_->Thawed());
  if (!was_frozen) return {};
  // The guard, or somebody else, thawed it before the job began, perhaps.
  if (*count == 0 || duration >= request_.freeze_limit) {
    consistency_ = Consistency::kCrash;
    request_.warn(
        fmt::format("VM {}: the point is crash-consistent, for its file systems were "
                    "thawed before it was taken, perhaps",
                    request_.vm_name));
  }
  frozen_ = duration;
  return {};
}

}  // namespace asr
