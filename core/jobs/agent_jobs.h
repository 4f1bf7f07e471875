// The jobs that the agent runs, each in a thread of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "core/jobs/schedule.h"

namespace asr {

// Work is started, stopped and collected by one thread.
class AgentJobs {
 public:
  AgentJobs() = default;
  // Asks all to stop, and waits for them.
  ~AgentJobs();
  AgentJobs(const AgentJobs&) = delete;
  AgentJobs& operator=(const AgentJobs&) = delete;

  using Work = std::function<void(const std::stop_token&)>;
  // `vm` and `vault` are names, for Cancel. There is no job of `key` yet.
  void Start(const ItemKey& key, const std::string& host, const std::string& vm,
             const std::string& vault, Work work);
  // False if none of this VM runs.
  bool Cancel(const std::string& vm, const std::string& vault);
  void StopAll();

  // Forgets those that have ended.
  void Collect();
  // Those that Collect has not forgotten, with their hosts.
  [[nodiscard]] std::map<ItemKey, std::string> Running() const;
  // Until a job ends or the time is over.
  void WaitForChange(std::chrono::milliseconds longest);

 private:
  struct Job {
    ItemKey key;
    std::string host;
    std::string vm;
    std::string vault;
    bool has_ended = false;  // guarded by mutex_
    std::jthread thread;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_change_ = false;  // guarded by mutex_
  std::list<Job> jobs_;
};

}  // namespace asr
