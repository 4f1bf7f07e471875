#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/values.h"
#include "cli/views.h"
#include "storage/base/text.h"

namespace asr {
namespace {

struct UnpinOptions {
  std::string vm;
  std::string pin;
};

Json PinJson(const Pin& pin) {
  Json json;
  json["id"] = pin.id.value;
  json["point"] = pin.point.value;
  json["reader"] = pin.reader;
  json["until"] = pin.until ? Json(FormatTime(*pin.until)) : Json(nullptr);
  return json;
}

Status RunPins(Session& session, const std::string& vm) {
  ASR_TRY(const Item item, session.FindItem(vm));
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const PinListing listing, vault->ListPins(item.id, session.Now()));
  for (const Error& error : listing.unreadable) session.Warn(error.Line());
  Json list = Json::array();
  for (const Pin& pin : listing.pins) list.push_back(PinJson(pin));
  session.Print(list, PinView());
  if (list.empty() && listing.unreadable.empty()) session.Note("No recovery point is pinned.");
  return {};
}

Status RunUnpin(Session& session, const UnpinOptions& options) {
  ASR_CHECK(CheckName("PIN", options.pin));
  const std::string loss =
      fmt::format("lets retention remove what pin {} keeps for its reader", options.pin);
  ASR_CHECK(session.RequireAnswer(loss));
  ASR_TRY(const Item item, session.FindItem(options.vm));
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const bool exists, vault->HasPin(item.id, {options.pin}));
  if (!exists) {
    ASR_TRY(const PinListing listing, vault->ListPins(item.id, session.Now()));
    std::vector<std::string> ids;
    for (const Pin& pin : listing.pins) ids.push_back(pin.id.value);
    const std::string nearest = NearestName(options.pin, ids);
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kPointNotFound,
                          fmt::format("VM {} has no pin '{}'{}", item.name, options.pin,
                                      nearest.empty() ? "" : "; did you mean '" + nearest + "'?"))
                    .WithCause("its reader has ended and removed it")
                    .WithAction("see what there is: asr points pins " + ShellQuote(item.name)));
  }
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back({.step = "Remove pin " + options.pin, .item = item.name, .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_CHECK(session.Confirm(loss));
  return vault->UnpinPoint(item.id, {options.pin});
}

}  // namespace

void AddPinCommands(std::vector<Command>& commands) {
  commands.push_back({"points pins", HelpGroup::kRecover,
                      "List who keeps which recovery points, and until when", "points pins web",
                      [](VerbArguments& arguments) -> VerbRunner {
                        const auto vm = std::make_shared<std::string>();
                        arguments.Required("VM", *vm, "its name, or HOST/NAME", ValueKind::kItem);
                        return [vm](Session& session) { return RunPins(session, *vm); };
                      }});
  commands.push_back(
      {"points unpin", HelpGroup::kRecover, "Remove the pin of a reader that is gone",
       "points unpin web 0123456789ab", [](VerbArguments& arguments) -> VerbRunner {
         const auto options = std::make_shared<UnpinOptions>();
         arguments.Required("VM", options->vm, "its name, or HOST/NAME", ValueKind::kItem)
             .Required("PIN", options->pin, "its id (asr points pins)", ValueKind::kFree);
         return [options](Session& session) { return RunUnpin(session, *options); };
       }});
}

}  // namespace asr
