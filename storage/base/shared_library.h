// A library that is loaded when it is first needed.
#pragma once

#include <dlfcn.h>

namespace asr {

// It stays loaded. For one thread.
class SharedLibrary {
 public:
  explicit SharedLibrary(const char* name) : handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}

  // Sets `function` to the symbol of that name.
  template <class Function>
  SharedLibrary& Find(const char* name, Function& function) {
    function = handle_ == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(handle_, name));
    has_all_ = has_all_ && function != nullptr;
    return *this;
  }
  // The library is there, and had every symbol that was asked for.
  [[nodiscard]] bool has_all() const { return handle_ != nullptr && has_all_; }

 private:
  void* handle_;
  bool has_all_ = true;
};

}  // namespace asr
