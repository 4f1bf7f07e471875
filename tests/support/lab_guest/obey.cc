// In the guest: obey PORT runs the commands that come over a virtio-serial port. A command is a
// line: an id and a line for the shell. The answer is a line, too: id, exit code, and what the
// command said, in base64.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace {

std::string Base64(const std::string& bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned int group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

std::string Run(const std::string& command, int* exit_code) {
  std::string output;
  std::FILE* const pipe = ::popen(("{ " + command + "\n} 2>&1 </dev/null").c_str(), "re");
  if (pipe == nullptr) return "popen";
  char piece[4096];
  while (const std::size_t got = std::fread(piece, 1, sizeof(piece), pipe)) {
    output.append(piece, got);
  }
  const int status = ::pclose(pipe);
  *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

void Send(int port, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t sent = ::write(port, text.data() + done, text.size() - done);
    if (sent <= 0) return;
    done += static_cast<std::size_t>(sent);
  }
}

void Obey(int port, const std::string& line) {
  const std::size_t blank = line.find(' ');
  if (blank == std::string::npos) return;
  int exit_code = 127;
  const std::string output = Run(line.substr(blank + 1), &exit_code);
  Send(port, line.substr(0, blank) + " " + std::to_string(exit_code) + " " + Base64(output) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 2 ? ::open(argv[1], O_RDWR | O_CLOEXEC) : -1;
  if (port < 0) return 2;
  std::string received;
  for (;;) {
    char piece[4096];
    const ssize_t got = ::read(port, piece, sizeof(piece));
    if (got <= 0) {
      ::usleep(30'000);  // nobody is connected
      received.clear();
      continue;
    }
    received.append(piece, static_cast<std::size_t>(got));
    for (std::size_t end; (end = received.find('\n')) != std::string::npos;) {
      const std::string line = received.substr(0, end);
      received.erase(0, end + 1);
      Obey(port, line);
    }
  }
}
