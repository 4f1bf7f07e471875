#include <limits>
#include <memory>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"

namespace asr {
namespace {

struct ListOptions {
  std::optional<std::string> item;
  std::optional<std::string> state;
  std::optional<std::string> limit;
  std::optional<std::string> since;
};

constexpr std::size_t kRowsOfTable = 50;

Result<JobFilter> FilterOf(Session& session, const ListOptions& options) {
  JobFilter filter;
  if (options.item) {
    // Jobs know VMs by name alone.
    const std::size_t slash = options.item->rfind('/');
    filter.item = slash == std::string::npos ? *options.item : options.item->substr(slash + 1);
  }
  if (options.state) {
    ASR_CHECK(CheckWord(
        "--state", *options.state,
        {"NotStarted", "InProgress", "WaitingForInput", "Succeeded", "Failed", "Cancelled"}));
    filter.state = ParseJobState(*options.state);
  }
  if (options.limit) {
    ASR_TRY(filter.limit,
            ParseNumber("--limit", *options.limit, 1, std::numeric_limits<std::uint32_t>::max()));
  }
  if (options.since) {
    ASR_TRY(filter.since, ParseSince(*options.since, session.Now()));
  }
  return filter;
}

Status RunList(Session& session, const ListOptions& options) {
  ASR_TRY(JobFilter filter, FilterOf(session, options));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const bool table = session.format() == OutputFormat::kTable;
  if (filter.limit == 0 && table) filter.limit = kRowsOfTable;
  ASR_TRY(const auto jobs, environment->state.ListJobs(filter));
  Json list = Json::array();
  for (const Job& job : jobs) list.push_back(JobJson(job));
  session.Print(list, JobView());
  if (jobs.empty()) session.Note("No jobs.");
  if (!options.limit && jobs.size() == filter.limit) {
    session.Note("The newest 50; more: --limit N");
  }
  return {};
}

Status RunShow(Session& session, const std::string& id) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const Job job, environment->state.FindJob(id));
  session.Print(JobJson(job), JobView());
  return {};
}

}  // namespace

void AddJobsCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"jobs list", HelpGroup::kLook, "List this machine's jobs, newest first",
       "jobs list --state Failed --since 24h", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ListOptions>();
         arguments.Option("--item", "VM", options->item, "only those of this VM")
             .Option("--state", "S", options->state, "only those in this state, like Failed")
             .Option("--limit", "N", options->limit, "at most so many (tables: 50, else all)")
             .Option("--since", "T", options->since,
                     "not older than this time, or than this duration");
         return [options](Session& session) { return RunList(session, *options); };
       }});
  commands.push_back({"jobs show", HelpGroup::kLook, "Show a job, task by task",
                      "jobs show 20261123T063000-4f2a9c",
                      [](VerbArguments& arguments) -> VerbRunner {
                        const auto id = std::make_shared<std::string>();
                        arguments.Required("ID", *id, "the job's id, or a beginning of it");
                        return [id](Session& session) { return RunShow(session, *id); };
                      }});
}

}  // namespace asr
