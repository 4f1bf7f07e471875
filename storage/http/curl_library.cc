#include "storage/http/curl_library.h"

#include <dlfcn.h>

namespace asr {
namespace {

template <class Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool FindAll(void* library, CurlLibrary& curl) {
  return Find(library, "curl_global_init", curl.global_init) &&
         Find(library, "curl_easy_init", curl.easy_init) &&
         Find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
         Find(library, "curl_easy_reset", curl.easy_reset) &&
         Find(library, "curl_easy_setopt", curl.easy_setopt) &&
         Find(library, "curl_easy_getinfo", curl.easy_getinfo) &&
         Find(library, "curl_easy_strerror", curl.easy_strerror) &&
         Find(library, "curl_slist_append", curl.slist_append) &&
         Find(library, "curl_slist_free_all", curl.slist_free_all) &&
         Find(library, "curl_multi_init", curl.multi_init) &&
         Find(library, "curl_multi_cleanup", curl.multi_cleanup) &&
         Find(library, "curl_multi_setopt", curl.multi_setopt) &&
         Find(library, "curl_multi_add_handle", curl.multi_add_handle) &&
         Find(library, "curl_multi_remove_handle", curl.multi_remove_handle) &&
         Find(library, "curl_multi_perform", curl.multi_perform) &&
         Find(library, "curl_multi_poll", curl.multi_poll) &&
         Find(library, "curl_multi_wakeup", curl.multi_wakeup) &&
         Find(library, "curl_multi_info_read", curl.multi_info_read);
}

const CurlLibrary* Load() {
  static CurlLibrary curl{};
  void* library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr || !FindAll(library, curl)) return nullptr;
  return curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? &curl : nullptr;
}

}  // namespace

Result<const CurlLibrary*> LoadCurlLibrary() {
  static const CurlLibrary* const loaded = Load();
  if (loaded != nullptr) return loaded;
  return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kUnreachable,
                        "servers are reached through libcurl 7.88 or newer, which is not installed")
                  .WithAction("install it: apt install libcurl4"));
}

}  // namespace asr
