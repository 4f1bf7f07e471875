// The file that a restore writes until its image is whole. It lies beside the image, with
// ".partial-" and more behind the image's name.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/model/point.h"
#include "storage/fs/file_system.h"

namespace asr {

struct RestoredImage {
  std::string path;
  std::string format;    // "raw", "vhd", "vhd-dynamic", "vhdx" or "qcow2"
  bool replace = false;  // a file of that name; else it is kState
  // What is written before a failure is kept, and the next restore to the path goes on with it. Not
  // qcow2, and not where other machines may write too, or files cannot be locked.
  bool resume = false;
};

// While one of these lives nobody else writes the image, and other partial files beside it are
// nobody's: what restores that died, or of another format, have left is removed.
class PartialImage {
 public:
  // kBusy (kLocked) while another restore writes the image.
  [[nodiscard]] static Result<std::unique_ptr<PartialImage>> Take(FileSystem& fs,
                                                                  const RestoredImage& image);
  ~PartialImage();
  PartialImage(const PartialImage&) = delete;
  PartialImage& operator=(const PartialImage&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // The file may be there already, and stays for the next restore if this one fails.
  [[nodiscard]] bool can_be_continued() const { return can_be_continued_; }

  // Gives the file, which is whole and durable, the image's name; durable when it returns. Notes
  // before that that it is this disk of that point: see IsRestored.
  [[nodiscard]] Status Publish(const RecoveryPoint& point, const PointDisk& disk);
  void Remove();

 private:
  PartialImage(FileSystem& fs, RestoredImage image) : fs_(fs), image_(std::move(image)) {}
  [[nodiscard]] Status RemoveOthers() const;

  FileSystem& fs_;
  const RestoredImage image_;
  std::unique_ptr<FileLock> lock_;  // null where files cannot be locked
  std::string path_;
  bool can_be_continued_ = false;
};

// True if the file at image.path is what a restore of this disk of this point published there, as
// it was then: for a restore of several disks that was interrupted between two of them. Known until
// ForgetRestored, or until another restore to the path. Any doubt is false.
[[nodiscard]] bool IsRestored(FileSystem& fs, const RestoredImage& image,
                              const RecoveryPoint& point, const PointDisk& disk);
// The point of which IsRestored is true of the file at image.path, for some disk of the item.
[[nodiscard]] std::optional<PointId> RestoredPointOf(FileSystem& fs, const RestoredImage& image,
                                                     const ItemId& item);
void ForgetRestored(FileSystem& fs, const RestoredImage& image);

}  // namespace asr
