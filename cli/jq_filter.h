// A jq program over a result (--jq EXPR), through libjq.
#pragma once

#include <memory>
#include <string>

#include "cli/render.h"
#include "storage/base/result.h"

struct jq_state;

namespace asr {

// Not for use by several threads at once.
class JqFilter {
 public:
  // kUsage if `program` is not one; nothing of it is run yet.
  [[nodiscard]] static Result<JqFilter> Compile(const std::string& program);

  // What the program gives for `value`, one result a line: a string as it is, all else as JSON in
  // one line. Numbers are of double precision: integers are exact to 2^53. kIo with what the
  // program says is wrong; then there is no result at all.
  [[nodiscard]] Result<std::string> Run(const Json& value);

 private:
  struct Teardown {
    void operator()(jq_state* state) const;
  };
  explicit JqFilter(std::string program) : program_(std::move(program)) {}

  std::string program_;
  std::unique_ptr<jq_state, Teardown> state_;
};

}  // namespace asr
