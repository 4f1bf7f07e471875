// Reads a snapshot of a directory store's page blob, beside a writer that overwrites, seals, folds
// and drops other snapshots at the same time, and without any lock between the two.
//
// Why a pass can be trusted: the writer makes a chunk's bit visible before it changes the chunk in
// the live file, and copies a dropped file's chunks into the next older one before it removes the
// file. So bytes that were read from the live file are the snapshot's if, AFTER reading them, the
// directory lists the same files as before and the newest of them still lacks the chunks' bits.
// Bytes whose bit is set never change; they need no second look.
//
// A snapshot never changes: bytes that were trusted once are remembered for small reads, such as
// those of digests, which would list the directory for each row otherwise.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "storage/blob/blob_store.h"
#include "storage/blob/undo_chain.h"
#include "storage/fs/file_system.h"

namespace asr {

class SnapshotReader : public PageBlobReader {
 public:
  // `name` is for messages. kNotFound (kBlobNotFound, kSnapshotNotFound).
  [[nodiscard]] static Result<std::unique_ptr<PageBlobReader>> Open(FileSystem& fs,
                                                                    std::string name,
                                                                    const std::string& live_path,
                                                                    SnapshotId id);

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override;
  [[nodiscard]] Result<std::vector<Extent>> OwnExtents(Extent range) override;
  [[nodiscard]] Result<std::vector<Extent>> DataExtents(Extent range) override;

 private:
  // Index into View::members, or kLive.
  using Location = std::uint16_t;
  static constexpr Location kLive = 0xFFFF;
  using Window = std::vector<Location>;  // one for each chunk

  // The chain as one listing showed it.
  struct View {
    UndoListing listing;
    std::vector<UndoHeader> members;  // from the snapshot itself to the newest
    std::mutex mutex;
    std::map<std::uint64_t, std::shared_ptr<const Window>> windows;
  };

  // The chunks of one piece of a read, and where each was found.
  struct Pass {
    std::shared_ptr<View> view;
    std::shared_ptr<UndoFile> newest;  // held: its inode cannot become another file's meanwhile
    ChunkRun run;
    std::vector<Location> locations;
  };

  SnapshotReader(FileSystem& fs, std::string name, const std::string& live_path, SnapshotId id);

  [[nodiscard]] Result<std::shared_ptr<View>> CurrentView();
  [[nodiscard]] Result<std::shared_ptr<View>> LoadView();
  void Forget(const std::shared_ptr<View>& view);
  // Less than a chunk, inside of one.
  [[nodiscard]] Status ReadSmall(std::uint64_t offset_bytes, MutableByteSpan out);
  // The whole chunk, to the end of the snapshot at most.
  [[nodiscard]] Result<std::shared_ptr<const AlignedBuffer>> TrustedChunk(std::uint64_t chunk);
  // Null if it is not remembered.
  [[nodiscard]] std::shared_ptr<const AlignedBuffer> KeptChunk(std::uint64_t chunk);
  [[nodiscard]] Status ReadPiece(std::uint64_t offset_bytes, MutableByteSpan out);
  // What is done to a piece whose chunks were located.
  using Look = std::function<Status(const Pass&)>;
  [[nodiscard]] Status LookUntilTrusted(Extent piece, const Look& look);
  // False if the chain changed underneath: another pass is due.
  [[nodiscard]] Result<bool> TryPiece(const std::shared_ptr<View>& view, Extent piece,
                                      const Look& look);
  [[nodiscard]] Status Locate(Pass& pass);
  [[nodiscard]] Result<std::shared_ptr<const Window>> WindowOf(View& view, std::uint64_t index);
  [[nodiscard]] Result<std::shared_ptr<const Window>> BuildWindow(const View& view,
                                                                  std::uint64_t index);
  template <class Visit>
  [[nodiscard]] Status VisitLocated(const Pass& pass, Extent piece, const Visit& visit);
  [[nodiscard]] Result<std::vector<Extent>> LocatedExtents(const Pass& pass, Extent piece);
  [[nodiscard]] Status ReadLocated(const Pass& pass, std::uint64_t offset_bytes,
                                   MutableByteSpan out);
  [[nodiscard]] Result<bool> HoldsStill(const Pass& pass);
  [[nodiscard]] Result<std::shared_ptr<UndoFile>> OpenMember(const UndoHeader& member);

  FileSystem& fs_;
  std::string name_;
  SnapshotId id_;
  std::string undo_directory_;
  std::uint64_t size_bytes_ = 0;
  std::unique_ptr<File> live_;

  std::mutex mutex_;  // of all below
  std::shared_ptr<View> view_;
  std::list<std::shared_ptr<UndoFile>> open_files_;  // last used first
  // By number, last used first.
  std::list<std::pair<std::uint64_t, std::shared_ptr<const AlignedBuffer>>> kept_chunks_;
};

}  // namespace asr
