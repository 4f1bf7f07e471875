#include "tests/support/page_blob_server/service_error.h"

#include <algorithm>
#include <array>

namespace asr::testing::page_blob {
namespace {

struct KnownError {
  std::string_view code;
  int status;
  std::string_view message;
};

constexpr std::array kKnownErrors = {
    KnownError{"AuthenticationFailed", 403,
               "Server failed to authenticate the request. Make sure the value of Authorization "
               "header is formed correctly including the signature."},
    KnownError{"AuthorizationFailure", 403,
               "This request is not authorized to perform this operation."},
    KnownError{"AuthorizationPermissionMismatch", 403,
               "This request is not authorized to perform this operation using this permission."},
    KnownError{"AuthorizationProtocolMismatch", 403,
               "This request is not authorized to perform this operation using this protocol."},
    KnownError{"AuthorizationResourceTypeMismatch", 403,
               "This request is not authorized to perform this operation using this resource "
               "type."},
    KnownError{"AuthorizationServiceMismatch", 403,
               "This request is not authorized to perform this operation using this service."},
    KnownError{"AuthorizationSourceIPMismatch", 403,
               "This request is not authorized to perform this operation using this source IP."},
    KnownError{"UnauthorizedBlobOverwrite", 403,
               "This request is not authorized to perform blob overwrites."},
    KnownError{"AccountIsDisabled", 403, "The specified account is disabled."},
    KnownError{"NoAuthenticationInformation", 401,
               "Server failed to authenticate the request. Please refer to the information in the "
               "www-authenticate header."},
    KnownError{"InvalidAuthenticationInfo", 401,
               "Server failed to authenticate the request. Please refer to the information in the "
               "www-authenticate header."},
    KnownError{"ResourceNotFound", 404, "The specified resource does not exist."},
    KnownError{"ContainerNotFound", 404, "The specified container does not exist."},
    KnownError{"BlobNotFound", 404, "The specified blob does not exist."},
    KnownError{"CannotVerifyCopySource", 404, "Could not verify the copy source."},
    KnownError{"ContainerAlreadyExists", 409, "The specified container already exists."},
    KnownError{"ContainerBeingDeleted", 409,
               "The specified container is being deleted. Try operation later."},
    KnownError{"PublicAccessNotPermitted", 409,
               "Public access is not permitted on this storage account."},
    KnownError{"BlobAlreadyExists", 409, "The specified blob already exists."},
    KnownError{"BlobOverwritten", 409,
               "The blob has been recreated since the previous snapshot was taken."},
    KnownError{"InvalidBlobType", 409, "The blob type is invalid for this operation."},
    KnownError{"SnapshotsPresent", 409,
               "This operation is not permitted because the blob has snapshots."},
    KnownError{"SnapshotCountExceeded", 409, "The snapshot count against this blob is exceeded."},
    KnownError{"SnapshotOperationRateExceeded", 409,
               "The rate of snapshot operations against this blob is exceeded."},
    KnownError{"PreviousSnapshotNotFound", 409, "The previous snapshot is not found."},
    KnownError{"PreviousSnapshotOperationNotSupported", 409,
               "Differential Get Page Ranges is not supported on the previous snapshot."},
    KnownError{"PreviousSnapshotCannotBeNewer", 400,
               "The prevsnapshot query parameter value cannot be newer than snapshot query "
               "parameter value."},
    KnownError{"NoPendingCopyOperation", 409, "There is currently no pending copy operation."},
    KnownError{"SequenceNumberIncrementTooLarge", 409,
               "The sequence number increment cannot be performed because it would result in "
               "overflow of the sequence number."},
    KnownError{"LeaseAlreadyPresent", 409, "There is already a lease present."},
    KnownError{"LeaseIdMismatchWithLeaseOperation", 409,
               "The lease ID specified did not match the lease ID for the blob."},
    KnownError{"LeaseNotPresentWithLeaseOperation", 409,
               "There is currently no lease on the blob."},
    KnownError{"LeaseIsBrokenAndCannotBeRenewed", 409,
               "The lease ID matched, but the lease has been broken explicitly and cannot be "
               "renewed."},
    KnownError{"LeaseIsBreakingAndCannotBeAcquired", 409,
               "The lease ID matched, but the lease is currently in breaking state and cannot be "
               "acquired until it is broken."},
    KnownError{"LeaseIsBreakingAndCannotBeChanged", 409,
               "The lease ID matched, but the lease is currently in breaking state and cannot be "
               "changed."},
    KnownError{"LeaseIdMissing", 412,
               "There is currently a lease on the blob and no lease ID was specified in the "
               "request."},
    KnownError{"LeaseIdMismatchWithBlobOperation", 412,
               "The lease ID specified did not match the lease ID for the blob."},
    KnownError{"LeaseLost", 412,
               "A lease ID was specified, but the lease for the blob has expired."},
    KnownError{"LeaseNotPresentWithBlobOperation", 412, "There is currently no lease on the blob."},
    KnownError{"ConditionNotMet", 412,
               "The condition specified using HTTP conditional header(s) is not met."},
    KnownError{"SourceConditionNotMet", 412,
               "The source condition specified using HTTP conditional header(s) is not met."},
    KnownError{"SequenceNumberConditionNotMet", 412,
               "The sequence number condition specified was not met."},
    KnownError{"RequestBodyTooLarge", 413,
               "The request body is too large and exceeds the maximum permissible limit."},
    KnownError{"MissingContentLengthHeader", 411, "Content-Length HTTP header was not specified."},
    KnownError{"InvalidPageRange", 416, "The page range specified is invalid."},
    KnownError{"InvalidRange", 416,
               "The range specified is invalid for the current size of the resource."},
    KnownError{"InvalidUri", 400, "The requested URI does not represent any resource."},
    KnownError{"InvalidHttpVerb", 405, "The HTTP verb specified is invalid."},
    KnownError{"UnsupportedHttpVerb", 405, "The resource doesn't support specified Http Verb."},
    KnownError{"InvalidInput", 400, "One of the request inputs is not valid."},
    KnownError{"InvalidXmlDocument", 400, "The specified XML is not syntactically valid."},
    KnownError{"InvalidResourceName", 400,
               "The specified resource name contains invalid characters."},
    KnownError{"OutOfRangeInput", 400, "One of the request inputs is out of range."},
    KnownError{"InvalidHeaderValue", 400,
               "The value for one of the HTTP headers is not in the correct format."},
    KnownError{"MissingRequiredHeader", 400,
               "An HTTP header that's mandatory for this request is not specified."},
    KnownError{"UnsupportedHeader", 400,
               "One of the HTTP headers specified in the request is not supported."},
    KnownError{"InvalidQueryParameterValue", 400,
               "Value for one of the query parameters specified in the request URI is invalid."},
    KnownError{"OutOfRangeQueryParameterValue", 400,
               "One of the query parameters specified in the request URI is outside the "
               "permissible range."},
    KnownError{"MissingRequiredQueryParameter", 400,
               "A query parameter that's mandatory for this request is not specified."},
    KnownError{"UnsupportedQueryParameter", 400,
               "One of the query parameters specified in the request URI is not supported."},
    KnownError{"InvalidMd5", 400,
               "The MD5 value specified in the request is invalid. MD5 value must be 128 bits and "
               "base64-encoded."},
    KnownError{"Md5Mismatch", 400,
               "The MD5 value specified in the request did not match with the MD5 value calculated "
               "by the server."},
    KnownError{"Crc64Mismatch", 400,
               "The CRC64 value specified in the request did not match with the CRC64 value "
               "calculated by the server."},
    KnownError{"BothCrc64AndMd5HeaderPresent", 400,
               "Both x-ms-content-crc64 header and content-md5 header are present."},
    KnownError{"MetadataTooLarge", 400,
               "The size of the specified metadata exceeds the maximum size permitted."},
    KnownError{"InvalidMetadata", 400,
               "The specified metadata is invalid. It includes characters that are not permitted."},
    KnownError{"EmptyMetadataKey", 400,
               "The key for one of the metadata key-value pairs is empty."},
    KnownError{"InternalError", 500,
               "The server encountered an internal error. Please retry the request."},
    KnownError{"OperationTimedOut", 500,
               "Operation could not be completed within the specified time."},
    KnownError{"NotImplemented", 501,
               "The specified resource does not do the requested operation."},
    KnownError{"ServerBusy", 503, "The server is busy."},
};

const KnownError* Find(std::string_view code) {
  const auto* const found = std::ranges::find(kKnownErrors, code, &KnownError::code);
  return found == kKnownErrors.end() ? nullptr : found;
}

}  // namespace

int StatusOf(const ServiceError& error) {
  if (error.status != 0) return error.status;
  const KnownError* const known = Find(error.code);
  return known == nullptr ? 500 : known->status;
}

std::string_view MessageOf(const ServiceError& error) {
  const KnownError* const known = Find(error.code);
  return known == nullptr ? "" : known->message;
}

bool IsKnownCode(std::string_view code) { return Find(code) != nullptr; }

void Refuse(std::string_view code) { throw ServiceError{std::string(code), {}, {}}; }

void RefuseHeader(std::string_view code, std::string_view header, std::string_view value) {
  ServiceError error{std::string(code), {{"HeaderName", std::string(header)}}, {}};
  if (!value.empty()) error.details.emplace_back("HeaderValue", value);
  throw error;
}

void RefuseQuery(std::string_view code, std::string_view parameter, std::string_view value) {
  ServiceError error{std::string(code), {{"QueryParameterName", std::string(parameter)}}, {}};
  if (!value.empty()) error.details.emplace_back("QueryParameterValue", value);
  throw error;
}

void RefuseAuthentication(std::string detail) {
  throw ServiceError{
      "AuthenticationFailed", {{"AuthenticationErrorDetail", std::move(detail)}}, {}};
}

}  // namespace asr::testing::page_blob
