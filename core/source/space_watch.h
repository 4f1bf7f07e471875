// Whether there is room left where scratch files and change logs go, here or on another machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/source/ssh_line.h"

namespace asr {

class SpaceWatch {
 public:
  // `reserve_bytes` 0: ReserveBytes of each file system. `directories` of the machine that `ssh`
  // leads to; none: of this one, as `own_directories` always are.
  SpaceWatch(std::vector<std::string> directories, std::vector<std::string> own_directories,
             std::uint64_t reserve_bytes, std::optional<SshTarget> ssh);

  enum class State : std::uint8_t {
    kEnough,
    kShort,    // one of them has less than its reserve left
    kUnknown,  // the other machine has not told for half a minute, or never
  };
  // A directory that does not exist has enough. Of another machine it takes a message and an
  // answer, over a connection that is made anew when it is lost.
  [[nodiscard]] State Look();

 private:
  [[nodiscard]] bool IsShort(std::uint64_t total_bytes, std::uint64_t free_bytes) const;
  [[nodiscard]] State LookHere(const std::vector<std::string>& directories) const;
  // nullopt: it does not tell.
  [[nodiscard]] std::optional<State> LookThere();

  std::vector<std::string> directories_;
  std::vector<std::string> own_directories_;
  std::uint64_t reserve_bytes_;
  std::optional<SshTarget> ssh_;
  std::unique_ptr<SshLine> line_;
  std::chrono::steady_clock::time_point last_tried_;
  std::optional<std::chrono::steady_clock::time_point> last_told_;
};

}  // namespace asr
