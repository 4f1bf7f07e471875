#include "core/jobs/agent_jobs.h"

#include <utility>

namespace asr {

AgentJobs::~AgentJobs() { StopAll(); }

void AgentJobs::Start(const ItemKey& key, const std::string& host, const std::string& vm,
                      const std::string& vault, Work work) {
  Job& job = jobs_.emplace_back();
  job.key = key;
  job.host = host;
  job.vm = vm;
  job.vault = vault;
  job.thread = std::jthread([this, &job, work = std::move(work)](const std::stop_token& stop) {
    work(stop);
    const std::lock_guard lock(mutex_);
    job.has_ended = true;
    has_change_ = true;
    changed_.notify_all();
  });
}

bool AgentJobs::Cancel(const std::string& vm, const std::string& vault) {
  for (Job& job : jobs_) {
    if (job.vm != vm || job.vault != vault) continue;
    job.thread.request_stop();
    return true;
  }
  return false;
}

void AgentJobs::StopAll() {
  for (Job& job : jobs_) job.thread.request_stop();
}

void AgentJobs::Collect() {
  const auto has_ended = [this](const Job& job) {
    const std::lock_guard lock(mutex_);
    return job.has_ended;
  };
  std::erase_if(jobs_, has_ended);  // its thread has nothing left to do but to end
}

std::map<ItemKey, std::string> AgentJobs::Running() const {
  std::map<ItemKey, std::string> running;
  for (const Job& job : jobs_) running.emplace(job.key, job.host);
  return running;
}

void AgentJobs::WaitForChange(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, longest, [this] { return has_change_; });
  has_change_ = false;
}

}  // namespace asr
