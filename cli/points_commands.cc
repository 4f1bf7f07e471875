#include <algorithm>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "core/jobs/prune.h"
#include "core/jobs/verify.h"
#include "core/vault/item_documents.h"
#include "core/vault/unsealed.h"

#include "cli/command_table.h"
#include "cli/item_texts.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"

namespace asr {
namespace {

struct ListOptions {
  std::string vm;
  std::optional<std::string> limit;
  std::optional<std::string> since;
};

struct PointOptions {
  std::string vm;
  std::string point;                           // empty: latest
  std::optional<std::string> screenshot = {};  // where to write it
  std::optional<std::string> domain_xml = {};  // the same
  std::optional<std::string> nvram = {};       // the same
};

// What a table shows of a long list.
constexpr std::size_t kRowsOfTable = 50;

Result<std::vector<PointId>> Chosen(ItemDocuments& view, const std::optional<Timestamp>& since,
                                    std::size_t limit) {
  ASR_TRY(auto ids, view.ListPointIds());
  if (since) {
    std::erase_if(ids, [&](const PointId& id) {
      const auto time = ParseCompactTime(id.value);
      return time && *time < *since;
    });
  }
  if (ids.size() > limit) ids.resize(limit);
  return ids;
}

Status RunList(Session& session, const ListOptions& options) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  std::optional<std::uint64_t> limit;
  if (options.limit) {
    ASR_TRY(limit, ParseNumber("--limit", *options.limit, 1, kMost));
  }
  std::optional<Timestamp> since;
  if (options.since) {
    ASR_TRY(since, ParseSince(*options.since, session.Now()));
  }
  ASR_TRY(const Item item, session.FindItemToRead(options.vm));
  ASR_TRY(Vault* const vault, session.OpenVault());
  const bool table = session.format() == OutputFormat::kTable;
  const std::size_t most = limit.value_or(table ? kRowsOfTable : kMost);
  ASR_TRY(auto view, vault->Documents(item.id, ViewDepth::kAll));
  ASR_TRY(const auto ids, Chosen(view, since, most));
  ASR_TRY(const auto pins, view.ListPins(session.Now()));
  for (const Error& error : pins.unreadable) session.Warn(error.Line());
  Json list = Json::array();
  const auto points = view.ReadPoints(ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const PointId& id = ids[i];
    const auto& point = points[i];
    if (!point) {
      // Retention may have removed it meanwhile; a damaged one must not hide the others.
      if (!IsNotFound(point.error())) session.Warn(point.error().Line());
      continue;
    }
    ASR_TRY(auto proof, view.ReadProof(id));
    const bool held = std::ranges::any_of(
        pins.pins, [&](const Pin& pin) { return pin.is_hold() && pin.point == id; });
    list.push_back(PointJson(
        *point, {.vm_name = item.name, .is_new = false, .held = held, .proof = std::move(proof)}));
  }
  session.Print(list, PointView());
  if (ids.empty()) session.Note(fmt::format("VM {} has no recovery points here.", item.name));
  if (ids.size() == most && !limit) {
    session.Note(fmt::format("The newest {}; more: --limit N", most));
  }
  return {};
}

Status PrintPoint(Session& session, Vault& vault, const Item& item, const RecoveryPoint& point) {
  ASR_TRY(const Json json, DescribePoint(vault, item, point, false, session.Now()));
  session.Print(json, PointView());
  return {};
}

// Of the newest test that has one.
Status WriteNewFile(Session& session, const std::string& path, const std::string& content) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  Status written = WriteNewFileAtomic(environment->fs, path, AsBytes(content));
  if (written || written.error().code != ErrorCode::kAlreadyExists) return written;
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kAlreadyExists,
                        fmt::format("{} exists already", path))
                  .WithAction("give another name; a file that exists is not replaced"));
}

Status WriteScreenshot(Session& session, Vault& vault, const RecoveryPoint& point,
                       const std::string& file) {
  ASR_TRY(const std::string path, session.AbsolutePath(file));
  ASR_TRY(const auto proof, vault.ReadProof(point.item, point.id));
  if (!proof || !proof->screenshot) {
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kBlobNotFound,
                          fmt::format("no screenshot is kept of point {}", point.id.value))
                    .WithAction("test the point: asr test-failover VM --point " + point.id.value));
  }
  ASR_TRY(const std::string picture, vault.ReadScreenshot(*proof->screenshot));
  return WriteNewFile(session, path, picture);
}

Status WriteDomainXml(Session& session, const RecoveryPoint& point, const std::string& file) {
  ASR_TRY(const std::string path, session.AbsolutePath(file));
  if (point.settings.domain_xml.empty()) {
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kBlobNotFound,
                          fmt::format("point {} has no description of libvirt's", point.id.value))
                    .WithCause("its VM was on another kind of host"));
  }
  return WriteNewFile(session, path, point.settings.domain_xml);
}

Status WriteFirmware(Session& session, Vault& vault, const RecoveryPoint& point,
                     const std::string& file) {
  ASR_TRY(const std::string path, session.AbsolutePath(file));
  ASR_TRY(const std::string content, vault.ReadFirmware(point));
  return WriteNewFile(session, path, content);
}

Status RunShow(Session& session, const PointOptions& options) {
  ASR_TRY(const PointSelector selector, ParsePointSelector(options.point));
  ASR_TRY(const Item item, session.FindItemToRead(options.vm));
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const RecoveryPoint point, vault->FindPoint(item, selector));
  if (options.screenshot) {
    ASR_CHECK(WriteScreenshot(session, *vault, point, *options.screenshot));
  }
  if (options.domain_xml) ASR_CHECK(WriteDomainXml(session, point, *options.domain_xml));
  if (options.nvram) ASR_CHECK(WriteFirmware(session, *vault, point, *options.nvram));
  return PrintPoint(session, *vault, item, point);
}

// Retention leaves a held point alone, whatever its age.
Status SetHold(Session& session, const PointOptions& options, bool hold) {
  ASR_TRY(const PointSelector selector, ParsePointSelector(options.point));
  ASR_TRY(const Item item, session.FindItem(options.vm));
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const RecoveryPoint point, vault->FindPoint(item, selector));
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back(
        {.step = fmt::format("{} recovery point {}", hold ? "Hold" : "Release", point.id.value),
         .item = item.name,
         .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_CHECK(hold ? vault->HoldPoint(item.id, point.id) : vault->ReleasePoint(item.id, point.id));
  return PrintPoint(session, *vault, item, point);
}

Status RunHold(Session& session, const PointOptions& options) {
  return SetHold(session, options, true);
}

Status RunRelease(Session& session, const PointOptions& options) {
  return SetHold(session, options, false);
}

Status RunPrune(Session& session, const std::string& vm) {
  ASR_CHECK(session.RefuseNoWait());
  ASR_CHECK(session.RequireAnswer(
      fmt::format("removes the recovery points of VM {} that its policy lets go", vm)));
  ASR_TRY(const Item item, session.FindItem(vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(Plan plan, PlanPrune(*environment, *vault, item));
  ASR_TRY(const auto lost, FindLostPoints(*vault, item));
  if (session.options().dry_run) {
    for (const SnapshotId& snapshot : lost) {
      plan.steps.push_back({.step = fmt::format("Drop snapshot {}, whose recovery point has lost "
                                                "its document",
                                                snapshot.value),
                            .item = item.name,
                            .disk = ""});
    }
    session.PrintPlan(plan);
    return {};
  }
  if (!lost.empty()) {
    ASR_CHECK(session.Confirm(
        fmt::format("removes {} recovery point(s) of VM {} for good, and all that {} more hold "
                    "whose documents are gone, which a copy of the vault may bring back",
                    plan.steps.size(), item.name, lost.size())));
  } else if (!plan.steps.empty()) {
    ASR_CHECK(session.Confirm(fmt::format("removes {} recovery point(s) of VM {} for good",
                                          plan.steps.size(), item.name)));
  }
  ASR_TRY(const Job job, PrunePoints(*environment, *vault, item,
                                     lost.empty() ? LostPoints::kRefuse : LostPoints::kDrop));
  return session.FinishJob(job);
}

Status RunVerify(Session& session, const PointOptions& options) {
  ASR_CHECK(session.RefuseNoWait());
  VerifyRequest request;
  if (!options.point.empty()) {
    ASR_TRY(request.point, ParsePointSelector(options.point));
  }
  ASR_TRY(const Item item, session.FindItem(options.vm));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanVerify(*environment, *vault, item, request));
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const Job job, VerifyPoints(*environment, *vault, item, request));
  return session.FinishJob(job);
}

VerbRunner DeclareVerify(VerbArguments& arguments) {
  const auto options = std::make_shared<PointOptions>();
  arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
      .Optional("POINT", options->point,
                "latest, latest-app, a point's id, or a time; without it, all points",
                ValueKind::kPoint);
  return [options](Session& session) { return RunVerify(session, *options); };
}

VerbRunner DeclareShow(VerbArguments& arguments) {
  const auto options = std::make_shared<PointOptions>();
  arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
      .Optional("POINT", options->point,
                "latest (default), latest-app, a point's id, or a time: the newest not after it",
                ValueKind::kPoint)
      .Option("--screenshot", "FILE", options->screenshot,
              "write the picture of the newest test's screen there, as PNG", ValueKind::kFile)
      .Option("--domain-xml", "FILE", options->domain_xml,
              "write there how libvirt described the VM, for virsh define", ValueKind::kFile)
      .Option("--nvram", "FILE", options->nvram,
              "write there what the VM's UEFI firmware kept in its variables", ValueKind::kFile);
  return [options](Session& session) { return RunShow(session, *options); };
}

VerbRunner DeclarePoint(VerbArguments& arguments, Status (*run)(Session&, const PointOptions&)) {
  const auto options = std::make_shared<PointOptions>();
  arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
      .Optional("POINT", options->point,
                "latest (default), latest-app, a point's id, or a time: the newest not after it",
                ValueKind::kPoint);
  return [options, run](Session& session) { return run(session, *options); };
}

}  // namespace

void AddPointsCommands(std::vector<Command>& commands) {
  commands.push_back(
      {"points list", HelpGroup::kRecover, "List the recovery points of a VM, newest first",
       "points list web --since 24h", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<ListOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Option("--limit", "N", options->limit, "at most so many (tables: 50, else all)",
                     ValueKind::kFree)
             .Option("--since", "T", options->since,
                     "not older than this time, or than this duration", ValueKind::kFree);
         return [options](Session& session) { return RunList(session, *options); };
       }});
  commands.push_back({"points show", HelpGroup::kRecover, "Show a recovery point and its proof",
                      "points show web latest", DeclareShow});
  commands.push_back({"points verify", HelpGroup::kRecover,
                      "Compare the stored bytes of recovery points with their digests",
                      "points verify web latest", DeclareVerify});
  commands.push_back({"points prune", HelpGroup::kRecover,
                      "Remove now what the policy no longer keeps", "points prune web",
                      [](VerbArguments& arguments) -> VerbRunner {
                        const auto vm = std::make_shared<std::string>();
                        arguments.Required("VM", *vm, "its name, or HOST/NAME", ValueKind::kItem);
                        return [vm](Session& session) { return RunPrune(session, *vm); };
                      }});
  commands.push_back(
      {"points hold", HelpGroup::kRecover, "Keep a recovery point whatever its age",
       "points hold web 20261123T063000.123Z",
       [](VerbArguments& arguments) -> VerbRunner { return DeclarePoint(arguments, RunHold); }});
  commands.push_back(
      {"points release", HelpGroup::kRecover, "Let a held recovery point go when its time comes",
       "points release web 20261123T063000.123Z",
       [](VerbArguments& arguments) -> VerbRunner { return DeclarePoint(arguments, RunRelease); }});
}

}  // namespace asr
