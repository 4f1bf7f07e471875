#include "core/source/guard_words.h"

#include <nlohmann/json.hpp>

namespace asr {

using Json = nlohmann::json;

std::string EncodeOrders(const GuardOrders& orders) {
  const Json json = {{"uri", orders.uri},
                     {"uuid", orders.uuid},
                     {"socket", orders.socket_path},
                     {"directories", orders.directories},
                     {"ownDirectories", orders.own_directories},
                     {"stallMs", orders.stall_limit.count()},
                     {"freezeMs", orders.freeze_limit.count()},
                     {"reserveBytes", orders.reserve_bytes}};
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

Result<GuardOrders> DecodeOrders(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  try {
    GuardOrders orders;
    orders.uri = json.at("uri").get<std::string>();
    orders.uuid = json.at("uuid").get<std::string>();
    orders.socket_path = json.at("socket").get<std::string>();
    orders.directories = json.at("directories").get<std::vector<std::string>>();
    // An agent of an older version, which still runs, does not name them.
    orders.own_directories = json.value("ownDirectories", std::vector<std::string>{});
    orders.stall_limit = std::chrono::milliseconds(json.at("stallMs").get<std::int64_t>());
    orders.freeze_limit = std::chrono::milliseconds(json.at("freezeMs").get<std::int64_t>());
    orders.reserve_bytes = json.at("reserveBytes").get<std::uint64_t>();
    return orders;
  } catch (const Json::exception&) {
    return Fail(ErrorKind::kCorrupt, ErrorCode::kInternal, "these are no orders for a guard");
  }
}

}  // namespace asr
