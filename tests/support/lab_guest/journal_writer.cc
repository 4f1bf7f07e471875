// In the guest: journal_writer INTERVAL_MS FILE... writes lines 1, 2, 3, ... to all files, each
// synced in turn, and says `synced N` on stdout once all have N. After a restart it goes on where
// the shortest file ends. While /run/pause exists it writes nothing, and /run/paused says so.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

struct Journal {
  int fd = -1;
  long last = 0;
};

void Give(const char* what) {
  std::perror(what);
  std::exit(1);
}

// The last whole line, which is never longer than the buffer.
long LastNumber(int fd) {
  char end[64] = {};
  const off_t size_bytes = ::lseek(fd, 0, SEEK_END);
  const off_t start = size_bytes > 63 ? size_bytes - 63 : 0;
  const ssize_t got = ::pread(fd, end, 63, start);
  if (got <= 1) return 0;
  ssize_t line = got - 1;
  while (line > 0 && end[line - 1] != '\n') --line;
  return std::atol(end + line);
}

Journal Open(const char* path) {
  Journal journal;
  journal.fd = ::open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (journal.fd < 0) Give(path);
  journal.last = LastNumber(journal.fd);
  return journal;
}

void ObeyPause() {
  if (::access("/run/pause", F_OK) != 0) return;
  ::close(::open("/run/paused", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  while (::access("/run/pause", F_OK) == 0) ::usleep(20'000);
  ::unlink("/run/paused");
}

void WriteLine(int fd, const char* line, int length) {
  if (::write(fd, line, static_cast<std::size_t>(length)) != length) Give("write");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto interval_us = static_cast<useconds_t>(std::atol(argv[1]) * 1000);
  std::vector<Journal> journals;
  for (int i = 2; i < argc; ++i) journals.push_back(Open(argv[i]));
  long number = journals.front().last;
  for (const Journal& journal : journals) number = journal.last < number ? journal.last : number;
  for (;;) {
    ObeyPause();
    ++number;
    char text[64];
    const int length = std::snprintf(text, sizeof text, "%ld\n", number);
    for (Journal& journal : journals) {
      if (journal.last >= number) continue;
      WriteLine(journal.fd, text, length);
      if (::fdatasync(journal.fd) != 0) Give("fdatasync");
      journal.last = number;
    }
    const int said = std::snprintf(text, sizeof text, "synced %ld\n", number);
    WriteLine(STDOUT_FILENO, text, said);
    ::usleep(interval_us);
  }
}
