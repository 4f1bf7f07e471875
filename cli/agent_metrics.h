// What the agent tells monitors: a file for node_exporter, pages over HTTP.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/jobs/agent.h"
#include "storage/http/status_server.h"

namespace asr {

// `environment` outlives it. Update is called by one thread.
class AgentMetricsOutput {
 public:
  // `path`: replaced whole every 15 seconds; empty: no file.
  AgentMetricsOutput(Environment& environment, std::string version, std::string path);

  // /metrics and /healthz from now on, until this ends. kState if the port is taken: Update tries
  // it again every 15 seconds.
  [[nodiscard]] Status Serve(const LoopbackAddress& address);
  // Of the pages; Serve has succeeded.
  [[nodiscard]] const std::string& url() const { return server_->url(); }

  // As AgentSettings::on_tick is called; the error is that of the file.
  [[nodiscard]] Status Update(const std::map<std::string, ItemCounters>& counters);

 private:
  [[nodiscard]] Result<std::string> MakeText();
  [[nodiscard]] std::optional<std::string> TextForPage();
  [[nodiscard]] Status WriteFile();

  Environment& environment_;
  const std::string version_;
  const std::string path_;
  std::optional<LoopbackAddress> address_;  // to serve on
  std::optional<double> updated_seconds_;
  std::mutex mutex_;  // guards what follows
  std::map<std::string, ItemCounters> counters_;
  // Of the server's thread.
  std::optional<std::string> page_;  // none was made yet
  std::optional<double> page_seconds_;
  std::unique_ptr<StatusServer> server_;  // last: its thread uses the others
};

}  // namespace asr
