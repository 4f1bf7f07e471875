// The arguments of one verb: declared once, for parsing, help and completion.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/value_kind.h"
#include "storage/base/result.h"

namespace asr {

// The variables given to the declaring methods must outlive Parse().
class VerbArguments {
 public:
  struct Declaration {
    enum class Kind : std::uint8_t { kPositional, kOption, kFlag };
    Kind kind = Kind::kPositional;
    std::string name;        // "VM", "--point"
    std::string value_name;  // of an option
    std::string help;
    ValueType takes = ValueKind::kFree;
    bool required = false;
    bool repeated = false;
    bool may_be_empty = false;
    std::function<void(const std::string&)> set;
  };

  VerbArguments& Required(const std::string& name, std::string& value, const std::string& help,
                          ValueType takes);
  VerbArguments& Optional(const std::string& name, std::string& value, const std::string& help,
                          ValueType takes);
  VerbArguments& RequiredOption(const std::string& name, const std::string& value_name,
                                std::string& value, const std::string& help, ValueType takes);
  VerbArguments& Option(const std::string& name, const std::string& value_name,
                        std::optional<std::string>& value, const std::string& help,
                        ValueType takes);
  VerbArguments& Repeated(const std::string& name, const std::string& value_name,
                          std::vector<std::string>& values, const std::string& help,
                          ValueType takes);
  VerbArguments& Flag(const std::string& name, bool& value, const std::string& help);
  // The option declared last may be given an empty value.
  VerbArguments& MayBeEmpty();

  [[nodiscard]] const std::vector<Declaration>& declarations() const { return declarations_; }
  // "VM --to DIR [--point P] [--disk D]..."
  [[nodiscard]] std::string Usage() const;
  // "VM", "--to DIR", "[--point P]", "[--disk D]..."
  [[nodiscard]] std::vector<std::string> UsageParts() const;

  // Sets the variables. kUsage for what is missing, unknown (with the nearest option), given twice,
  // empty, or none of the words that are possible; `command` ("vault create") names the verb in the
  // error.
  [[nodiscard]] Status Parse(const std::string& command, const std::vector<std::string>& arguments);

 private:
  VerbArguments& Add(Declaration declaration);
  std::vector<Declaration> declarations_;
};

}  // namespace asr
