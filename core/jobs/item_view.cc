#include "core/jobs/item_view.h"

#include <nlohmann/json.hpp>

#include "core/vault/documents.h"

namespace asr {

std::string ItemViewToJson(const ItemView& view) {
  nlohmann::json json;
  json["vault"] = EncodeIdentity(view.vault);
  json["item"] = EncodeItem(view.item);
  json["policy"] = EncodePolicy(view.policy);
  return json.dump();
}

Result<ItemView> ItemViewFromJson(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto part = [&](const char* name) {
    const auto found = json.is_object() ? json.find(name) : json.end();
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
  };
  ItemView view;
  ASR_TRY(view.vault, DecodeIdentity("vault", part("vault")));
  ASR_TRY(view.item, DecodeItem("item", part("item")));
  ASR_TRY(view.policy, DecodePolicy("policy", part("policy")));
  return view;
}

}  // namespace asr
