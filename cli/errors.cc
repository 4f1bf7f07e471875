#include "cli/errors.h"

#include <fmt/format.h>

#include "cli/text_format.h"

namespace asr {
namespace {

// A person who interrupted a job wants to know whether anything is lost.
std::string ActionOf(const Error& error) {
  if (!error.action.empty()) return error.action;
  if (error.kind == ErrorKind::kCancelled) {
    return "nothing is lost; run the same command again, it goes on where it was";
  }
  if (error.kind == ErrorKind::kInternal) {
    return "this is a fault of asr itself: report it with this message and the command";
  }
  return error.retryable ? "run the same command again" : "";
}

}  // namespace

Json ErrorJson(const Error& error) {
  Json json;
  json["code"] = error.CodeText();
  json["message"] = error.Line();
  json["causes"] = error.causes;
  json["action"] = ActionOf(error);
  json["retryable"] = error.retryable;
  return json;
}

std::string ErrorText(const Error& error, bool colour) {
  std::string text = fmt::format("{}ERROR {}{}: {}\n", colour ? "\x1b[31m" : "", error.CodeText(),
                                 colour ? "\x1b[0m" : "", Printable(error.Line()));
  for (const std::string& cause : error.causes) {
    text += fmt::format("Likely cause: {}\n", Printable(cause));
  }
  if (const std::string action = ActionOf(error); !action.empty()) {
    text += fmt::format("What to do: {}\n", Printable(action));
  }
  return text;
}

void PrintError(std::ostream& err, const Error& error, OutputFormat format, bool colour) {
  if (format == OutputFormat::kJson) {
    Json json;
    json["error"] = ErrorJson(error);
    err << CompactJson(json) << "\n";
  } else {
    err << ErrorText(error, colour);
  }
  err.flush();
}

}  // namespace asr
