#include "storage/blob/azure_view.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "storage/blob/azure_lists.h"
#include "storage/blob/blob_name.h"

namespace asr {
namespace {

constexpr std::size_t kMostAtOnce = 16;
// So many of all that is listed must be unknown that a list which brings them all is worth it.
constexpr std::size_t kWorthListing = 4;

std::string FirstSegment(std::string_view rest) {
  return std::string(rest.substr(0, rest.find('/')));
}

struct FetchedDocument {
  std::string text;
  std::string etag;
};

Result<FetchedDocument> Fetch(AzureClient& client, const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  ASR_TRY(HttpResponse reply,
          client.Send({.blob = name, .what = "cannot read " + name, .expected = {404}}));
  if (reply.status == 404) return Fail(BlobNotFound(name));
  return FetchedDocument{.text = std::move(reply.body),
                         .etag = WithoutQuotes(reply.headers.Get("etag"))};
}

class AzureView : public BlobView {
 public:
  AzureView(AzureClient& client, DocumentCache& cache, std::string prefix)
      : client_(client), cache_(cache), prefix_(std::move(prefix)) {}

  // All below the prefix with one request; where that does not suffice, nothing is known yet.
  [[nodiscard]] Status ListAll();

  [[nodiscard]] Result<std::vector<std::string>> ListNames(const std::string& prefix) override;
  [[nodiscard]] std::vector<Result<std::string>> Get(
      const std::vector<std::string>& names) override;

 private:
  [[nodiscard]] Result<std::vector<std::string>> ListLevel(const std::string& prefix);
  void Find(const std::vector<std::string>& names, std::vector<std::size_t>& unknown,
            std::vector<Result<std::string>>& texts);
  [[nodiscard]] bool IsListingWorthIt(const std::vector<std::string>& names,
                                      const std::vector<std::size_t>& unknown);
  [[nodiscard]] bool ListDocuments();
  void Read(const std::vector<std::string>& names, const std::vector<std::size_t>& unknown,
            std::vector<Result<std::string>>& texts);

  AzureClient& client_;
  DocumentCache& cache_;
  const std::string prefix_;
  bool knows_all_ = false;
  std::map<std::string, std::string> etags_;  // of all that was listed
  std::size_t missed_ = 0;                    // documents that were not known here
  bool has_listed_documents_ = false;
  std::map<std::string, std::string> documents_;  // that a list has brought, by name
};

Status AzureView::ListAll() {
  ASR_TRY(const BlobListing listing, ListBlobs(client_, {.prefix = prefix_, .first_page = true}));
  if (!listing.is_whole) return {};
  for (const ListedBlob& blob : listing.blobs) etags_[blob.name] = blob.etag;
  knows_all_ = true;
  cache_.Retain(prefix_, [this](const std::string& name) { return etags_.contains(name); });
  return {};
}

Result<std::vector<std::string>> AzureView::ListLevel(const std::string& prefix) {
  ASR_TRY(const BlobListing listing, ListBlobs(client_, {.prefix = prefix, .one_level = true}));
  std::set<std::string> names;
  for (const ListedBlob& blob : listing.blobs) {
    etags_[blob.name] = blob.etag;
    names.insert(blob.name.substr(prefix.size()));
  }
  for (const std::string& deeper : listing.prefixes) {
    names.insert(FirstSegment(std::string_view(deeper).substr(prefix.size())));
  }
  cache_.Retain(prefix, [&](const std::string& name) {
    return names.contains(FirstSegment(std::string_view(name).substr(prefix.size())));
  });
  return std::vector<std::string>(names.begin(), names.end());
}

Result<std::vector<std::string>> AzureView::ListNames(const std::string& prefix) {
  ASR_CHECK(CheckBlobPrefix(prefix));
  std::vector<std::string> names;
  if (knows_all_) {
    std::set<std::string> segments;
    for (auto blob = etags_.lower_bound(prefix);
         blob != etags_.end() && blob->first.starts_with(prefix); ++blob) {
      segments.insert(FirstSegment(std::string_view(blob->first).substr(prefix.size())));
    }
    names.assign(segments.begin(), segments.end());
  } else {
    ASR_TRY(names, ListLevel(prefix));
  }
  std::erase_if(names, [](const std::string& name) { return IsReservedSegment(name); });
  return names;
}

// Several at a time: each takes the way there and back.
void AzureView::Read(const std::vector<std::string>& names, const std::vector<std::size_t>& unknown,
                     std::vector<Result<std::string>>& texts) {
  std::vector<std::optional<Result<FetchedDocument>>> fetched(unknown.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < unknown.size(); i = next++) {
      fetched[i] = Fetch(client_, names[unknown[i]]);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(kMostAtOnce, unknown.size()); ++i) {
      threads.emplace_back(work);
    }
    work();
  }
  std::vector<CachedDocument> documents;
  for (std::size_t i = 0; i < unknown.size(); ++i) {
    Result<FetchedDocument>& document = *fetched[i];
    if (!document) {
      texts[unknown[i]] = Fail(std::move(document).error());
      continue;
    }
    texts[unknown[i]] = document->text;
    documents.push_back({.name = names[unknown[i]],
                         .etag = std::move(document->etag),
                         .text = std::move(document->text)});
  }
  cache_.Put(documents);
}

// What is not known is left over in `unknown`.
void AzureView::Find(const std::vector<std::string>& names, std::vector<std::size_t>& unknown,
                     std::vector<Result<std::string>>& texts) {
  std::vector<CachedDocument> wanted;
  for (const std::size_t i : unknown) {
    const auto listed = etags_.find(names[i]);
    wanted.push_back(
        {.name = names[i], .etag = listed == etags_.end() ? "" : listed->second, .text = ""});
  }
  auto known = cache_.Find(wanted);
  std::vector<std::size_t> rest;
  for (std::size_t k = 0; k < unknown.size(); ++k) {
    const auto listed = documents_.find(names[unknown[k]]);
    if (known[k]) {
      texts[unknown[k]] = *std::move(known[k]);
    } else if (listed != documents_.end()) {
      texts[unknown[k]] = listed->second;
    } else {
      rest.push_back(unknown[k]);
    }
  }
  unknown = std::move(rest);
}

bool AzureView::IsListingWorthIt(const std::vector<std::string>& names,
                                 const std::vector<std::size_t>& unknown) {
  if (has_listed_documents_) return false;
  for (const std::size_t i : unknown) missed_ += etags_.contains(names[i]) ? 1 : 0;
  if (missed_ <= kMostAtOnce) return false;
  const auto is_document = [](const auto& blob) { return blob.first.ends_with(".json"); };
  const auto count = static_cast<std::size_t>(std::ranges::count_if(etags_, is_document));
  return missed_ * kWorthListing >= count;
}

// False if it did not help: each is read then, which tells what is wrong.
bool AzureView::ListDocuments() {
  has_listed_documents_ = true;
  const auto listing = ListBlobs(client_, {.prefix = prefix_, .with_documents = true});
  if (!listing) return false;
  std::vector<CachedDocument> documents;
  for (const ListedBlob& blob : listing->blobs) {
    if (!etags_.contains(blob.name)) continue;
    etags_[blob.name] = blob.etag;
    if (!blob.document) continue;
    documents.push_back({.name = blob.name, .etag = blob.etag, .text = *blob.document});
    documents_[blob.name] = *blob.document;
  }
  cache_.Put(documents);
  return true;
}

std::vector<Result<std::string>> AzureView::Get(const std::vector<std::string>& names) {
  std::vector<Result<std::string>> texts;
  std::vector<std::size_t> unknown;
  for (std::size_t i = 0; i < names.size(); ++i) {
    texts.emplace_back(Fail(BlobNotFound(names[i])));
    unknown.push_back(i);
  }
  Find(names, unknown, texts);
  if (IsListingWorthIt(names, unknown) && ListDocuments()) Find(names, unknown, texts);
  std::erase_if(unknown, [&](std::size_t i) {
    return knows_all_ && names[i].starts_with(prefix_) && !etags_.contains(names[i]);
  });
  Read(names, unknown, texts);
  return texts;
}

}  // namespace

Result<std::unique_ptr<BlobView>> MakeAzureView(AzureClient& client, DocumentCache& cache,
                                                const std::string& prefix, ViewDepth depth) {
  ASR_CHECK(CheckBlobPrefix(prefix));
  auto view = std::make_unique<AzureView>(client, cache, prefix);
  if (depth == ViewDepth::kAll) ASR_CHECK(view->ListAll());
  return view;
}

}  // namespace asr
