#include "tests/support/page_blob_server/service.h"

#include <fmt/format.h>

#include <utility>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"

namespace asr::testing::page_blob {
namespace {

ServiceRules RulesOf(const PageBlobServerOptions& options) {
  ServiceRules rules;
  rules.discard = options.discard;
  rules.is_premium = options.is_premium;
  rules.blob_requests_per_second = options.blob_requests_per_second;
  rules.blob_bytes_per_second = options.blob_bytes_per_second;
  rules.container_deletion_seconds = options.container_deletion_seconds;
  rules.list_page_limit = options.list_page_limit;
  rules.range_page_limit = options.range_page_limit;
  rules.longest_run_bytes = options.longest_run_bytes;
  return rules;
}

bool IsAlike(const ServerRequest& a, const Target& target_of_a, const ServerRequest& b,
             const Target& target_of_b) {
  return target_of_a.operation == target_of_b.operation && target_of_a.blob == target_of_b.blob &&
         target_of_a.container == target_of_b.container && RangeOf(a) == RangeOf(b);
}

}  // namespace

Extent RangeOf(const ServerRequest& request) {
  const auto range = ParseByteRange(request.HeaderOr("x-ms-range", request.HeaderOr("range", "")));
  if (!range) return {};
  return {range->first, range->last ? *range->last - range->first + 1 : 0};
}

RequestRecord MakeRecord(const ServerRequest& request, const Target& target) {
  RequestRecord record;
  record.operation = TraitsOf(target.operation).name;
  record.container = target.container;
  record.blob = target.blob;
  record.snapshot = target.snapshot;
  record.range = RangeOf(request);
  record.client_request_id = request.HeaderOr("x-ms-client-request-id", "");
  record.expects_continue = request.Header("expect") != nullptr;
  return record;
}

Service::Service(const PageBlobServerOptions& options) : rules_(RulesOf(options)) {
  account_.name = options.account;
  credentials_.account = options.account;
  credentials_.keys = options.keys;
  credentials_.delegation_secret = ToHex(RandomBits());
}

ServiceTime Service::Now() const {
  return std::chrono::time_point_cast<Ticks>(std::chrono::system_clock::now()) +
         std::chrono::seconds(offset_seconds_);
}

ServerReply Service::Answer(const ServerRequest& request, const Target& target,
                            std::optional<std::uint64_t> body_crc, const Caller* admitted) {
  try {
    const std::lock_guard lock(mutex_);
    const Caller caller =
        admitted != nullptr ? *admitted : Authorize(credentials_, request, target, Now());
    CheckHeaders(request, target);
    if (body_crc) CheckBodyChecksums(request, *body_crc);
    if (rules_.discard && !body_crc) {
      if (const std::string* const crc = request.Header("x-ms-content-crc64")) {
        body_crc =
            LoadLittle<std::uint64_t>(AsBytes(DecodeBase64(*crc).value_or("") + "        "), 0);
      }
    }
    Call call{request, target, caller, account_, credentials_, rules_, Now(), body_crc};
    ServerReply reply = Execute(call);
    AddCommonHeaders(request, reply);
    return reply;
  } catch (const ServiceError& error) {
    return AnswerError(request, error);
  }
}

ServerReply Service::AnswerError(const ServerRequest& request, const ServiceError& error) {
  ServerReply reply;
  reply.status = StatusOf(error);
  reply.headers = error.headers;
  reply.error_code = error.code;
  reply.Add("x-ms-error-code", error.code);
  AddCommonHeaders(request, reply);
  if (reply.status == 304) return reply;
  std::string id;
  for (const auto& [name, value] : reply.headers) {
    if (name == "x-ms-request-id") id = value;
  }
  std::string details;
  for (const auto& [name, value] : error.details) {
    details += fmt::format("<{0}>{1}</{0}>", name, EscapeXml(value));
  }
  reply.Add("Content-Type", "application/xml");
  reply.body = XmlDocument(
      fmt::format("<Error><Code>{}</Code><Message>{}\nRequestId:{}\nTime:{}</Message>{}</Error>",
                  error.code, EscapeXml(MessageOf(error)), id, FormatSnapshotTime(Now()), details));
  return reply;
}

void Service::AddCommonHeaders(const ServerRequest& request, ServerReply& reply) {
  reply.Add("Server", "Windows-Azure-Blob/1.0 page-blob-server/1.0");
  reply.Add("x-ms-request-id", GuidText(RandomBits()));
  reply.Add("x-ms-version", request.HeaderOr("x-ms-version", request.QueryOr("sv", "2023-11-03")));
  if (const std::string* const id = request.Header("x-ms-client-request-id")) {
    reply.Add("x-ms-client-request-id", *id);
  }
  reply.Add("Date", FormatHttpDate(Now()));
}

void Service::Delay(const ServerRequest& request, const Target& target) {
  const std::lock_guard lock(mutex_);
  try {
    const Caller caller = Authorize(credentials_, request, target, Now());
    delayed_.push_back({request, target, caller, std::string(AsText(request.body))});
  } catch (const ServiceError&) {
    // Would have been refused: nothing is done later either.
  }
}

void Service::DoDelayedLike(const ServerRequest& request, const Target& target) {
  std::list<Delayed> late;
  {
    const std::lock_guard lock(mutex_);
    for (auto entry = delayed_.begin(); entry != delayed_.end();) {
      const auto next = std::next(entry);
      if (IsAlike(entry->request, entry->target, request, target)) {
        late.splice(late.end(), delayed_, entry);
      }
      entry = next;
    }
  }
  DoDelayed(std::move(late));
}

void Service::ReleaseDelayed() {
  std::list<Delayed> late;
  {
    const std::lock_guard lock(mutex_);
    late.swap(delayed_);
  }
  DoDelayed(std::move(late));
}

void Service::DoDelayed(std::list<Delayed> late) {
  for (Delayed& entry : late) {
    entry.request.body = AsBytes(entry.body);
    ServerReply reply =
        Answer(entry.request, entry.target, Crc64(entry.request.body), &entry.caller);
    RequestRecord record = MakeRecord(entry.request, entry.target);
    record.status = reply.status;
    record.error_code = reply.error_code;
    record.is_late = true;
    Drop(reply);
    Record(std::move(record), true);
  }
}

std::size_t Service::delayed() const {
  const std::lock_guard lock(mutex_);
  return delayed_.size();
}

void Service::ExpireCredential(const ServerRequest& request, const Target& target) {
  const std::lock_guard lock(mutex_);
  try {
    credentials_.refused.insert(Authorize(credentials_, request, target, Now()).credential);
  } catch (const ServiceError&) {
    // Refused anyhow.
  }
}

void Service::LoseLease(const Target& target, double seconds) {
  const std::lock_guard lock(mutex_);
  StoredBlob* const blob = Find(target.container, target.blob);
  if (blob == nullptr) return;
  BlobLease& lease = blob->lease;
  lease.state = LeaseState::kLeased;
  lease.id = GuidText(RandomBits());
  lease.duration_seconds = seconds > 0 ? static_cast<int>(seconds) : -1;
  lease.ends = Now() + std::chrono::seconds(static_cast<int>(seconds));
}

StoredBlob* Service::Find(const std::string& container, const std::string& blob) {
  const auto place = account_.containers.find(container);
  if (place == account_.containers.end()) return nullptr;
  const auto found = place->second.blobs.find(blob);
  return found == place->second.blobs.end() ? nullptr : &found->second;
}

void Service::CreateContainer(const std::string& name) {
  const std::lock_guard lock(mutex_);
  StoredContainer& container = account_.containers[name];
  container.etag = account_.NextEtag();
  container.modified = Now();
}

bool Service::FlipBit(const std::string& container, const std::string& blob,
                      std::uint64_t offset_bytes) {
  const std::lock_guard lock(mutex_);
  StoredBlob* const stored = Find(container, blob);
  if (stored == nullptr) return false;
  BlobVersion& version = stored->base;
  if (!version.is_page_blob) {
    if (offset_bytes >= version.text.size()) return false;
    version.text[offset_bytes] = static_cast<char>(version.text[offset_bytes] ^ 1);
    return true;
  }
  const Extent page{AlignDown(offset_bytes, kPage), kPage};
  if (version.pages.Allocated(page).empty()) return false;
  std::array<std::byte, kPage> bytes{};
  version.pages.View(page).Read(page.offset_bytes, bytes);
  bytes[offset_bytes % kPage] ^= std::byte{1};
  version.pages.Write(page.offset_bytes, bytes, version.generation);
  return true;
}

void Service::AddToken(BearerToken token) {
  const std::lock_guard lock(mutex_);
  credentials_.tokens.push_back(std::move(token));
}

void Service::SetKeys(const std::vector<std::string>& keys) {
  const std::lock_guard lock(mutex_);
  credentials_.keys = keys;
}

std::string Service::AccountSas(const std::string& permissions,
                                std::chrono::seconds valid_for) const {
  const std::string version = "2023-11-03";
  const std::string expiry = FormatSeconds(Now() + valid_for);
  const std::lock_guard lock(mutex_);
  const std::string text =
      fmt::format("{}\n{}\nb\nsco\n\n{}\n\n\n{}\n\n", account_.name, permissions, expiry, version);
  std::string signature;
  for (const char c : HmacSha256(DecodeBase64(credentials_.keys.at(0)).value_or(""), text)) {
    signature += c == '+' ? "%2B" : c == '/' ? "%2F" : c == '=' ? "%3D" : std::string(1, c);
  }
  return fmt::format("sv={}&ss=b&srt=sco&sp={}&se={}&sig={}", version, permissions, expiry,
                     signature);
}

void Service::Drop(ServerReply& reply) {
  const std::lock_guard lock(mutex_);
  reply.pages.reset();
}

void Service::Record(RequestRecord record, bool is_kept) {
  const std::lock_guard lock(log_mutex_);
  ++counts_[record.operation];
  counts_["received_bytes"] += record.received_bytes;
  counts_["sent_bytes"] += record.sent_bytes;
  if (is_kept) log_.push_back(std::move(record));
}

void Service::CountConnection() {
  const std::lock_guard lock(log_mutex_);
  ++counts_["connections"];
}

std::vector<RequestRecord> Service::Log() const {
  const std::lock_guard lock(log_mutex_);
  return log_;
}

std::map<std::string, std::uint64_t> Service::Counts() const {
  const std::lock_guard lock(log_mutex_);
  return counts_;
}

void Service::ClearLog() {
  const std::lock_guard lock(log_mutex_);
  log_.clear();
  counts_.clear();
}

}  // namespace asr::testing::page_blob
