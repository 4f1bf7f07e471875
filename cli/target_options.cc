#include "cli/target_options.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/values.h"
#include "storage/base/bytes.h"

namespace asr {
namespace {

constexpr std::string_view kSerial = "serial:";
constexpr std::string_view kTcp = "tcp:";
constexpr std::chrono::hours kLongestWait{24};

Result<SignOfLife> ParseSignOfLife(const std::string& text) {
  SignOfLife sign;
  if (text == "disk") return sign;
  if (text == "guest-agent") {
    sign.guest_agent = true;
    return sign;
  }
  if (text.starts_with(kSerial) && text.size() > kSerial.size()) {
    sign.serial_text = text.substr(kSerial.size());
    return sign;
  }
  if (text.starts_with(kTcp)) {
    ASR_TRY(const std::uint64_t port,
            ParseNumber("--sign-of-life tcp", text.substr(kTcp.size()), 1, kHighestTcpPort));
    sign.tcp_port = static_cast<std::uint16_t>(port);
    return sign;
  }
  return Fail(WrongValue("--sign-of-life", text, "is none",
                         "give serial:TEXT, tcp:PORT, guest-agent or disk"));
}

Result<std::chrono::seconds> ParseWait(const std::string& text) {
  constexpr const char* kOption = "--sign-of-life-timeout";
  ASR_TRY(const std::chrono::seconds wait, ParseDurationValue(kOption, text));
  if (wait >= std::chrono::seconds{1} && wait <= kLongestWait) return wait;
  return Fail(WrongValue(kOption, text, "is out of range", "give 1s to 24h"));
}

struct NamedSetting {
  std::string_view word;
  TargetSetting setting;
};

constexpr std::array<NamedSetting, 5> kSettings = {{
    {"memory-mib", TargetSetting::kMemory},
    {"cpus", TargetSetting::kCpus},
    {"sign-of-life", TargetSetting::kSignOfLife},
    {"sign-of-life-timeout", TargetSetting::kSignOfLifeWait},
    {"network", TargetSetting::kNetwork},
}};

std::vector<std::string> SettingWords() {
  std::vector<std::string> words;
  for (const NamedSetting& setting : kSettings) words.emplace_back(setting.word);
  return words;
}

}  // namespace

void TargetOptions::Declare(VerbArguments& arguments) {
  arguments
      .Option("--memory-mib", "N", memory_mib, "memory of the guest: 32 to 16777216",
              ValueKind::kFree)
      .Option("--cpus", "N", cpus, "processors of the guest: 1 to 240", ValueKind::kFree)
      .Option("--sign-of-life", "S", sign_of_life,
              "how the guest shows that it lives: serial:TEXT, tcp:PORT, guest-agent, or disk",
              ValueKind::kFree)
      .Option("--sign-of-life-timeout", "D", sign_of_life_timeout,
              "how long to wait for that: 1s to 24h", ValueKind::kFree)
      .Option("--network", "N", network, "none, or isolated: it ends in QEMU (tcp needs it)",
              OneOf({"none", "isolated"}));
}

Result<TargetSettings> TargetOptions::Parse() const {
  TargetSettings settings;
  if (memory_mib) {
    ASR_TRY(const std::uint64_t mebibytes,
            ParseNumber("--memory-mib", *memory_mib, kLeastMemoryBytes / kMiB,
                        kMostMemoryBytes / kMiB));
    settings.memory_bytes = mebibytes * kMiB;
  }
  if (cpus) {
    ASR_TRY(const std::uint64_t count, ParseNumber("--cpus", *cpus, 1, kMostCpus));
    settings.cpu_count = static_cast<int>(count);
  }
  if (sign_of_life) {
    ASR_TRY(settings.sign_of_life, ParseSignOfLife(*sign_of_life));
  }
  if (sign_of_life_timeout) {
    ASR_TRY(settings.sign_of_life_wait, ParseWait(*sign_of_life_timeout));
  }
  if (network) settings.network = ParseGuestNetwork(*network);
  const bool unreachable = settings.network == GuestNetwork::kNone && settings.sign_of_life &&
                           settings.sign_of_life->tcp_port != 0;
  if (!unreachable) return settings;
  return Fail(WrongValue("--network", *network, "leaves no way to a TCP port",
                         "give --network isolated, or another sign of life"));
}

ValueType TargetSettingWords() { return OneOf(SettingWords()); }

std::vector<TargetSetting> TargetSettingsOf(const std::vector<std::string>& words) {
  std::vector<TargetSetting> settings;
  for (const std::string& word : words) {
    const auto* const found = std::ranges::find(kSettings, word, &NamedSetting::word);
    // The line's parser has refused any other.
    if (found != kSettings.end()) settings.push_back(found->setting);
  }
  return settings;
}

std::string FormatSignOfLife(const SignOfLife& sign) {
  switch (sign.kind()) {
    case SignOfLife::Kind::kSerialText:
      return fmt::format("{}{}", kSerial, sign.serial_text);
    case SignOfLife::Kind::kTcpPort:
      return fmt::format("{}{}", kTcp, sign.tcp_port);
    case SignOfLife::Kind::kGuestAgent:
      return "guest-agent";
    case SignOfLife::Kind::kDisk:
      break;
  }
  return "disk";
}

}  // namespace asr
