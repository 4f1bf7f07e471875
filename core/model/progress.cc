#include "core/model/progress.h"

namespace asr {
namespace {

class SilentSink : public ProgressSink {
 public:
  void TaskStarted(const std::string&, std::uint64_t) override {}
  void TaskAdvanced(std::uint64_t) override {}
  void TaskEnded(bool) override {}
  void Warn(const std::string&) override {}
};

}  // namespace

ProgressSink& NoProgress() {
  static SilentSink sink;
  return sink;
}

}  // namespace asr
