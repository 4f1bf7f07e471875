#include "core/source/remote_images.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/source/libvirt_source.h"
#include "storage/base/text.h"

namespace asr {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kTouchInterval{20};

Error RemoteImageChanged(const std::string& what) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kImageChanged, what)
      .WithCause("the VM was started, or its image is being copied or merged")
      .WithAction("nothing: the next try finds the VM as it is then")
      .Retryable();
}

// The place goes with the shell, which may find out by an answer that nobody takes, or once nobody
// has touched `alive` for ten minutes: behind a line that went dead, sshd may wait for hours.
// qemu-img has the image's lock while it looks.
std::string LookCommand(const std::string& place, const VmDisk& disk) {
  return fmt::format(
      "(umask 077 && mkdir {0} && : >{0}/alive) && "
      "end() {{ kill \"$(cat {0}/pid 2>/dev/null)\" 2>/dev/null; rm -rf {0}; }} && "
      "trap end EXIT && trap 'exit 1' HUP TERM PIPE && "
      "{{ (while sleep 15; do [ -d {0} ] || exit; "
      "[ -z \"$(find {0}/alive -mmin +9)\" ] || {{ end; exit; }}; done) >/dev/null 2>&1 & }} && "
      "(qemu-img info -f {1} --backing-chain --output=json -- {2} 2>{0}/why || "
      "{{ code=$?; cat {0}/why; exit $code; }})",
      place, disk.format, ShellQuote(disk.path));
}

// An option of QEMU: commas are doubled.
std::string OptionOf(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped.append(c == ',' ? 2 : 1, c);
  return escaped;
}

std::string ServerCommand(const std::string& place, const VmDisk& disk, bool is_device,
                          bool shares) {
  const std::string image = fmt::format("driver={},file.driver={},file.filename={}{}", disk.format,
                                        is_device ? "host_device" : "file", OptionOf(disk.path),
                                        shares ? ",force-share=on" : "");
  return fmt::format(
      "(umask 077 && exec qemu-nbd --fork --pid-file={0}/pid --read-only --persistent --shared=16 "
      "--socket={0}/nbd --image-opts -- {1} 2>&1)",
      place, ShellQuote(image));
}

}  // namespace

Result<std::unique_ptr<RemoteImages>> RemoteImages::Open(Timestamp now, RemoteVm vm,
                                                         const std::vector<VmDisk>& disks) {
  ASR_TRY(const LibvirtUri place, ParseLibvirtUri(vm.uri));
  if (!place.ssh) {
    return Fail(ErrorKind::kInternal, ErrorCode::kInternal, "images of this machine are files");
  }
  std::unique_ptr<RemoteImages> images(new RemoteImages(std::move(vm)));
  images->taken_ = now;
  images->is_live_ = true;
  for (const VmDisk& disk : disks) {
    Status added = images->AddDisk(*place.ssh, disk);
    if (!added) return Fail(images->InThis(std::move(added).error(), disk.name.value));
  }
  // Only now: who starts it from here on changes a stamp, or shows in Verify.
  ASR_CHECK(images->RequireOff());
  return images;
}

Error RemoteImages::InThis(Error error, const std::string& disk) const {
  return std::move(error)
      .WithContext(fmt::format("disk {}", disk))
      .WithContext(fmt::format("VM {}", vm_.name));
}

Status RemoteImages::RequireOff() const { return RequireVmIsOff(vm_.uri, vm_.uuid, vm_.name); }

Status RemoteImages::AddDisk(const SshTarget& ssh, const VmDisk& wanted) {
  auto line = std::make_unique<Line>();
  line->place = RandomPlace("/tmp/asr-image-");
  line->path = wanted.path;
  ASR_TRY(line->ssh, SshLine::Start(ssh, line->place + "/nbd"));
  ASR_CHECK(line->ssh->WaitUntilReady());
  ASR_TRY(line->chain, ChainOf(*line, wanted));
  ASR_TRY(line->stamps, StampsOf(*line));
  line->chain.is_told_by_stamps &= line->stamps.tells_writes;
  ASR_CHECK(Serve(*line, wanted));
  line->last_touched = steady_clock::now();
  ASR_TRY(auto disk, NbdDisk::Open({.socket_path = line->ssh->socket_path(),
                                    .export_name = "",
                                    .image_path = wanted.path,
                                    .format = wanted.format == "qcow2" ? ImageFormat::kQcow2
                                                                       : ImageFormat::kRaw,
                                    .logical_sector_bytes = wanted.logical_sector_bytes,
                                    .on_read = [images = this] { images->Touch(); }}));
  line->ssh->HideSocket();
  // A raw image's last, odd sector is filled up.
  if (disk->size_bytes() != wanted.size_bytes) {
    return Fail(RemoteImageChanged(fmt::format("the image has {} bytes and had {} a moment ago",
                                               disk->size_bytes(), wanted.size_bytes)));
  }
  disks_.push_back({.name = wanted.name,
                    .disk = std::move(disk),
                    .image_path = wanted.path,
                    .log_directory = "",
                    .stamps = line->chain.is_told_by_stamps ? line->stamps.stamps : DiskStamps()});
  lines_.push_back(std::move(line));
  return {};
}

Result<RemoteChain> RemoteImages::ChainOf(Line& line, const VmDisk& wanted) const {
  ASR_TRY(const SshLine::Answer answer, line.ssh->Run(LookCommand(line.place, wanted)));
  if (answer.exit_code == 0) return ParseRemoteChain(answer.output);
  return Fail(WhyNotShown(line, answer));
}

Status RemoteImages::Serve(Line& line, const VmDisk& wanted) const {
  ASR_TRY(const SshLine::Answer answer,
          line.ssh->Run(ServerCommand(line.place, wanted, line.stamps.leaf_is_device,
                                      line.chain.is_told_by_stamps)));
  if (answer.exit_code == 0) return {};
  return Fail(WhyNotShown(line, answer));
}

Error RemoteImages::WhyNotShown(const Line& line, const SshLine::Answer& answer) {
  if (answer.exit_code == kNoSuchProgram) {
    return MakeError(ErrorKind::kUnsupported, ErrorCode::kHostUnreachable,
                     "images of VMs that are off are read by qemu-img and qemu-nbd, which its host "
                     "does not have")
        .WithAction("install them there (apt install qemu-utils), or start the VM");
  }
  if (answer.output.find("\" lock") != std::string::npos) {
    return MakeError(ErrorKind::kBusy, ErrorCode::kImageInUse,
                     "another QEMU has the image open for writing")
        .WithCause(answer.output)
        .WithAction(
            "nothing, if the VM was just started: the next try takes it as it runs; else wait "
            "until that has ended")
        .Retryable();
  }
  return MakeError(ErrorKind::kIo, ErrorCode::kIo,
                   fmt::format("its host cannot show {}: {}", line.path, answer.output))
      .WithCause("the user of the URI may not read it: connect as root")
      .Retryable();
}

Result<RemoteStamps> RemoteImages::StampsOf(Line& line) const {
  const std::lock_guard lock(line.mutex);
  ASR_TRY(SshLine::Answer answer, line.ssh->Run(RemoteStampsCommand(line.chain.files)));
  if (answer.exit_code == 0) return ParseRemoteStamps(line.chain.files, answer.output);
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo,
                        fmt::format("its host cannot look at its image: {}", answer.output))
                  .Retryable());
}

Status RemoteImages::Verify() const {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const std::string& disk = disks_[i].name.value;
    const auto stamps = StampsOf(*lines_[i]);
    if (!stamps) return Fail(InThis(stamps.error(), disk));
    if (stamps->text == lines_[i]->stamps.text) continue;
    return Fail(
        InThis(RemoteImageChanged(fmt::format("{} was changed while it was read", lines_[i]->path)),
               disk));
  }
  return RequireOff();
}

void RemoteImages::Touch() {
  for (const auto& line : lines_) Touch(*line);
}

// From any thread; one that would have to wait need not. A line that is lost shows at the next
// read.
void RemoteImages::Touch(Line& line) {
  const std::unique_lock lock(line.mutex, std::try_to_lock);
  const auto now = steady_clock::now();
  if (!lock || now - line.last_touched < kTouchInterval) return;
  line.last_touched = now;
  static_cast<void>(line.ssh->Run(fmt::format(": >{}/alive", line.place)));
}

}  // namespace asr
