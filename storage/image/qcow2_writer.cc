#include "storage/image/qcow2_writer.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/child_process.h"
#include "storage/base/file_descriptor.h"
#include "storage/image/nbd_server.h"

namespace asr {
namespace {

using Json = nlohmann::json;

constexpr std::chrono::minutes kCreateLimit{5};

class Qcow2Writer : public ImageWriter {
 public:
  Qcow2Writer(std::unique_ptr<File> file, std::unique_ptr<NbdServer> server)
      : file_(std::move(file)), server_(std::move(server)) {}

  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    return server_->Write(offset_bytes, bytes);
  }

  Result<std::vector<Extent>> WrittenExtents(Extent range) override {
    return server_->DataExtents(range);
  }
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    return server_->Read(offset_bytes, out);
  }
  // Never asked for of a new image, and these are never continued.
  Status Discard(Extent) override {
    return Fail(ErrorKind::kInternal, ErrorCode::kInternal, "a qcow2 image is begun anew");
  }

  Status Finish() override {
    ASR_CHECK(server_->Finish());
    return file_->Sync();  // QEMU wrote its last tables when it closed the image
  }

 private:
  std::unique_ptr<File> file_;
  std::unique_ptr<NbdServer> server_;
};

// Headers and tables of an empty disk, by QEMU's own hand.
Status Format(const std::string& program, const FileDescriptor& file, std::uint64_t size_bytes) {
  const std::vector<std::string> arguments = {
      program, "create", "-q", "-f", "qcow2", "/proc/self/fd/3", fmt::format("{}", size_bytes)};
  ASR_TRY(ChildProcess process, ChildProcess::Start(arguments, {.descriptors = {file.get()}}));
  const int exit_code = process.Wait(kCreateLimit);
  if (exit_code == 0) return {};
  return Fail(ErrorKind::kIo, ErrorCode::kIo,
              fmt::format("qemu-img create ended with {}: {}", exit_code, process.ErrorText()));
}

}  // namespace

Status RequireQcow2Tools() {
  ASR_CHECK(LoadNbdLibrary());
  ASR_CHECK(FindQemuTool("qemu-img"));
  ASR_CHECK(FindQemuTool("qemu-nbd"));
  return {};
}

Result<std::unique_ptr<ImageWriter>> CreateQcow2(std::unique_ptr<File> file,
                                                 const NewImage& image) {
  ASR_TRY(const std::string program, FindQemuTool("qemu-img"));
  const FileDescriptor theirs(::open(image.path.c_str(), O_RDWR | O_CLOEXEC));
  if (!theirs.valid()) return Fail(ErrnoError(errno, fmt::format("cannot open {}", image.path)));
  ASR_CHECK(Format(program, theirs, image.size_bytes));
  const bool is_direct =
      FileDescriptor(::open(image.path.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT)).valid();
  const Json node = {{"driver", "qcow2"},
                     {"file", {{"driver", "file"}, {"filename", NbdFileName(0)}}},
                     {"backing", nullptr}};
  ASR_TRY(auto server, NbdServer::Start({.node = node.dump(),
                                         .descriptors = {theirs.get()},
                                         .is_read_only = false,
                                         .is_direct = is_direct}));
  return std::make_unique<Qcow2Writer>(std::move(file), std::move(server));
}

}  // namespace asr
