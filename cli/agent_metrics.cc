#include "cli/agent_metrics.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "core/jobs/metrics.h"
#include "storage/fs/file_system.h"

namespace asr {

AgentMetricsOutput::AgentMetricsOutput(Environment& environment, std::string version,
                                       std::string path)
    : environment_(environment), version_(std::move(version)), path_(std::move(path)) {}

Status AgentMetricsOutput::Serve(const LoopbackAddress& address) {
  StatusServer::Pages pages;
  pages["/metrics"] = {.content_type = "text/plain; version=0.0.4; charset=utf-8",
                       .text = [this] { return TextForPage(); }};
  pages["/healthz"] = {.content_type = "text/plain; charset=utf-8",
                       .text = [] { return std::string("ok\n"); }};
  address_ = address;
  ASR_TRY(server_, StatusServer::Start(address, std::move(pages)));
  return {};
}

Status AgentMetricsOutput::Update(const std::map<std::string, ItemCounters>& counters) {
  {
    const std::lock_guard lock(mutex_);
    counters_ = counters;
  }
  constexpr double kSecondsBetween = 15;
  const double now = environment_.clock.MonotonicSeconds();
  if (updated_seconds_ && now - *updated_seconds_ < kSecondsBetween) return {};
  updated_seconds_ = now;
  if (address_ && server_ == nullptr) static_cast<void>(Serve(*address_).has_value());
  return path_.empty() ? Status() : WriteFile();
}

Result<std::string> AgentMetricsOutput::MakeText() {
  AgentMetrics metrics;
  metrics.version = version_;
  metrics.now = environment_.clock.Now();
  {
    const std::lock_guard lock(mutex_);
    metrics.counters = counters_;
  }
  ASR_TRY(metrics.schedules, environment_.state.ListItemSchedules());
  return MetricsText(metrics);
}

// However many ask, the database is read once a second at most.
std::optional<std::string> AgentMetricsOutput::TextForPage() {
  constexpr double kSecondsBetween = 1;
  const double now = environment_.clock.MonotonicSeconds();
  if (page_seconds_ && now - *page_seconds_ < kSecondsBetween) return page_;
  // A database that is locked for a while: what was known last tells its time.
  if (auto text = MakeText()) {
    page_ = *std::move(text);
    page_seconds_ = now;
  }
  return page_;
}

Status AgentMetricsOutput::WriteFile() {
  ASR_TRY(const std::string text, MakeText());
  ASR_CHECK(WriteFileAtomic(environment_.fs, path_, AsBytes(text)));
  // The collector is another user, and there are no secrets in it.
  if (::chmod(path_.c_str(), 0644) != 0) return Fail(ErrnoError(errno, "cannot chmod " + path_));
  return {};
}

}  // namespace asr
