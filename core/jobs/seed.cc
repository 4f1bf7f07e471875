#include "core/jobs/seed.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/credentials.h"
#include "core/jobs/entra_sign_in.h"
#include "core/jobs/replica_target.h"
#include "core/jobs/vault_place.h"
#include "core/jobs/vaults.h"
#include "core/transfer/make_equal.h"
#include "core/vault/layout.h"
#include "storage/base/crc64.h"
#include "storage/base/text.h"
#include "storage/blob/vhd_blob.h"
#include "storage/http/curl_transport.h"
#include "storage/http/url.h"
#include "storage/image/image_error.h"

namespace asr {
namespace {

// A seed as it was given, and the disk that it is for.
struct SeedChoice {
  const ItemDisk* disk = nullptr;
  std::string place;
};

Error BadSeed(const std::string& text, const std::string& why, const std::string& action) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage, fmt::format("--seed {}: {}", text, why))
      .WithAction(action);
}

std::string WithoutSeed(const Item& item) {
  return fmt::format("asr enable {} --policy {}", ShellQuote(item.name), ShellQuote(item.policy));
}

bool IsUrl(std::string_view place) {
  return place.starts_with("https://") || place.starts_with("http://");
}

// What is told of a seed must not tell a secret.
std::string WithoutQuery(const std::string& text) {
  const std::size_t query = text.find('?');
  if (query == std::string::npos) return text;
  const std::string_view rest = std::string_view(text).substr(query + 1);
  const bool is_snapshot =
      rest.starts_with("snapshot=") && rest.find('&') == std::string_view::npos;
  return is_snapshot ? text : text.substr(0, query);
}

Error NoSuchDisk(const Item& item, const std::string& text, const std::string& name) {
  const bool is_excluded =
      std::ranges::find(item.excluded_disks, DiskName{name}) != item.excluded_disks.end();
  if (is_excluded) {
    return BadSeed(text, fmt::format("disk {} is excluded", name),
                   "leave out --seed or --exclude-disk of this disk");
  }
  return MakeError(ErrorKind::kNotFound, ErrorCode::kVmNotFound,
                   fmt::format("--seed {}: VM {} has no disk '{}'", text, item.name, name))
      .WithAction(fmt::format("see its disks: asr vm show {}; a path with '=' in its name is given "
                              "as ./NAME",
                              ShellQuote(item.name)));
}

// "root=/images/root.vhd", or the place alone.
Result<SeedChoice> ParseSeed(const Item& item, const std::string& given) {
  const std::string text = WithoutQuery(given);
  SeedChoice choice;
  // A disk's name may have a '=' in it, too.
  for (const ItemDisk& disk : item.disks) {
    const bool is_longer =
        choice.disk == nullptr || disk.name.value.size() > choice.disk->name.value.size();
    if (given.starts_with(disk.name.value + "=") && is_longer) choice.disk = &disk;
  }
  if (choice.disk != nullptr) {
    choice.place = given.substr(choice.disk->name.value.size() + 1);
  } else {
    const std::size_t equals = given.find('=');
    if (equals != std::string::npos && given.find('/') > equals) {
      return Fail(NoSuchDisk(item, text, given.substr(0, equals)));
    }
    choice.place = given;
    if (item.disks.size() > 1) {
      return Fail(
          BadSeed(text,
                  fmt::format("VM {} has {} disks, and it does not say which one it is a copy of",
                              item.name, item.disks.size()),
                  fmt::format("name the disk: --seed {}={}", item.disks.front().name.value, text)));
    }
    choice.disk = &item.disks.front();
  }
  if (choice.place.empty()) {
    return Fail(
        BadSeed(text, "it names no image", "give the path of an image, or the URL of a page blob"));
  }
  return choice;
}

Result<std::vector<SeedChoice>> ParseSeeds(const Item& item, const SeedRequest& request) {
  std::vector<SeedChoice> choices;
  for (const std::string& given : request.seeds) {
    ASR_TRY(SeedChoice choice, ParseSeed(item, given));
    for (const SeedChoice& other : choices) {
      if (other.disk != choice.disk) continue;
      return Fail(BadSeed(WithoutQuery(given),
                          fmt::format("disk {} has a seed already", choice.disk->name.value),
                          "give one seed for each disk"));
    }
    choices.push_back(std::move(choice));
  }
  const bool any_url =
      std::ranges::any_of(choices, [](const SeedChoice& choice) { return IsUrl(choice.place); });
  if (!request.credential.empty() && !any_url) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          "--seed-credential is of no use: no seed is a URL")
                    .WithAction("leave it out"));
  }
  return choices;
}

// A seed as a disk of the size that is needed, whose errors say which seed it was.
class SeedDisk : public Disk {
 public:
  SeedDisk(std::unique_ptr<Disk> disk, std::string place, std::uint64_t size_bytes,
           std::string way_out)
      : disk_(std::move(disk)),
        place_(std::move(place)),
        size_bytes_(size_bytes),
        way_out_(std::move(way_out)) {}

  [[nodiscard]] ImageFormat format() const override { return disk_->format(); }
  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }
  [[nodiscard]] std::uint32_t logical_sector_bytes() const override {
    return disk_->logical_sector_bytes();
  }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const override {
    Status read = disk_->Read(offset_bytes, out);
    if (read) return read;
    return Fail(
        Named(std::move(read).error(), fmt::format("seed {}, offset {}", place_, offset_bytes)));
  }
  [[nodiscard]] Result<std::vector<Extent>> AllocatedExtents(Extent range) const override {
    const std::uint64_t end = std::min(range.end_bytes(), size_bytes_);
    if (range.offset_bytes >= end) return std::vector<Extent>{};
    auto extents = disk_->AllocatedExtents({range.offset_bytes, end - range.offset_bytes});
    if (extents) return extents;
    return Fail(Named(std::move(extents).error(), "seed " + place_));
  }
  [[nodiscard]] std::vector<BackingFile> files() const override { return disk_->files(); }

 private:
  [[nodiscard]] Error Named(Error error, std::string context) const {
    if (error.kind == ErrorKind::kCancelled) return error;
    error.action +=
        fmt::format("{}to go on without the seed: {}", error.action.empty() ? "" : "; ", way_out_);
    return std::move(error).WithContext(std::move(context));
  }

  std::unique_ptr<Disk> disk_;
  std::string place_;
  std::uint64_t size_bytes_;
  std::string way_out_;
};

Error IsWritten(const Item& item) {
  return UnsupportedImage(
      fmt::format("it is part of item {} in the vault, which is to be written", item.id.value),
      "give another copy of the disk, or none: " + WithoutSeed(item));
}

Result<std::unique_ptr<Disk>> OpenImage(Environment& environment, Vault& vault, const Item& item,
                                        std::string path) {
  if (path.starts_with(kFileScheme)) path = path.substr(kFileScheme.size());
  const std::string& working_directory = environment.command.working_directory;
  if (!path.starts_with('/') && !working_directory.empty()) {
    path = JoinPath(working_directory, path);
  }
  ASR_TRY(auto disk, OpenDisk(environment.fs, path));
  const std::string place = vault.store().Description();
  if (!place.starts_with('/')) return disk;
  ASR_TRY(const std::string root, environment.fs.Canonical(place));
  const std::string written = JoinPath(root, layout::ItemPrefix(item.id));
  for (const Disk::BackingFile& file : disk->files()) {
    ASR_TRY(const std::string canonical, environment.fs.Canonical(file.path));
    if (canonical.starts_with(written)) return Fail(IsWritten(item));
  }
  return disk;
}

// By name; empty: what is found for the seed's account.
std::string CredentialFor(const Environment& environment, const Vault& vault,
                          const StorageLocation& location, const SeedRequest& request) {
  if (!request.credential.empty()) return request.credential;
  if (!environment.credential.empty()) return environment.credential;
  const auto registration = environment.state.FindVault(vault.name());
  if (!registration) return "";
  const auto of_vault = ParseStorageUrl(registration->target);
  const bool is_same_account = of_vault && of_vault->location.endpoint == location.endpoint;
  return is_same_account ? registration->credential : "";
}

Result<std::unique_ptr<BlobDisk>> OpenBlob(Environment& environment, Vault& vault, const Item& item,
                                           const std::string& url, const SeedRequest& request) {
  ASR_TRY(const ParsedBlobUrl parsed, ParseBlobUrl(url));
  const std::string container = parsed.location.ContainerUrl();
  const bool is_of_vault = container == vault.store().Description();
  if (is_of_vault && parsed.blob.starts_with(layout::ItemPrefix(item.id))) {
    return Fail(IsWritten(item));
  }
  const std::string credential = CredentialFor(environment, vault, parsed.location, request);
  const auto registration = environment.state.FindVault(vault.name());
  const std::string ca_file =
      AccessOf(environment, registration ? &*registration : nullptr).ca_file;
  const auto is_in_use = std::make_shared<std::atomic<bool>>(false);
  ASR_TRY(auto authorizer, FindAuthorizer(environment, parsed.location,
                                          {.name = credential,
                                           .entra_sign_in = MakeEntraSignIn(environment, ca_file),
                                           .is_in_use = is_in_use}));
  ASR_TRY(auto transport, CurlTransport::Create({.ca_file = ca_file}));
  auto disk = OpenVhdBlob({.container_url = container,
                           .blob = parsed.blob,
                           .snapshot_time = parsed.snapshot,
                           .transport = std::move(transport),
                           .authorizer = std::move(authorizer),
                           .stop = environment.stop},
                          environment.clock);
  if (!disk && IsNotFound(disk.error())) {
    return Fail(std::move(disk).error().WithAction("look at the container, and correct the URL"));
  }
  *is_in_use = disk.has_value();
  return disk;
}

// Lists of processes and the history of shells would show it.
Status RefuseSecret(const std::string& place) {
  if (!IsUrl(place)) return {};
  ASR_TRY(const ParsedBlobUrl parsed, ParseBlobUrl(place));
  if (!parsed.has_secret) return {};
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        fmt::format("the seed's URL {} has a SAS in it",
                                    parsed.location.BlobUrl(parsed.blob)))
                  .WithCause("what stands on a command line can be read by others")
                  .WithAction("store the SAS: asr credential add; then name it: "
                              "--seed-credential NAME"));
}

Status CheckSeedPlace(const std::string& place) {
  const std::size_t scheme = place.find("://");
  if (IsUrl(place)) return RefuseSecret(place);
  if (scheme == std::string::npos || place.substr(0, scheme).find('/') != std::string::npos) {
    return {};
  }
  if (!place.starts_with(kFileScheme)) {
    return Fail(BadSeed(WithoutQuery(place),
                        fmt::format("there are no '{}' seeds", place.substr(0, scheme)),
                        "give the path of an image, or the https:// URL of a page blob"));
  }
  if (place.starts_with("file:///")) return {};
  return Fail(BadSeed(place, "file:// needs an absolute path", "give it as file:///PATH"));
}

Status CheckSeedSize(const Item& item, const ItemDisk& disk, const Disk& seed) {
  if (seed.size_bytes() == disk.size_bytes) return {};
  // As replicas are, and VHDs for Azure.
  if (seed.size_bytes() == PaddedDiskBytes(disk.size_bytes)) return {};
  return Fail(UnsupportedImage(fmt::format("the seed's disk has {} bytes, the VM's has {}",
                                           seed.size_bytes(), disk.size_bytes),
                               "give a copy of the whole disk, or none: " + WithoutSeed(item))
                  .WithCause("it is a copy of another disk, or the disk was resized since")
                  .WithCause("the program that made it rounds sizes; qemu-img does not with -o "
                             "force_size=on"));
}

// The vault's service is told what reads the seed: a SAS, or a token.
bool IsOfOneService(const std::string& vault, const std::string& seed) {
  const auto of_vault = ParseUrl(vault);
  const auto of_seed = ParseUrl(seed);
  if (!of_vault || !of_seed) return false;
  if (of_vault->origin() == of_seed->origin()) return true;
  const auto cloud = [](const Url& url) {
    return url.host.substr(std::min(url.host.find('.'), url.host.size()));
  };
  return of_vault->scheme == "https" && of_seed->scheme == "https" &&
         cloud(*of_vault).starts_with(".blob.") && cloud(*of_vault) == cloud(*of_seed);
}

Result<Seed> OpenSeed(Environment& environment, Vault& vault, const Item& item,
                      const SeedChoice& choice, const SeedRequest& request) {
  CopyOrigin* origin = nullptr;
  const auto open = [&]() -> Result<std::unique_ptr<Disk>> {
    std::unique_ptr<Disk> disk;
    if (IsUrl(choice.place)) {
      ASR_TRY(auto blob, OpenBlob(environment, vault, item, choice.place, request));
      if (IsOfOneService(vault.store().Description(), choice.place)) origin = blob.get();
      disk = std::move(blob);
    } else {
      ASR_TRY(disk, OpenImage(environment, vault, item, choice.place));
    }
    ASR_CHECK(CheckSeedSize(item, *choice.disk, *disk));
    return disk;
  };
  auto disk = open();
  if (!disk) {
    return Fail(std::move(disk).error().WithContext(fmt::format("VM {}, disk {}, seed {}",
                                                                item.name, choice.disk->name.value,
                                                                WithoutQuery(choice.place))));
  }
  return Seed{.disk = choice.disk->name,
              .place = choice.place,
              .content = std::make_unique<SeedDisk>(*std::move(disk), choice.place,
                                                    choice.disk->size_bytes, WithoutSeed(item)),
              .origin = origin};
}

// What was read of the seed is copied by the service, where that can: then it is not sent again.
class SeededReplica : public ReplicaTarget {
 public:
  // `origin`: null if it cannot.
  SeededReplica(DiskReplica& replica, CopyOrigin* origin)
      : ReplicaTarget(replica), replica_(replica), origin_(origin) {}

  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    if (origin_ != nullptr) {
      ASR_TRY(const bool is_copied,
              replica_.CopyFromOrigin(*origin_, {offset_bytes, bytes.size()}, Crc64(bytes)));
      if (is_copied) return {};
    }
    return ReplicaTarget::Write(offset_bytes, bytes);
  }

 private:
  DiskReplica& replica_;
  CopyOrigin* origin_;
};

}  // namespace

Status CheckSeedPlaces(const SeedRequest& request) {
  for (const std::string& given : request.seeds) {
    const std::size_t scheme = given.find("://");
    if (scheme == std::string::npos) continue;
    const std::size_t equals = given.rfind('=', scheme);
    ASR_CHECK(CheckSeedPlace(equals == std::string::npos ? given : given.substr(equals + 1)));
  }
  return {};
}

Result<std::vector<Seed>> OpenSeeds(Environment& environment, Vault& vault, const Item& item,
                                    const SeedRequest& request) {
  ASR_TRY(const auto choices, ParseSeeds(item, request));
  for (const SeedChoice& choice : choices) ASR_CHECK(CheckSeedPlace(choice.place));
  std::vector<Seed> seeds;
  for (const SeedChoice& choice : choices) {
    ASR_TRY(Seed seed, OpenSeed(environment, vault, item, choice, request));
    seeds.push_back(std::move(seed));
  }
  return seeds;
}

Result<std::vector<PlanStep>> PlanSeeds(const Item& item, const std::vector<Seed>& seeds) {
  std::vector<PlanStep> steps;
  for (const Seed& seed : seeds) {
    ASR_TRY(const std::uint64_t bytes, AllocatedBytes(*seed.content));
    steps.push_back(
        {.step = "Seed disk", .item = item.name, .disk = seed.disk.value, .bytes = bytes});
  }
  return steps;
}

Status FillFromSeeds(Environment& environment, const Vault& vault, const Replicas& replicas,
                     const std::vector<Seed>& seeds, JobRun& run) {
  for (const Seed& seed : seeds) {
    const auto replica = std::ranges::find_if(
        replicas, [&](const auto& candidate) { return candidate->disk().name == seed.disk; });
    if (replica == replicas.end()) continue;
    ASR_TRY(const std::uint64_t total_bytes, AllocatedBytes(*seed.content));
    const auto fill = [&](TaskProgress& progress) -> Status {
      SeededReplica target(**replica, seed.origin);
      const TransferOptions options{.algorithm = vault.identity().algorithm,
                                    .on_progress =
                                        [&](const TransferStats& done) {
                                          progress.Advance(done.bytes_read);
                                          run.AddStats({.bytes_seeded = done.bytes_sent});
                                        },
                                    .stop = environment.stop,
                                    .only_fills = true};
      ASR_CHECK(MakeEqual(*seed.content, target, options));
      return {};
    };
    ASR_CHECK(run.RunTask(fmt::format("Seed disk {}", seed.disk.value), total_bytes, fill));
  }
  return {};
}

}  // namespace asr
