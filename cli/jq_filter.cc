#include "cli/jq_filter.h"

#include <fmt/format.h>

// The library's headers are C, and do not say so.
extern "C" {
#include <jq.h>
}

namespace asr {
namespace {

// Owns one reference to a value of libjq, whose functions consume the references they are given.
class Value {
 public:
  explicit Value(jv value) : value_(value) {}
  ~Value() { jv_free(value_); }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  // For a function that consumes it.
  [[nodiscard]] jv Copy() const { return jv_copy(value_); }
  [[nodiscard]] jv_kind kind() const { return jv_get_kind(value_); }

  // A string as it is, all else as JSON in one line.
  [[nodiscard]] std::string Text() const {
    const Value text(kind() == JV_KIND_STRING ? Copy() : jv_dump_string(Copy(), 0));
    return {jv_string_value(text.value_),
            static_cast<std::size_t>(jv_string_length_bytes(text.Copy()))};
  }

 private:
  jv value_;
};

void Collect(void* lines, jv message) {
  auto& text = *static_cast<std::string*>(lines);
  if (!text.empty()) text += "; ";
  for (const char c : Value(message).Text()) text += c == '\n' ? ' ' : c;
}

Error RunError(const std::string& program, const std::string& why) {
  return MakeError(ErrorKind::kIo, ErrorCode::kFilter,
                   fmt::format("--jq '{}' failed on the result: {}", program, why))
      .WithAction("look at the whole result with -o json; the command itself was carried out");
}

}  // namespace

void JqFilter::Teardown::operator()(jq_state* state) const { jq_teardown(&state); }

Result<JqFilter> JqFilter::Compile(const std::string& program) {
  JqFilter filter(program);
  filter.state_.reset(jq_init());
  if (!filter.state_) {
    return Fail(MakeError(ErrorKind::kInternal, ErrorCode::kInternal, "libjq does not start"));
  }
  // A program that imports others is refused, and not looked for anywhere: libjq cannot do without.
  jq_set_attr(filter.state_.get(), jv_string("JQ_LIBRARY_PATH"), jv_array());
  std::string why;
  jq_set_error_cb(filter.state_.get(), Collect, &why);
  const bool compiled = jq_compile(filter.state_.get(), program.c_str()) != 0;
  jq_set_error_cb(filter.state_.get(), nullptr, nullptr);
  if (compiled) return filter;
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        fmt::format("option --jq: '{}' is not a jq program: {}", program, why))
                  .WithAction("give one like --jq '.[].name'; jq(1) describes the language"));
}

Result<std::string> JqFilter::Run(const Json& value) {
  const std::string text = CompactJson(value);
  jv parsed = jv_parse_sized(text.data(), static_cast<int>(text.size()));
  if (!jv_is_valid(parsed)) {
    jv_free(parsed);
    return Fail(RunError(program_, "the result is no JSON that libjq reads"));
  }
  jq_start(state_.get(), parsed, 0);
  std::string lines;
  while (true) {
    const Value result(jq_next(state_.get()));
    if (result.kind() != JV_KIND_INVALID) {
      lines += result.Text() + "\n";
      continue;
    }
    if (jq_halted(state_.get()) != 0) {
      const Value code(jq_get_exit_code(state_.get()));
      if (code.kind() != JV_KIND_NUMBER || code.Text() == "0") return lines;
      return Fail(RunError(program_, Value(jq_get_error_message(state_.get())).Text()));
    }
    if (jv_invalid_has_msg(result.Copy()) == 0) return lines;
    return Fail(RunError(program_, Value(jv_invalid_get_msg(result.Copy())).Text()));
  }
}

}  // namespace asr
