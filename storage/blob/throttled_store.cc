#include "storage/blob/throttled_store.h"

#include <utility>

#include "storage/blob/forwarding_store.h"

namespace asr {
namespace {

class ThrottledPageBlob : public ForwardingPageBlob {
 public:
  ThrottledPageBlob(std::unique_ptr<PageBlob> base, const AdmitBytes& admit)
      : ForwardingPageBlob(std::move(base)), admit_(admit) {}

  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    ASR_CHECK(admit_(bytes.size()));
    return base().Write(offset_bytes, bytes);
  }

 private:
  const AdmitBytes admit_;
};

class ThrottledStore : public ForwardingStore {
 public:
  ThrottledStore(std::shared_ptr<BlobStore> base, AdmitBytes admit)
      : ForwardingStore(std::move(base)), admit_(std::move(admit)) {}

  Status Put(const std::string& name, ByteSpan bytes, PutCondition condition) override {
    ASR_CHECK(admit_(bytes.size()));
    return base().Put(name, bytes, condition);
  }
  Result<std::unique_ptr<PageBlob>> CreatePageBlob(const std::string& name,
                                                   std::uint64_t size_bytes) override {
    ASR_TRY(auto blob, base().CreatePageBlob(name, size_bytes));
    return Wrap(std::move(blob));
  }
  Result<std::unique_ptr<PageBlob>> OpenPageBlob(const std::string& name) override {
    ASR_TRY(auto blob, base().OpenPageBlob(name));
    return Wrap(std::move(blob));
  }

 private:
  Result<std::unique_ptr<PageBlob>> Wrap(std::unique_ptr<PageBlob> blob) {
    return std::unique_ptr<PageBlob>(std::make_unique<ThrottledPageBlob>(std::move(blob), admit_));
  }

  const AdmitBytes admit_;
};

}  // namespace

std::unique_ptr<BlobStore> ThrottleStore(std::shared_ptr<BlobStore> store, AdmitBytes admit) {
  return std::make_unique<ThrottledStore>(std::move(store), std::move(admit));
}

}  // namespace asr
