#include "storage/base/passed_descriptor.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace asr {
namespace {

// A byte with room for one descriptor beside it.
class Message {
 public:
  explicit Message(char& word) : bytes_{.iov_base = &word, .iov_len = 1} {
    header_.msg_iov = &bytes_;
    header_.msg_iovlen = 1;
    header_.msg_control = beside_.data();
    header_.msg_controllen = beside_.size();
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  [[nodiscard]] struct msghdr* get() { return &header_; }

 private:
  struct iovec bytes_;
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> beside_{};
  struct msghdr header_ {};
};

}  // namespace

ssize_t SendWithDescriptor(int socket, char word, int descriptor) {
  Message message(word);
  struct cmsghdr* const beside = CMSG_FIRSTHDR(message.get());
  beside->cmsg_level = SOL_SOCKET;
  beside->cmsg_type = SCM_RIGHTS;
  beside->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(beside), &descriptor, sizeof(int));
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket, message.get(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

ssize_t ReceiveWithDescriptor(int socket, char& word, FileDescriptor& beside, int flags) {
  Message message(word);
  beside = FileDescriptor();
  const ssize_t count = ::recvmsg(socket, message.get(), MSG_CMSG_CLOEXEC | flags);
  const struct cmsghdr* const header = count == 1 ? CMSG_FIRSTHDR(message.get()) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return count;
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
  beside = FileDescriptor(descriptor);
  return count;
}

}  // namespace asr
