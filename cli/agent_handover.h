// Work that a running agent does in place of this process: its limits of jobs and of bandwidth then
// hold for all there is, and no two processes work on one VM.
#pragma once

#include <optional>
#include <string>

#include "cli/session.h"

namespace asr {

// Queues what this command says, shows its progress until it has ended, and prints what it printed
// and warned of. nullopt: no agent runs, or it ended before the job did: the command does its work,
// or what is left of it, itself. kCancelled on Ctrl-C, which does not touch the job.
[[nodiscard]] std::optional<Status> HandToAgent(Session& session, const std::string& type,
                                                const std::string& vm, const View& view);

}  // namespace asr
