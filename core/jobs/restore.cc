#include "core/jobs/restore.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/failover/restore_disk.h"
#include "core/jobs/job_run.h"
#include "core/jobs/point_pin.h"
#include "core/vault/layout.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"
#include "storage/image/image_writer.h"

namespace asr {
namespace {

// One disk and the file it becomes.
struct RestoreStep {
  PointDisk disk;
  RestoredImage image;
  std::uint64_t bytes = 0;
  bool is_done = false;  // by this restore, before it was interrupted
};

struct RestoreWork {
  RecoveryPoint point;
  std::vector<RestoreStep> steps;
  std::string firmware_path = {};  // of its variables; empty: they are not restored, or are there
};

std::string FirmwarePath(const RestoreRequest& request, const FirmwareVariables& firmware) {
  return JoinPath(request.directory, firmware.format == "raw"
                                         ? kRestoredFirmwareName
                                         : "firmware-variables." + firmware.format);
}

Error ExistsAlready(const std::string& path) {
  return MakeError(ErrorKind::kState, ErrorCode::kAlreadyExists,
                   fmt::format("{} exists already", path))
      .WithAction("restore to another directory, or replace it with --force");
}

// Beside the disks, if all of these are wanted.
Status PlanFirmware(Environment& environment, const RestoreRequest& request, RestoreWork& work) {
  const auto& firmware = work.point.firmware;
  if (!firmware || !request.disks.empty()) return {};
  const std::string path = FirmwarePath(request, *firmware);
  const auto there = ReadWholeFile(environment.fs, path);
  const bool is_done = there && ToHex(ComputeSha256(AsBytes(*there))) == firmware->sha256;
  if (is_done) return {};
  if (!request.overwrite && Exists(environment.fs, path)) return Fail(ExistsAlready(path));
  work.firmware_path = path;
  return {};
}

// A disk's name is its image's stem, which may hold anything but '/'.
std::string ImageName(const DiskName& disk, const std::string& format) {
  return fmt::format("{}.{}", disk.value, ImageEnding(format));
}

Status RequireDisks(const Item& item, const RecoveryPoint& point,
                    const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (std::ranges::find(point.disks, DiskName{name}, &PointDisk::name) != point.disks.end()) {
      continue;
    }
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kPointNotFound,
                          fmt::format("point {} of VM {} has no disk '{}'", point.id.value,
                                      item.name, name))
                    .WithAction(fmt::format("see its disks: asr points show {} {}",
                                            ShellQuote(item.name), point.id.value)));
  }
  return {};
}

bool IsWanted(const RestoreRequest& request, const PointDisk& disk) {
  return request.disks.empty() ||
         std::ranges::find(request.disks, disk.name.value) != request.disks.end();
}

RestoredImage ImageOf(const RestoreRequest& request, const PointDisk& disk) {
  // What cannot be written yet is given as raw, which every program reads.
  const bool writable = disk.format == "raw" || disk.format == "vhd" || disk.format == "vhdx" ||
                        disk.format == "qcow2";
  const std::string source_format = writable ? disk.format : "raw";
  const std::string format = request.format.empty() ? source_format : request.format;
  return {JoinPath(request.directory, ImageName(disk.name, format)), format, request.overwrite,
          /*resume=*/true};
}

// Of several disks some may have been restored before an interruption: the rest has to be of the
// same point, though the newest may be another by now.
Result<RecoveryPoint> FindPoint(Environment& environment, Vault& vault, const Item& item,
                                const RestoreRequest& request) {
  ASR_TRY(RecoveryPoint newest, vault.FindPoint(item, request.point));
  if (request.point.kind != PointSelector::Kind::kLatest || request.overwrite) return newest;
  for (const PointDisk& disk : newest.disks) {
    if (!IsWanted(request, disk)) continue;
    const auto begun = RestoredPointOf(environment.fs, ImageOf(request, disk), item.id);
    if (!begun || *begun == newest.id) continue;
    auto point = vault.ReadPoint(item.id, *begun);
    if (!point) continue;
    environment.progress.Warn(fmt::format(
        "an interrupted restore to {} goes on with its recovery point {}; for the newest, {}, "
        "restore to another directory, or replace what is there with --force",
        request.directory, begun->value, newest.id.value));
    return point;
  }
  return newest;
}

Result<RestoreWork> PlanWork(Environment& environment, Vault& vault, const Item& item,
                             const RestoreRequest& request) {
  RestoreWork work;
  ASR_TRY(work.point, FindPoint(environment, vault, item, request));
  ASR_CHECK(RequireDisks(item, work.point, request.disks));
  for (const PointDisk& disk : work.point.disks) {
    if (!IsWanted(request, disk)) continue;
    const RestoredImage image = ImageOf(request, disk);
    const std::string& path = image.path;
    const bool is_done = IsRestored(environment.fs, image, work.point, disk);
    if (!is_done && !request.overwrite && Exists(environment.fs, path)) {
      return Fail(ExistsAlready(path));
    }
    ASR_TRY(const std::uint64_t bytes, BytesToRestore(vault, work.point, disk));
    work.steps.push_back({disk, image, bytes, is_done});
  }
  ASR_CHECK(PlanFirmware(environment, request, work));
  return work;
}

Status RunStep(Environment& environment, Vault& vault, const RecoveryPoint& point,
               const RestoreStep& step, JobRun& run, TaskProgress& progress) {
  if (step.is_done) {
    // Its name may not be durable yet.
    ASR_CHECK(environment.fs.SyncDirectory(ParentOf(step.image.path)));
    run.AddStats({.bytes_skipped = step.bytes, .bytes_resumed = step.bytes});
    progress.Advance(step.bytes);
    return {};
  }
  // What is found in the partial file is not read from the vault, and is done all the same.
  const auto follow = [&](const TransferStats& done) {
    run.AddStats(done);
    const std::uint64_t bytes = done.bytes_read + done.bytes_resumed;
    if (bytes > 0) progress.Advance(bytes);
  };
  return RestoreDisk(environment.fs, vault, point, step.disk, step.image,
                     {.on_progress = follow, .stop = environment.stop});
}

}  // namespace

Result<Plan> PlanRestore(Environment& environment, Vault& vault, const Item& item,
                         const RestoreRequest& request) {
  ASR_TRY(const RestoreWork work, PlanWork(environment, vault, item, request));
  Plan plan;
  for (const RestoreStep& step : work.steps) {
    if (step.is_done) continue;
    plan.steps.push_back({.step = fmt::format("Restore to {}", step.image.path),
                          .item = item.name,
                          .disk = step.disk.name.value,
                          .bytes = step.bytes});
  }
  if (!work.firmware_path.empty()) {
    plan.steps.push_back({.step = fmt::format("Restore to {}", work.firmware_path),
                          .item = item.name,
                          .disk = "",
                          .bytes = work.point.firmware->size_bytes});
  }
  return plan;
}

Result<Job> RestorePoint(Environment& environment, Vault& vault, const Item& item,
                         const RestoreRequest& request) {
  ASR_TRY(const RestoreWork work, PlanWork(environment, vault, item, request));
  ASR_TRY(JobRun run, JobRun::Start(environment, "Restore", item.name, vault.name()));
  const auto restore = [&]() -> Status {
    ASR_TRY(const auto pin, PointPin::Take(environment, vault, item.id, work.point.id, "restore"));
    ASR_CHECK(environment.fs.CreateDirectories(request.directory));
    for (const RestoreStep& step : work.steps) {
      ASR_CHECK(run.RunTask(fmt::format("Restore disk {}", step.disk.name.value), step.bytes,
                            [&](TaskProgress& progress) {
                              return RunStep(environment, vault, work.point, step, run, progress);
                            }));
    }
    if (!work.firmware_path.empty()) {
      ASR_CHECK(run.RunTask("Restore firmware variables", 0, [&](TaskProgress&) -> Status {
        const auto read = vault.ReadFirmware(work.point);
        if (!read && (read.error().kind == ErrorKind::kCorrupt || IsNotFound(read.error()))) {
          // The disks are what counts; a firmware begins with its own defaults.
          environment.progress.Warn(
              fmt::format("VM {}: the disks are restored, without the firmware's variables: {}",
                          item.name, read.error().Line()));
          return {};
        }
        ASR_TRY(const std::string content, read);
        return WriteFileAtomic(environment.fs, work.firmware_path, AsBytes(content));
      }));
    }
    for (const RestoreStep& step : work.steps) ForgetRestored(environment.fs, step.image);
    return {};
  };
  return run.End(restore());
}

}  // namespace asr
