// What the server breaks on command, and what it remembers of requests.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/base/bytes.h"

namespace asr::testing {

enum class FaultAction : std::uint8_t {
  kCutRequest,        // the connection ends once `after_bytes` of the body came; nothing is done
  kCutAnswer,         // done; the connection ends after `after_bytes` of the answer
  kRefuse,            // answered with `code`; done all the same if `performs`
  kStall,             // waits before it is done; `seconds` 0: until the client has gone, then never
  kStallAnswer,       // done; waits after `after_bytes` of the answer's body
  kWrongBytes,        // one bit of the answer's body is wrong, its checksum header is not
  kExpireCredential,  // what it was signed with has run out from now on
  kLoseLease,         // another holds the blob's lease from now on, for `seconds` (0: for ever)
  kDelay,             // refused at once (or cut, if `cuts`), and done after the next such request
};

struct FaultRule {
  FaultAction action = FaultAction::kRefuse;
  std::string operation = {};  // "PutPage" (see operation.cc); empty: any
  std::string blob = {};       // empty: any; "*.vhd": those that end so
  int skip = 0;                // so many matching requests are let through first
  int times = 1;               // then it strikes so often; negative: from then on
  std::string code = "InternalError";
  int status =
      0;  // with kRefuse and kDelay: another than the code's (a proxy's 502); 0: the code's
  std::vector<std::pair<std::string, std::string>> headers = {};  // of the refusal, beside its own
  bool performs = false;
  bool cuts = false;
  double retry_after_seconds = -1;  // negative: no Retry-After
  std::uint64_t after_bytes = 0;
  double seconds = 0;
};

// One request as it was served.
struct RequestRecord {
  std::string operation;
  std::string container;
  std::string blob;
  std::string snapshot;
  Extent range;            // of pages written or cleared, of bytes read; empty: none was given
  int status = 0;          // 0: no answer was sent
  std::string error_code;  // as sent
  std::string request_id;
  std::string client_request_id;
  std::uint64_t received_bytes = 0;  // bodies only
  std::uint64_t sent_bytes = 0;
  std::uint64_t connection = 0;  // counts from 1
  bool is_faulty = false;        // a rule struck
  bool is_late = false;          // a delayed one being done, not answered
  bool expects_continue = false;
};

namespace page_blob {

// Thread-safe.
class FaultRules {
 public:
  void Add(FaultRule rule);
  void Clear();
  // The first rule that strikes this request; rules count what they let through.
  [[nodiscard]] std::optional<FaultRule> Match(const std::string& operation,
                                               const std::string& blob);
  // How often any rule has struck. Clear leaves it.
  [[nodiscard]] int strikes();

 private:
  std::mutex mutex_;
  std::vector<FaultRule> rules_;
  int strikes_ = 0;
};

}  // namespace page_blob
}  // namespace asr::testing
