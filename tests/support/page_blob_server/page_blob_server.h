// A strict server of page blobs on the loopback interface, the judge of our client: it does what
// Azure's documentation says of the operations that a vault needs, refuses what Azure refuses with
// its codes, keeps the limits, and breaks on command. Everything is in memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "tests/support/page_blob_server/faults.h"

namespace asr::testing {

struct PageBlobServerOptions {
  std::uint16_t port = 0;  // 0: any that is free
  std::string account = "devstoreaccount1";
  // Base64. Those of Azurite's account and a second one, as Azure has two.
  std::vector<std::string> keys = {
      "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
      "K1SZFPTOtr/KBHBeksoGMGw==",
      "c2Vjb25kIGtleSBvZiB0aGUgYWNjb3VudCwgZm9yIHJvdGF0aW9uIQ=="};
  std::string certificate_file = {};  // PEM; with key_file: https only
  std::string key_file = {};
  bool discard = false;     // bodies of Put Page are counted, not looked at and not kept
  bool is_premium = false;  // 100 snapshots a blob, one each 10 minutes
  double blob_requests_per_second = 0;    // Azure: 500; 0: no limit
  double blob_bytes_per_second = 0;       // Azure: 60 MiB
  double operation_timeout_seconds = 0;   // a body that takes longer: 500 OperationTimedOut
  double idle_timeout_seconds = 0;        // a connection without a request for so long is closed
  double container_deletion_seconds = 0;  // Azure: at least 30
  std::size_t list_page_limit = 5000;     // entries of a page at most
  std::size_t range_page_limit = 10'000;
  std::uint64_t longest_run_bytes = 4 * kMiB;  // longer page ranges are listed in pieces
};

// All methods are thread-safe.
class PageBlobServer {
 public:
  // Listens when it returns. Throws if it cannot.
  explicit PageBlobServer(PageBlobServerOptions options = {});
  // Ends every connection.
  ~PageBlobServer();
  PageBlobServer(const PageBlobServer&) = delete;
  PageBlobServer& operator=(const PageBlobServer&) = delete;

  // "http://127.0.0.1:PORT/ACCOUNT"
  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string account() const;
  [[nodiscard]] std::string key() const;
  // "DefaultEndpointsProtocol=...", for tools.
  [[nodiscard]] std::string ConnectionString() const;
  // Of the account, for everything that `permissions` ("racwdl") allow.
  [[nodiscard]] std::string AccountSas(const std::string& permissions,
                                       std::chrono::seconds valid_for) const;

  void AddFault(const FaultRule& rule);
  void ClearFaults();
  // How often any rule has struck, from the moment on at which it does: the log tells of a request
  // when it is done.
  [[nodiscard]] int strikes() const;
  // Of requests that are done (late ones too), oldest first.
  [[nodiscard]] std::vector<RequestRecord> Log() const;
  void ClearLog();
  // By operation; and "connections", "received_bytes", "sent_bytes". Of ClearLog's time on.
  [[nodiscard]] std::map<std::string, std::uint64_t> Counts() const;
  // Bytes a second of all connections together, and of each one; 0: no limit.
  void SetLink(double bytes_per_second, double bytes_per_second_of_each);
  // Moves the server's clock: leases end, signatures run out, Date says it.
  void AdvanceClock(std::chrono::seconds by);
  // Does what kDelay has put off, now.
  void ReleaseDelayed();
  [[nodiscard]] std::size_t delayed() const;

  void AddToken(const std::string& token, std::chrono::seconds valid_for,
                const std::string& permissions = "racwdl", bool may_delegate = true);
  void SetKeys(const std::vector<std::string>& keys);
  void CreateContainer(const std::string& name);
  // Another holds the blob's lease from now on; 0: for ever.
  void LoseLease(const std::string& container, const std::string& blob, std::chrono::seconds lasts);
  // Of what is stored of the blob itself, behind everybody's back: its ETag stays, and snapshots
  // keep the right bit. False if that page was never written.
  bool FlipBit(const std::string& container, const std::string& blob, std::uint64_t offset_bytes);
  // Ends every connection now; new ones are served.
  void CutConnections();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace asr::testing
