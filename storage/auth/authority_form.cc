#include "storage/auth/authority_form.h"

#include "storage/auth/secret.h"
#include "storage/http/url.h"

namespace asr {

Result<HttpResponse> PostToAuthority(HttpClient& client, const std::string& url, FormFields fields,
                                     std::string what, const std::stop_token& stop) {
  HttpRequest request;
  request.method = HttpMethod::kPost;
  request.url = url;
  request.headers.Set("content-type", "application/x-www-form-urlencoded");
  request.headers.Set("accept", "application/json");
  const Secret body(EncodeForm(fields));
  for (auto& field : fields) Secret(std::move(field.second));
  request.body = AsBytes(body.Reveal());
  HttpCall call;
  call.what = std::move(what);
  call.expected = {400, 401, 403, 404};
  return client.Send(std::move(request), call, stop);
}

}  // namespace asr
