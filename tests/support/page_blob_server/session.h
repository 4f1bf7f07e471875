// The requests of one connection, one after the other, with the faults that strike them.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/page_blob_server/connection.h"
#include "tests/support/page_blob_server/control.h"
#include "tests/support/page_blob_server/service.h"

namespace asr::testing::page_blob {

// What all connections share.
struct SharedServer {
  const PageBlobServerOptions& options;
  Service& service;
  FaultRules& faults;
  Stopper& stopper;
  const ControlFunction& control;
};

class Session {
 public:
  Session(Connection& connection, std::uint64_t number, const SharedServer& shared)
      : connection_(connection), number_(number), shared_(shared) {}
  // Returns when the connection is at its end.
  void Run();

 private:
  // Each returns false if the connection ends now.
  bool ServeOne();
  bool Serve(ServerRequest& request);
  bool ServeControl(ServerRequest& request);
  bool ServeParsed(ServerRequest& request, const Target& target);
  // Reads the body as far as it is wanted.
  enum class Body : std::uint8_t { kComplete, kGone, kTooSlow };
  Body ReadBody(ServerRequest& request, const Target& target, const FaultRule* fault);
  Body ReceiveBody(ServerRequest& request, bool is_kept, std::uint64_t cut_after);
  // The answer, as the fault has it; nullopt where there is none.
  std::optional<ServerReply> Perform(ServerRequest& request, const Target& target,
                                     const FaultRule* fault);
  ServerReply Answer(const ServerRequest& request, const Target& target);
  ServerReply Refusal(const ServerRequest& request, const FaultRule& fault);
  bool SendReply(const ServerReply& reply, bool is_head, const FaultRule* fault);
  bool SendBody(const ServerReply& reply, const FaultRule* fault);
  bool StallUntilGone();
  void Record(const ServerReply* reply);

  Connection& connection_;
  const std::uint64_t number_;
  const SharedServer& shared_;
  RequestRecord record_;
  std::vector<std::byte> body_;
  bool looks_at_body_ = true;
};

}  // namespace asr::testing::page_blob
