// A running guest, replicated by asr and backed up by virtnbdbackup in turn: see live.sh.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/support/libvirt_lab.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {
namespace {

using Json = nlohmann::json;
using std::chrono::duration;
using std::chrono::steady_clock;

struct Cost {
  double wall_seconds = 0;
  double cpu_seconds = 0;  // of the command and all that it started, our guard among that
};

double CpuOfChildren() {
  struct rusage usage {};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const struct timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Cost Measure(const std::string& command) {
  const double cpu = CpuOfChildren();
  const auto start = steady_clock::now();
  MustRunShell(command);
  const double wall_seconds = duration<double>(steady_clock::now() - start).count();
  // What outlives its parent is ours.
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  return {wall_seconds, CpuOfChildren() - cpu};
}

double MedianOf(std::vector<Cost> costs, double Cost::*part) {
  std::ranges::sort(costs, {}, part);
  return costs[costs.size() / 2].*part;
}

class Bench {
 public:
  Bench(int rounds, std::string directory) : rounds_(rounds), directory_(std::move(directory)) {
    Asr("vault create lab --target " + Path("vault"));
    Asr("host add kvm1 --kind libvirt --uri qemu:///system");
    Asr("policy set gold");
  }

  // Each guest is written to only between the measurements.
  bool Run() {
    LibvirtGuest small({.name = "small", .disks = {{.size_bytes = kGiB}}});
    small.Start();
    small.WaitForSynced(5);
    small.WriteRandomFile("/data/large", 200 * kMiB);
    small.StopWriting();
    CompareFull(small);
    CompareIncremental(small);
    CompareFreeze(small);
    CompareSizes(small);
    return !over_;
  }

 private:
  [[nodiscard]] std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  [[nodiscard]] std::string AsrLine(const std::string& words) const {
    return fmt::format("{} {} --state-dir {} -y -q", ASR_BINARY, words, Path("state"));
  }
  void Asr(const std::string& words) const { MustRunShell(AsrLine(words)); }
  [[nodiscard]] static std::string Peer(const std::string& guest, const std::string& level,
                                        const std::string& to) {
    return fmt::format("virtnbdbackup -d {0} -l {1} -n -S /var/tmp -o {2} && sync {2}/*", guest,
                       level, to);
  }

  void Compare(const std::string& what, const std::vector<Cost>& ours,
               const std::vector<Cost>& theirs, double Cost::*part, double limit) {
    const double a = MedianOf(ours, part);
    const double b = MedianOf(theirs, part);
    Print(what, a, b, a / b, limit);
  }
  void Print(const std::string& what, double ours, double theirs, double ratio, double limit) {
    const bool is_over = ratio > limit;
    over_ = over_ || is_over;
    fmt::print("{:<44} {:>8.3f} s {:>8.3f} s {:>7.3f}  (limit {}){}\n", what, ours, theirs, ratio,
               limit, is_over ? "  OVER" : "");
  }

  // virtnbdbackup works on no guest that has somebody else's checkpoints, so each of the two leaves
  // none to the other.
  static void ForgetPeer(const LibvirtGuest& guest) {
    MustRunShell(
        fmt::format("for c in $(virsh -c qemu:///system checkpoint-list {0} --name); do "
                    "virsh -c qemu:///system checkpoint-delete {0} $c; done",
                    guest.name()));
  }

  void CompareFull(const LibvirtGuest& guest) {
    std::vector<Cost> ours;
    std::vector<Cost> theirs;
    for (int i = 0; i < rounds_; ++i) {
      ours.push_back(Measure(AsrLine("enable " + guest.name() + " --policy gold")));
      Asr("disable " + guest.name());
      theirs.push_back(Measure(Peer(guest.name(), "full", Path("peer"))));
      ForgetPeer(guest);
      MustRunShell("rm -r " + Path("peer"));
    }
    Compare("full, 200 MiB of 1 GiB: wall", ours, theirs, &Cost::wall_seconds, 0.5);
    Compare("full: CPU", ours, theirs, &Cost::cpu_seconds, 0.5);
  }

  void CompareIncremental(const LibvirtGuest& guest) {
    std::vector<Cost> ours;
    std::vector<Cost> theirs;
    MustRunShell(Peer(guest.name(), "full", Path("peer")));
    for (int i = 0; i < rounds_; ++i) {
      guest.WriteRandomFile("/data/small", kMiB);
      theirs.push_back(Measure(Peer(guest.name(), "inc", Path("peer"))));
    }
    ForgetPeer(guest);
    Asr("enable " + guest.name() + " --policy gold");
    for (int i = 0; i < rounds_; ++i) {
      guest.WriteRandomFile("/data/small", kMiB);
      ours.push_back(Measure(AsrLine("replicate " + guest.name())));
    }
    Compare("incremental, 1 MiB: wall", ours, theirs, &Cost::wall_seconds, 0.3);
    Compare("incremental: CPU", ours, theirs, &Cost::cpu_seconds, 0.5);
    const double wall = MedianOf(ours, &Cost::wall_seconds);
    Print("incremental against 0.3 s, start included", wall, 0.3, wall / 0.3, 1.0);
  }

  // What virsh takes to begin the same job with the same checkpoint, without virsh's own start.
  [[nodiscard]] double SecondsOfBegin(const LibvirtGuest& guest) const {
    MustRunShell(fmt::format(
        "echo \"<domainbackup mode='pull'><server transport='unix' socket='{0}/nbd'/><disks>"
        "<disk name='vda'><scratch file='{0}/scratch'/></disk></disks></domainbackup>\" >{0}/job;"
        "echo '<domaincheckpoint><name>bench</name></domaincheckpoint>' >{0}/checkpoint",
        guest.directory()));
    const std::string virsh = "virsh -q -c qemu:///system ";
    const double start = Measure(virsh + "domstate " + guest.name()).wall_seconds;
    const double begin = Measure(fmt::format("{0} backup-begin {1} {2}/job {2}/checkpoint", virsh,
                                             guest.name(), guest.directory()))
                             .wall_seconds;
    Virsh({"domjobabort", guest.name()});
    Virsh({"checkpoint-delete", guest.name(), "bench"});
    return begin - start;
  }

  void CompareFreeze(const LibvirtGuest& guest) {
    constexpr double kAllowedSeconds = 0.1;
    guest.StartWriting();
    std::vector<double> frozen;
    std::vector<double> begins;
    for (int i = 0; i < rounds_; ++i) {
      begins.push_back(SecondsOfBegin(guest) + kAllowedSeconds);
      const Json replicated =
          Json::parse(MustRunShell(AsrLine("replicate --app-consistent -o json " + guest.name())));
      frozen.push_back(replicated.at("point").at("frozenMilliseconds").get<double>() / 1000);
    }
    guest.StopWriting();
    std::ranges::sort(frozen);
    std::ranges::sort(begins);
    const double ours = frozen[frozen.size() / 2];
    const double limit = begins[begins.size() / 2];
    Print("frozen, against virsh backup-begin + 0.1 s", ours, limit, ours / limit, 1.0);
  }

  void CompareSizes(const LibvirtGuest& small) {
    LibvirtGuest large({.name = "large", .disks = {{.size_bytes = 16 * kGiB}}});
    large.Start();
    large.WaitForSynced(5);
    large.StopWriting();
    Asr("enable large --policy gold");
    std::vector<Cost> of_large;
    std::vector<Cost> of_small;
    for (int i = 0; i < 2 * rounds_; ++i) {
      small.WriteRandomFile("/data/small", kMiB);
      of_small.push_back(Measure(AsrLine("replicate small")));
      large.WriteRandomFile("/data/small", kMiB);
      of_large.push_back(Measure(AsrLine("replicate large")));
    }
    Compare("incremental, disk of 16 GiB against 1 GiB", of_large, of_small, &Cost::wall_seconds,
            1.3);
  }

  int rounds_;
  std::string directory_;
  bool over_ = false;
};

}  // namespace
}  // namespace asr::testing

int main(int argc, char** argv) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const asr::testing::TempDir directory;
  asr::testing::Bench bench(rounds, directory.path());
  return bench.Run() ? 0 : 1;
}
