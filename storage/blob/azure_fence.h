// What keeps late writers out of page blobs (man/asr-vault.5, "Fencing"). Every write carries the
// blob's sequence number as its condition. A writer that takes an item over raises the number of
// each blob before it reads it: what the writer before it sends, or sent long ago, is refused from
// then on. The same is done before a request is repeated whose first try may still arrive.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "storage/blob/azure_client.h"

namespace asr {

// As the service tells it; 0 of what is no page blob.
[[nodiscard]] std::uint64_t SequenceNumberOf(const HttpResponse& reply);

// Of one time that a lease was taken: the sequence numbers that its holder may give. Each holder's
// are higher than those of all before it.
class LeaseFence {
 public:
  // `times_taken`: with this one.
  explicit LeaseFence(std::uint64_t times_taken) : first_(times_taken << 32) {}
  // Of the lease whose holder gave this sequence number.
  [[nodiscard]] static std::uint64_t TimesTaken(std::uint64_t number) { return number >> 32; }
  [[nodiscard]] std::uint64_t first() const { return first_; }
  [[nodiscard]] std::uint64_t last() const { return first_ | 0xFFFFFFFF; }

 private:
  std::uint64_t first_;
};

// The sequence number of one blob, as its writer knows it. Thread-safe.
class BlobFence {
 public:
  // `lease`: null without one.
  BlobFence(AzureClient& client, std::string name, std::uint64_t number,
            std::shared_ptr<const LeaseFence> lease)
      : client_(client), name_(std::move(name)), lease_(std::move(lease)), number_(number) {}

  [[nodiscard]] std::uint64_t number() const { return number_.load(); }
  [[nodiscard]] bool has_lease() const { return lease_ != nullptr; }
  // The server refuses everything with a lower number when this returns. kBusy (kLeaseLost) if
  // somebody else has raised it further.
  [[nodiscard]] Status RaiseTo(std::uint64_t number);
  // The same if the blob's ETag is `etag`, and the ETag that it has then; else empty, and nothing
  // was raised as far as this knows.
  [[nodiscard]] Result<std::string> RaiseIf(const std::string& etag, std::uint64_t number);
  // Raises it by one, unless that was done since the caller read `seen`.
  [[nodiscard]] Status RaiseAbove(std::uint64_t seen);

  // After the server refused a write with the number `seen`: fine if it is another one by now, or
  // if the number was raised under the same lease, by another handle of this blob. kBusy
  // (kLeaseLost).
  [[nodiscard]] Status TakeUp(std::uint64_t seen);

  // Snapshots and new sizes know no sequence number as their condition. Whoever takes the blob over
  // raises its number, and so changes its ETag: with this one they are refused from then on. kBusy
  // (kLeaseLost).
  [[nodiscard]] Result<std::string> EtagOfOurs();
  // Of the blob, under that condition; a first try that comes late is refused, too.
  [[nodiscard]] Status Resize(std::uint64_t size_bytes);
  // Of such requests, with other handles of the blob under the same lease.
  static constexpr int kMostRaces = 10;

  [[nodiscard]] Error Lost() const;

 private:
  [[nodiscard]] Result<std::string> Raise(std::uint64_t number, const std::string& etag = {});

  AzureClient& client_;
  const std::string name_;
  const std::shared_ptr<const LeaseFence> lease_;
  std::mutex mutex_;  // held while the number is raised
  std::atomic<std::uint64_t> number_;
};

}  // namespace asr
