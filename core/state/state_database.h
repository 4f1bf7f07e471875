// This machine's rows: vault registrations, hosts, jobs, cursors, test failovers, settings. One
// SQLite file (WAL, synchronous=FULL) in the state directory; several processes may use it at once.
// It can be lost: everything needed to recover a VM is in the vault.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/event.h"
#include "core/model/ids.h"
#include "core/model/job.h"
#include "storage/base/process.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

struct VaultRegistration {
  std::string name;    // on this machine
  std::string target;  // "file:///srv/vault", an https URL
  std::string id;      // from vault.json
  bool is_default = false;
  std::string credential = {};  // by name; empty: what the environment has
  std::string ca_file = {};     // trusted authorities, absolute; empty: what the environment has
  bool operator==(const VaultRegistration&) const = default;
};

struct HostRegistration {
  std::string name;
  std::string kind;  // "folder", "libvirt"
  std::string path;  // of a folder host, absolute; of a libvirt host, its URI
  bool operator==(const HostRegistration&) const = default;
};

// What this machine knows of a disk of an item since its last complete pass: if the image's files
// still have these stamps, the newest point holds their content already.
struct DiskCursor {
  std::string vault_id;
  ItemId item;
  DiskName disk;
  PointId point;            // the newest point when the pass ended
  std::string stamps_json;  // of every file of the chain, taken before the pass
  Timestamp pass_started{};
  Timestamp full_read{};  // when all of the image was last read
};

struct TestFailover {
  std::string vault_id;
  ItemId item;
  PointId point;
  JobId job;
  std::string state;         // TestFailoverStateName
  std::string directory;     // holds disks, sockets, logs
  std::string machine_json;  // how to find the running guest again
  Timestamp started{};
  std::string vm{};                        // its name; empty in rows of older versions
  std::optional<Timestamp> cleanup_due{};  // when it is cleaned up without being asked
};

// What stands in the way of an item's scheduled replication.
struct RetryState {
  int attempt = 1;  // failures in a row
  // None: it is not tried again before `asr resume`.
  std::optional<Timestamp> next_try;
  Timestamp since{};  // of the first failure in the row
  Error error;        // of the last one
};

// This machine's side of the scheduled replication of an item.
struct ItemSchedule {
  std::string vault_id;
  ItemId item;
  std::optional<Timestamp> last_start;           // of its newest scheduled cycle
  std::optional<Timestamp> last_app_consistent;  // start of the newest one that was to freeze
  std::optional<Timestamp> paused_since;
  std::uint64_t missed_cycles = 0;  // that could not start within their period
  std::optional<RetryState> retry;
  // As the agent saw it last; empty until it has seen the item.
  std::string vm;
  std::string vault;                  // the vault's name on this machine
  std::optional<Timestamp> next_due;  // none: the agent does not replicate it (any more)
  // What the agent goes on with while the vault cannot be read (core/jobs/item_view.h); empty until
  // it has seen the item, and once that is not replicated any more.
  std::string view;
  // The time whose state the newest point held when this machine knew it last.
  std::optional<Timestamp> known_state;
};

// The agent that works, or worked last, on this state.
struct AgentProcess {
  ProcessIdentity process;
  Timestamp since{};
  std::string version;
};

// Something that a command leaves to the agent.
struct AgentRequest {
  enum class Kind : std::uint8_t {
    kRun,     // the job, which is NotStarted
    kCancel,  // the job, which the agent runs
    kCycle,   // replicate the item with this id at once
  };
  std::int64_t number = 0;
  Kind kind = Kind::kRun;
  std::string subject;  // the job's or the item's id
  Timestamp due{};      // not before
};

struct JobFilter {
  std::string item;            // VM name; empty: all
  std::string beginning = {};  // of the id; empty: all
  std::optional<JobState> state;
  bool is_running = false;         // only those of which IsRunning(state) is true
  std::optional<Timestamp> since;  // started at or after
  std::size_t limit = 0;           // 0: all
};

struct EventFilter {
  std::string item = {};  // VM name or item's id; empty: all
  EventSeverity least = EventSeverity::kInfo;
  std::optional<Timestamp> since = {};  // happened last at or after
  std::size_t limit = 0;                // 0: all
};

// Thread-safe. Every change is durable when the call returns, except a running task's progress.
class StateDatabase {
 public:
  // Opens or creates `directory`/state.db and brings its schema up to date. A newer schema than
  // this program knows is refused.
  [[nodiscard]] static Result<std::unique_ptr<StateDatabase>> Open(FileSystem& fs, Clock& clock,
                                                                   const std::string& directory);
  // Looks at the one that is there, and changes nothing; calls that would change it fail. kState if
  // its schema is another version's. No call waits for other processes.
  [[nodiscard]] static Result<std::unique_ptr<StateDatabase>> OpenForReading(
      Clock& clock, const std::string& directory);
  ~StateDatabase();

  // Vaults. The first one added becomes the default. Add: kState if the name is taken.
  [[nodiscard]] Status AddVault(const VaultRegistration& vault);
  [[nodiscard]] Result<std::vector<VaultRegistration>> ListVaults();
  // An empty name means the default vault. kNotFound (kVaultNotFound) with the nearest names.
  [[nodiscard]] Result<VaultRegistration> FindVault(const std::string& name);
  [[nodiscard]] Status UseVault(const std::string& name);
  // What it is opened with from now on, as in VaultRegistration.
  [[nodiscard]] Status SetVaultAccess(const std::string& name, const std::string& credential,
                                      const std::string& ca_file);
  // What was kept to go on without it goes, too.
  [[nodiscard]] Status RemoveVault(const std::string& name);

  // Hosts. Add: kState if the name is taken.
  [[nodiscard]] Status AddHost(const HostRegistration& host);
  [[nodiscard]] Result<std::vector<HostRegistration>> ListHosts();
  [[nodiscard]] Result<HostRegistration> FindHost(const std::string& name);
  [[nodiscard]] Status RemoveHost(const std::string& name);

  // Cursors. Find: nullopt if there is none.
  [[nodiscard]] Status PutCursor(const DiskCursor& cursor);
  [[nodiscard]] Result<std::optional<DiskCursor>> FindCursor(const std::string& vault_id,
                                                             const ItemId& item,
                                                             const DiskName& disk);
  [[nodiscard]] Status RemoveCursors(const std::string& vault_id, const ItemId& item);

  // Jobs. A job is inserted once and replaced whole at each change of state; the process that runs
  // it is noted (pid and its start time), so that a job whose process is gone reads as Failed and
  // retryable, with an error that says so.
  [[nodiscard]] Status InsertJob(const Job& job, const JobCommand& command = {});
  [[nodiscard]] Status UpdateJob(const Job& job);
  // Inserts a job that is NotStarted, and leaves it to the agent: both, or nothing.
  [[nodiscard]] Status QueueJob(const Job& job, const JobCommand& command, Timestamp due);
  // Replaces a job that is NotStarted still. kState (kJobState) if it has begun meanwhile.
  [[nodiscard]] Status UpdateQueuedJob(const Job& job);
  // A queued job (NotStarted) begins: this process runs it from now on. kState if it has begun
  // already, or was cancelled.
  [[nodiscard]] Status ClaimJob(const Job& job);
  // Removes jobs that ended before: those that `type` names and that succeeded before
  // `succeeded_before`, all others that ended before `ended_before`. Returns how many.
  [[nodiscard]] Result<std::int64_t> RemoveOldJobs(const std::string& type,
                                                   Timestamp succeeded_before,
                                                   Timestamp ended_before);
  // One that has not ended, and does not end by it; tasks stay.
  [[nodiscard]] Status UpdateJobState(const JobId& job, JobState state);
  // Progress of one task only; not synced to disk by itself.
  [[nodiscard]] Status UpdateTaskProgress(const JobId& job, std::size_t task_index,
                                          std::uint64_t bytes_done);
  // Newest first. With tasks.
  [[nodiscard]] Result<std::vector<Job>> ListJobs(const JobFilter& filter);
  // Also by a unique beginning of the id. kNotFound (kJobNotFound).
  [[nodiscard]] Result<Job> FindJob(const std::string& id);
  // What a job was started with; empty for jobs of versions that did not keep it.
  [[nodiscard]] Result<JobCommand> FindJobCommand(const JobId& job);
  // Of a job that was queued: its run is over, for good. Find: nullopt before.
  [[nodiscard]] Status PutJobOutput(const JobId& job, const JobOutput& output);
  [[nodiscard]] Result<std::optional<JobOutput>> FindJobOutput(const JobId& job);
  // What was left to the agent is not any more: its request goes, and a job that had not begun is
  // Cancelled. False if a process runs it, or its request is gone: nothing was changed.
  [[nodiscard]] Result<bool> TakeBackJob(const JobId& job);
  // A job that an agent began, and leaves to the next one: NotStarted again. False if it has
  // succeeded, or its request is gone, so that nobody waits for it: nothing was changed.
  [[nodiscard]] Result<bool> PutBackJob(const JobId& job);
  // The process that runs the job, or ran it; it may have ended by now.
  [[nodiscard]] Result<ProcessIdentity> FindJobProcess(const JobId& job);

  // Test failovers that are not cleaned up yet; at most one an item.
  [[nodiscard]] Status PutTestFailover(const TestFailover& test);
  [[nodiscard]] Result<std::optional<TestFailover>> FindTestFailover(const std::string& vault_id,
                                                                     const ItemId& item);
  [[nodiscard]] Result<std::vector<TestFailover>> ListTestFailovers();
  [[nodiscard]] Status RemoveTestFailover(const std::string& vault_id, const ItemId& item);

  // Schedules. Find: an empty one if nothing is known.
  [[nodiscard]] Result<ItemSchedule> FindItemSchedule(const std::string& vault_id,
                                                      const ItemId& item);
  [[nodiscard]] Result<std::vector<ItemSchedule>> ListItemSchedules();
  // Each changes its own part of the row.
  [[nodiscard]] Status NoteScheduled(const std::string& vault_id, const ItemId& item,
                                     const std::string& vm, const std::string& vault,
                                     const std::optional<Timestamp>& next_due,
                                     const std::string& view);
  [[nodiscard]] Status NoteKnownState(const std::string& vault_id, const ItemId& item,
                                      Timestamp time);
  [[nodiscard]] Status NoteCycleStart(const std::string& vault_id, const ItemId& item,
                                      Timestamp start, std::uint64_t missed_cycles,
                                      Timestamp next_due);
  [[nodiscard]] Status NoteAppConsistent(const std::string& vault_id, const ItemId& item,
                                         Timestamp start);
  [[nodiscard]] Status SetRetry(const std::string& vault_id, const ItemId& item,
                                const std::optional<RetryState>& retry);
  [[nodiscard]] Status SetPaused(const std::string& vault_id, const ItemId& item,
                                 const std::optional<Timestamp>& since);
  [[nodiscard]] Status RemoveItemSchedule(const std::string& vault_id, const ItemId& item);

  // Events. What happens again within five minutes counts up the event that there is, for an hour;
  // the newest 10 000 are kept. `event.last_time` is when it happened. True: it is a new one. List:
  // newest first.
  [[nodiscard]] Result<bool> AddEvent(const ItemEvent& event);
  [[nodiscard]] Result<std::vector<ItemEvent>> ListEvents(const EventFilter& filter);

  // The agent. Find: nullopt if there never was one; it may have ended.
  [[nodiscard]] Status PutAgent(const AgentProcess& agent);
  [[nodiscard]] Result<std::optional<AgentProcess>> FindAgent();
  // Requests wait in their order until they are removed.
  [[nodiscard]] Status AddRequest(AgentRequest::Kind kind, const std::string& subject,
                                  Timestamp due);
  [[nodiscard]] Result<std::vector<AgentRequest>> ListRequests();
  [[nodiscard]] Status RemoveRequest(std::int64_t number);

  // Looks at all of its pages. kCorrupt, with what SQLite says, if one is damaged.
  [[nodiscard]] Status CheckIntegrity();

  // Settings of `asr config`. Find: nullopt if not set.
  [[nodiscard]] Status SetSetting(const std::string& key, const std::string& value);
  [[nodiscard]] Result<std::optional<std::string>> FindSetting(const std::string& key);

 private:
  class Implementation;
  explicit StateDatabase(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace asr
