// A text that nothing prints.
#pragma once

#include <openssl/crypto.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace asr {

// Has no formatter and no operator<<, so that it cannot get into a message by accident; wiped when
// it is gone.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      Wipe();
      text_ = other.text_;
    }
    return *this;
  }
  // A short text lies inside of the object: moving would leave a copy behind.
  Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { other.Wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      Wipe();
      text_ = std::move(other.text_);
      other.Wipe();
    }
    return *this;
  }
  ~Secret() { Wipe(); }

  // The text itself, for signing and sending; not for messages.
  [[nodiscard]] std::string_view Reveal() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;
  // What GoogleTest shows in place of its bytes.
  friend void PrintTo(const Secret& /*secret*/, std::ostream* out) { *out << "(secret)"; }

 private:
  void Wipe() {
    text_.resize(text_.capacity());
    OPENSSL_cleanse(text_.data(), text_.size());
    text_.clear();
  }

  std::string text_;
};

}  // namespace asr
