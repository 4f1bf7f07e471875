// The refusals of the service, with the codes and statuses that it answers.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asr::testing::page_blob {

// Thrown where a request is found to be wrong, caught in one place, which answers it.
struct ServiceError {
  std::string code;  // one of the table in service_error.cc
  // Further elements of the body ("HeaderName", "AuthenticationErrorDetail").
  std::vector<std::pair<std::string, std::string>> details;
  std::vector<std::pair<std::string, std::string>> headers;
  int status = 0;  // another than the table's; 0: the table's
};

[[nodiscard]] int StatusOf(const ServiceError& error);
[[nodiscard]] std::string_view MessageOf(const ServiceError& error);
// True if the table knows it.
[[nodiscard]] bool IsKnownCode(std::string_view code);

// Each throws.
[[noreturn]] void Refuse(std::string_view code);
[[noreturn]] void RefuseHeader(std::string_view code, std::string_view header,
                               std::string_view value = "");
[[noreturn]] void RefuseQuery(std::string_view code, std::string_view parameter,
                              std::string_view value = "");
// 403 AuthenticationFailed, with what the service says in AuthenticationErrorDetail.
[[noreturn]] void RefuseAuthentication(std::string detail);

}  // namespace asr::testing::page_blob
