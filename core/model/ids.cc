#include "core/model/ids.h"

#include "storage/base/checksum.h"

namespace asr {
namespace {

std::string RandomHex8() { return ToHex(ByteSpan(RandomBits()).first(4)); }

}  // namespace

std::string Slug(const std::string& name) {
  constexpr std::size_t kLongest = 40;
  std::string slug;
  for (const char c : name) {
    if (slug.size() >= kLongest) break;
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      slug.push_back(c);
    } else if (c >= 'A' && c <= 'Z') {
      slug.push_back(static_cast<char>(c - 'A' + 'a'));
    } else if (!slug.empty() && slug.back() != '-') {
      slug.push_back('-');
    }
  }
  while (!slug.empty() && slug.back() == '-') slug.pop_back();
  return slug.empty() ? "vm" : slug;
}

ItemId NewItemId(const std::string& vm_name) { return {Slug(vm_name) + "-" + RandomHex8()}; }

GenerationId NewGenerationId() { return {RandomHex8()}; }

}  // namespace asr
