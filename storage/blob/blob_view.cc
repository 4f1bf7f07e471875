// The view of a store in which a request costs little: each question is asked of the store.
#include "storage/blob/blob_store.h"

namespace asr {
namespace {

class PlainView : public BlobView {
 public:
  explicit PlainView(BlobStore& store) : store_(store) {}
  [[nodiscard]] Result<std::vector<std::string>> ListNames(const std::string& prefix) override {
    return store_.ListNames(prefix);
  }
  [[nodiscard]] std::vector<Result<std::string>> Get(
      const std::vector<std::string>& names) override {
    std::vector<Result<std::string>> texts;
    texts.reserve(names.size());
    for (const std::string& name : names) texts.push_back(store_.Get(name));
    return texts;
  }

 private:
  BlobStore& store_;
};

}  // namespace

Result<std::unique_ptr<BlobView>> BlobStore::View(const std::string&, ViewDepth) {
  return std::make_unique<PlainView>(*this);
}

}  // namespace asr
