// Reads the fields of a JSON document that nobody vouches for. The first wrong field is remembered;
// until then and after, getters return values, so that a decoder reads as a list of fields.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "core/model/digest.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

class DocumentReader {
 public:
  // `name` is the blob's, for errors. Not an object, a version above `newest_version`,
  // or another checksum than the text's: an error.
  [[nodiscard]] static Result<DocumentReader> Parse(const std::string& name,
                                                    const std::string& text, int newest_version);

  [[nodiscard]] bool Has(const std::string& key) const;
  [[nodiscard]] std::string Text(const std::string& key);
  [[nodiscard]] std::string TextOr(const std::string& key, const std::string& fallback);
  [[nodiscard]] std::uint64_t Unsigned(const std::string& key);
  [[nodiscard]] std::uint64_t UnsignedOr(const std::string& key, std::uint64_t fallback);
  [[nodiscard]] Timestamp Time(const std::string& key);
  [[nodiscard]] std::optional<Timestamp> OptionalTime(const std::string& key);
  [[nodiscard]] std::optional<bool> OptionalBool(const std::string& key);
  [[nodiscard]] std::optional<double> OptionalNumber(const std::string& key);
  [[nodiscard]] Bits128 HexBits(const std::string& key);
  // An array of objects; each is read with a reader of its own, whose problem becomes this one's.
  [[nodiscard]] std::vector<DocumentReader> Objects(const std::string& key);
  [[nodiscard]] DocumentReader Object(const std::string& key);
  [[nodiscard]] std::vector<std::string> Texts(const std::string& key);

  // Takes over the first problem of an element.
  void Adopt(const DocumentReader& element);
  // kCorrupt (kVaultFormat) naming document and field, if any field was wrong.
  [[nodiscard]] Status status() const;
  void Reject(const std::string& key, const std::string& wanted);

 private:
  DocumentReader(std::string name, nlohmann::json json);
  const nlohmann::json* Find(const std::string& key) const;

  std::string name_;
  nlohmann::json json_;
  std::string problem_;
};

}  // namespace asr
