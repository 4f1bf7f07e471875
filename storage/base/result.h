// Result<T>: a value or an Error. Status: nothing or an Error.
#pragma once

#include <utility>

#include <tl/expected.hpp>

#include "storage/base/error.h"

namespace asr {

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> Fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

[[nodiscard]] inline tl::unexpected<Error> Fail(ErrorKind kind, ErrorCode code,
                                                std::string message) {
  return tl::unexpected<Error>(MakeError(kind, code, std::move(message)));
}

}  // namespace asr

#define ASR_CONCAT_INNER(a, b) a##b
#define ASR_CONCAT(a, b) ASR_CONCAT_INNER(a, b)
#define ASR_TRY_INNER(result, declaration, ...)               \
  auto result = (__VA_ARGS__);                                \
  if (!result) return ::asr::Fail(std::move(result).error()); \
  declaration = *std::move(result)

// ASR_TRY(auto file, fs.Open(path)): declares `file`, or returns the error to the caller.
#define ASR_TRY(declaration, ...) \
  ASR_TRY_INNER(ASR_CONCAT(asr_result_, __LINE__), declaration, __VA_ARGS__)

#define ASR_CHECK_INNER(status, ...)                            \
  do {                                                          \
    auto&& status = (__VA_ARGS__);                              \
    if (!status) return ::asr::Fail(std::move(status).error()); \
  } while (false)

// ASR_CHECK(file.Sync()): returns the error to the caller, if there is one. A counter and not the
// line names the variable, for a lambda in the argument may check things of its own.
#define ASR_CHECK(...) ASR_CHECK_INNER(ASR_CONCAT(asr_status_, __COUNTER__), __VA_ARGS__)
