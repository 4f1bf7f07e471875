#include "cli/agent_unit.h"

#include <fmt/format.h>

namespace asr {

std::string UnitWord(const std::string& text) {
  std::string word = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') word += '\\';
    if (c == '%') word += '%';
    word += c;
  }
  return word + "\"";
}

std::string AgentUnitText(const AgentUnit& unit) {
  // In a command line systemd takes a dollar for a variable, in paths not.
  const auto argument = [](const std::string& text) {
    std::string word;
    for (const char c : UnitWord(text)) word += c == '$' ? "$$" : std::string(1, c);
    return word;
  };
  std::string command = fmt::format("{} --state-dir {} agent run", argument(unit.program),
                                    argument(unit.state_directory));
  for (const std::string& word : unit.arguments) command += " " + argument(word);
  return fmt::format(R"([Unit]
Description=asr replication agent
Documentation=man:asr-agent(1)
Wants=network-online.target
After=network-online.target libvirtd.service virtqemud.service

[Service]
Type=notify
NotifyAccess=main
ExecStart={}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
WatchdogSec=120
TimeoutStopSec=40
# Guards that a cycle leaves on a host undo what it began there, and end by themselves.
KillMode=process
UMask=0077
LimitNOFILE=65536

NoNewPrivileges=yes
# Vaults, disks and their change logs may lie anywhere else.
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
# Vaults and other hosts, metrics, libvirt and the guests' sockets, the network's interfaces.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
)",
                     command);
}

}  // namespace asr
