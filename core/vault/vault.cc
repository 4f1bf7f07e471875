#include "core/vault/vault.h"

#include <utility>

#include <fmt/format.h>

#include "core/vault/document_list.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "storage/base/text.h"

namespace asr {

Error WithNearestName(Error error, const std::string& name, const std::vector<std::string>& names,
                      const std::string& list_command) {
  const std::string nearest = NearestName(name, names);
  error.action = nearest.empty()
                     ? fmt::format("see what there is: {}", list_command)
                     : fmt::format("did you mean '{}'? All of them: {}", nearest, list_command);
  return error;
}

Vault::Vault(std::unique_ptr<BlobStore> store, std::string name, VaultIdentity identity)
    : store_(std::move(store)), name_(std::move(name)), identity_(std::move(identity)) {}

std::unique_ptr<Vault> Vault::Through(std::unique_ptr<BlobStore> store) const {
  std::unique_ptr<Vault> vault(new Vault(std::move(store), name_, identity_));
  if (digest_cache_) vault->KeepDigests(*digest_cache_);
  return vault;
}

bool Vault::is_on_azure() const {
  const std::string place = store_->Description();
  return place.starts_with("https://") || place.starts_with("http://");
}

Error NoVaultAt(const std::string& place) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kVaultNotFound,
                   fmt::format("there is no vault at {}", place))
      .WithCause("the place is empty or not mounted, or the path is wrong")
      .WithAction("look at the path, or make a vault: asr vault create");
}

Result<std::unique_ptr<Vault>> Vault::Create(std::unique_ptr<BlobStore> store,
                                             const std::string& name, DigestAlgorithm algorithm,
                                             Timestamp now) {
  VaultIdentity identity{.id = ToHex(RandomBits()), .algorithm = algorithm, .created = now};
  const Status written = store->Put(std::string(layout::kVaultDocument),
                                    AsBytes(EncodeIdentity(identity)), PutCondition::kIfAbsent);
  if (!written && written.error().code == ErrorCode::kBlobExists) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kVaultExists,
                          fmt::format("there is a vault at {} already", store->Description()))
                    .WithAction("connect it: asr vault connect NAME --target URL"));
  }
  ASR_CHECK(written);
  return std::unique_ptr<Vault>(new Vault(std::move(store), name, std::move(identity)));
}

Result<std::unique_ptr<Vault>> Vault::Open(std::unique_ptr<BlobStore> store,
                                           const std::string& name) {
  const std::string document(layout::kVaultDocument);
  const auto text = store->Get(document);
  if (WasDeleted(text)) {
    return Fail(NoVaultAt(store->Description()));
  }
  ASR_CHECK(text);
  ASR_TRY(VaultIdentity identity, DecodeIdentity(document, *text));
  return std::unique_ptr<Vault>(new Vault(std::move(store), name, std::move(identity)));
}

Result<PolicyListing> Vault::ListPolicies() {
  const std::string prefix(layout::kPolicies);
  ASR_TRY(const auto view, store_->View(prefix, ViewDepth::kAll));
  ASR_TRY(const auto names, view->ListNames(prefix));
  std::vector<std::string> blobs;
  for (const std::string& name : names) {
    if (!DocumentStem(name).empty()) blobs.push_back(prefix + name);
  }
  const auto texts = view->Get(blobs);
  PolicyListing listing;
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    if (WasDeleted(texts[i])) continue;
    ASR_CHECK(texts[i]);
    if (auto policy = DecodePolicy(blobs[i], *texts[i])) {
      listing.policies.push_back(*std::move(policy));
    } else {
      const std::string name = blobs[i].substr(prefix.size());
      listing.unreadable.push_back({.name = layout::UnescapeSegment(DocumentStem(name)),
                                    .error = std::move(policy).error()});
    }
  }
  return listing;
}

Result<Policy> Vault::FindPolicy(const std::string& name) {
  const std::string blob = layout::PolicyDocument(name);
  const auto text = store_->Get(blob);
  if (text) return DecodePolicy(blob, *text);
  if (!WasDeleted(text)) return Fail(text.error());
  ASR_TRY(const auto documents, store_->ListNames(std::string(layout::kPolicies)));
  std::vector<std::string> names;
  for (const std::string& document : documents) {
    names.push_back(layout::UnescapeSegment(DocumentStem(document)));
  }
  return Fail(WithNearestName(MakeError(ErrorKind::kNotFound, ErrorCode::kPolicyNotFound,
                                        fmt::format("there is no policy '{}'", name)),
                              name, names, "asr policy list"));
}

Status Vault::PutPolicy(const Policy& policy) {
  return store_->Put(layout::PolicyDocument(policy.name), AsBytes(EncodePolicy(policy)));
}

Status Vault::DeletePolicy(const std::string& name) {
  ASR_CHECK(FindPolicy(name));
  ASR_TRY(const auto listing, ListItems());
  ASR_CHECK(listing.RequireAllReadable());
  std::vector<std::string> users;
  for (const Item& item : listing.items) {
    if (item.policy == name && item.state != ProtectionState::kUnprotected) {
      users.push_back(item.name);
    }
  }
  if (!users.empty()) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kPolicyInUse,
                          fmt::format("policy '{}' is used by {}", name, fmt::join(users, ", ")))
                    .WithAction("disable these VMs first, or keep the policy"));
  }
  return store_->Delete(layout::PolicyDocument(name));
}

}  // namespace asr
