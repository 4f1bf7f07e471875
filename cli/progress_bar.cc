#include "cli/progress_bar.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/render.h"
#include "cli/text_format.h"

namespace asr {
namespace {

constexpr double kRedrawSeconds = 0.1;

std::string RateText(std::uint64_t bytes, double seconds) {
  if (seconds <= 0) return "";
  const double rate = static_cast<double>(bytes) / seconds;
  return HumanBytes(static_cast<std::uint64_t>(rate)) + "/s";
}

}  // namespace

ProgressBar::~ProgressBar() { Erase(); }

void ProgressBar::TaskStarted(const std::string& name, std::uint64_t bytes_total) {
  const std::lock_guard lock(mutex_);
  name_ = Printable(name);
  bytes_done_ = 0;
  bytes_total_ = bytes_total;
  started_seconds_ = clock_.MonotonicSeconds();
  running_ = true;
  Draw();
}

void ProgressBar::TaskAdvanced(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  bytes_done_ += bytes;
  if (running_ && clock_.MonotonicSeconds() - drawn_seconds_ >= kRedrawSeconds) Draw();
}

void ProgressBar::TaskEnded(bool succeeded) {
  const std::lock_guard lock(mutex_);
  if (!running_) return;
  running_ = false;
  Erase();
  if (!settings_.task_lines) return;
  const double elapsed = clock_.MonotonicSeconds() - started_seconds_;
  std::string line = fmt::format("{} {}", succeeded ? "done  " : "failed", name_);
  if (bytes_total_ > 0) {
    line += fmt::format("  {} in {}  {}", HumanBytes(bytes_done_), HumanSeconds(elapsed),
                        RateText(bytes_done_, elapsed));
  } else {
    line += fmt::format("  {}", HumanSeconds(elapsed));
  }
  err_ << CutToWidth(line, settings_.width) << "\n";
  err_.flush();
}

void ProgressBar::Warn(const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (!settings_.warnings) return;
  Erase();
  if (settings_.json) {
    Json json;
    json["warning"]["message"] = message;
    err_ << CompactJson(json) << "\n";
  } else {
    err_ << (settings_.colour ? "\x1b[33mWARNING:\x1b[0m " : "WARNING: ") << Printable(message)
         << "\n";
  }
  err_.flush();
  if (running_) Draw();
}

void ProgressBar::Draw() {
  if (!settings_.bars) return;
  drawn_seconds_ = clock_.MonotonicSeconds();
  // One column short: a full line would wrap on some terminals.
  const std::size_t width = settings_.width > 1 ? settings_.width - 1 : 1;
  err_ << "\r" << CutToWidth(BarLine(drawn_seconds_ - started_seconds_), width) << "\x1b[K";
  err_.flush();
  drawn_ = true;
}

void ProgressBar::Erase() {
  if (!drawn_) return;
  err_ << "\r\x1b[K";
  err_.flush();
  drawn_ = false;
}

std::string ProgressBar::BarLine(double elapsed_seconds) const {
  if (bytes_total_ == 0) return fmt::format("{} ...", name_);
  constexpr std::size_t kBarCells = 20;
  const double part =
      std::min(1.0, static_cast<double>(bytes_done_) / static_cast<double>(bytes_total_));
  const auto filled = static_cast<std::size_t>(part * kBarCells);
  std::string figures = fmt::format("[{}{}] {:3.0f} %  {} of {}", std::string(filled, '#'),
                                    std::string(kBarCells - filled, '.'), part * 100,
                                    HumanBytes(bytes_done_), HumanBytes(bytes_total_));
  if (elapsed_seconds > 0 && bytes_done_ > 0) {
    const double remaining = elapsed_seconds * (1 - part) / part;
    figures += fmt::format("  {}  ETA {}", RateText(bytes_done_, elapsed_seconds),
                           HumanSeconds(remaining));
  }
  const std::size_t room =
      settings_.width > figures.size() + 3 ? settings_.width - figures.size() - 3 : std::size_t{1};
  return fmt::format("{}  {}", CutToWidth(name_, room), figures);
}

}  // namespace asr
