#include "cli/application.h"

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/completion.h"
#include "cli/errors.h"
#include "cli/exit_codes.h"
#include "cli/session.h"

namespace asr {
namespace {

Status PrintVersion(Session& session, std::ostream& out) {
  if (session.format() == OutputFormat::kTable) {
    out << "asr " ASR_VERSION "\n";
    return {};
  }
  Json json;
  json["version"] = ASR_VERSION;
  View view;
  view.columns = {{.header = "Version", .pointer = "/version"}};
  session.Print(json, view);
  return {};
}

Status PrintHelp(const std::vector<std::string>& words, std::ostream& out) {
  ASR_TRY(const std::string text, HelpText(words));
  out << text;
  return {};
}

Status Dispatch(Session& session, const SplitArguments& split, std::ostream& out) {
  ASR_CHECK(split.status);
  ASR_CHECK(session.CompileFilter());
  std::vector<std::string> words = split.rest;
  if (split.options.version) return PrintVersion(session, out);
  const bool asks_for_help = !words.empty() && words.front() == "help";
  if (asks_for_help) words.erase(words.begin());
  if (split.options.help || asks_for_help || words.empty()) return PrintHelp(words, out);
  return RunVerb(session, words);
}

// A result that did not reach its reader is no success.
Status FlushResult(std::ostream& out) {
  out.flush();
  if (out) return {};
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo, "cannot write the result to stdout")
                  .WithCause("the disk is full, or the reader is gone"));
}

}  // namespace

int RunCommandLine(const std::vector<std::string>& arguments, CliContext& context) {
  if (IsCompletionCall(arguments)) {
    PrintCompletions(arguments, context);
    context.out.flush();
    return kExitDone;
  }
  const SplitArguments split = TakeGlobalOptions(arguments, context.environment);
  Session session(context, split.options, arguments);
  Status status = Dispatch(session, split, context.out);
  if (status) status = session.print_status();
  const Status flushed = FlushResult(context.out);
  if (status && !flushed) status = flushed;
  if (status) {
    session.Debug("done");
    return kExitDone;
  }
  PrintError(context.err, status.error(), session.format(), session.colour_on_err());
  return ExitCodeOf(status.error().kind);
}

}  // namespace asr
