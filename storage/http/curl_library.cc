#include "storage/http/curl_library.h"

#include "storage/base/shared_library.h"

namespace asr {
namespace {

bool FindAll(SharedLibrary library, CurlLibrary& curl) {
  return library.Find("curl_global_init", curl.global_init)
      .Find("curl_easy_init", curl.easy_init)
      .Find("curl_easy_cleanup", curl.easy_cleanup)
      .Find("curl_easy_reset", curl.easy_reset)
      .Find("curl_easy_setopt", curl.easy_setopt)
      .Find("curl_easy_getinfo", curl.easy_getinfo)
      .Find("curl_easy_strerror", curl.easy_strerror)
      .Find("curl_slist_append", curl.slist_append)
      .Find("curl_slist_free_all", curl.slist_free_all)
      .Find("curl_multi_init", curl.multi_init)
      .Find("curl_multi_cleanup", curl.multi_cleanup)
      .Find("curl_multi_setopt", curl.multi_setopt)
      .Find("curl_multi_add_handle", curl.multi_add_handle)
      .Find("curl_multi_remove_handle", curl.multi_remove_handle)
      .Find("curl_multi_perform", curl.multi_perform)
      .Find("curl_multi_poll", curl.multi_poll)
      .Find("curl_multi_wakeup", curl.multi_wakeup)
      .Find("curl_multi_info_read", curl.multi_info_read)
      .has_all();
}

const CurlLibrary* Load() {
  static CurlLibrary curl{};
  if (!FindAll(SharedLibrary("libcurl.so.4"), curl)) return nullptr;
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
