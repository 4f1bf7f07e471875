// Whether the QEMU guest agent of a guest answers (qemu docs/interop/qemu-ga-ref).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "storage/base/clock.h"
#include "storage/base/file_descriptor.h"

namespace asr {

// Asks again and again until it does: what was sent before the agent runs waits in the channel.
// Not thread-safe.
class AgentWatch {
 public:
  AgentWatch(Clock& clock, std::string directory);
  // On a connected socket that does not block.
  AgentWatch(Clock& clock, FileDescriptor socket);

  // What was seen, once the agent has answered a ping that it was sent after it was found in step
  // (guest-sync-delimited): bytes that others left in the channel are no answer.
  [[nodiscard]] std::optional<std::string> Look();

 private:
  void Send(const std::string& message);
  void Receive();
  // True once the answer to the ping is among the lines.
  [[nodiscard]] bool ReadLines();

  Clock& clock_;
  std::string directory_;
  FileDescriptor socket_;
  std::string received_;  // not yet a whole line
  std::uint64_t first_id_;
  std::uint64_t next_id_;
  double next_sync_at_ = 0;
  bool in_step_ = false;
};

}  // namespace asr
