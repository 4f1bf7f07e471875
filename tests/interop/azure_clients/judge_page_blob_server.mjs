// The page-blob server of the tests, judged by Microsoft's own client for JavaScript. Arguments: the
// folder of its modules (absolute), the server's URL, its account, its key, and over https a bearer
// token. Prints what is wrong and exits 1.
import assert from "node:assert/strict";
import {createRequire} from "node:module";
import path from "node:path";

const [modules, url, account, key, token] = process.argv.slice(2);
const require = createRequire(path.join(modules, "node_modules", "judge.js"));
const sdk = require("@azure/storage-blob");

const credential = new sdk.StorageSharedKeyCredential(account, key);
const options = {retryOptions: {maxTries: 1}};
const service = new sdk.BlobServiceClient(url, credential, options);
const container = service.getContainerClient("judged");
const page = 512;
const mib = 1024 * 1024;

function pattern(length, seed) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; ++i) bytes[i] = (i * 7 + seed + (i >> 9)) & 0xff;
  return bytes;
}

async function refused(status, code, action) {
  await assert.rejects(action, error => {
    assert.equal(error.statusCode, status, `${code}: got ${error.statusCode} ${error.code}`);
    assert.equal(error.code ?? error.details?.errorCode, code);
    return true;
  });
}

async function newBlob(name, size) {
  const blob = container.getPageBlobClient(name);
  await blob.create(size, {conditions: {ifNoneMatch: "*"}});
  return blob;
}

async function read(blob, offset, length) {
  return blob.downloadToBuffer(offset, length);
}

const judgements = {
  async signsEveryOrderOfMetadataNames() {
    const blob = await newBlob("metadata", page);
    // Sorted otherwise by bytes than by the service.
    const metadata = {a1: "1", a_1: "2", ab: "3", a_b: "4", a: "5", b2a: "6", b2_a: "7"};
    await blob.setMetadata(metadata);
    assert.deepEqual((await blob.getProperties()).metadata, metadata);
    await refused(400, "MetadataTooLarge", () => blob.setMetadata({a: "x".repeat(8193)}));
    await refused(400, "InvalidMetadata", () => blob.setMetadata({"a-b": "1"}));
    await refused(400, "InvalidMetadata", () => blob.setMetadata({"1b": "1"}));
  },

  async writesAndClearsPages() {
    const blob = await newBlob("pages", 8 * mib);
    await refused(409, "BlobAlreadyExists", () => blob.create(page, {conditions: {ifNoneMatch: "*"}}));
    const bytes = pattern(4 * mib, 1);
    const written = await blob.uploadPages(bytes, mib, bytes.length);
    assert.equal(Buffer.from(written.xMsContentCrc64).length, 8);
    await blob.clearPages(2 * mib, mib);
    bytes.fill(0, mib, 2 * mib);
    assert.ok((await read(blob, mib, 4 * mib)).equals(bytes));
    assert.ok((await read(blob, 0, mib)).equals(Buffer.alloc(mib)));
    const ranges = await blob.getPageRanges();
    // The client calls the distance to the last byte "count".
    assert.deepEqual(ranges.pageRange.map(run => [run.offset, run.count + 1]),
                     [[mib, mib], [3 * mib, mib], [4 * mib, mib]]);
    await refused(413, "RequestBodyTooLarge",
                  () => blob.uploadPages(Buffer.alloc(4 * mib + page), 0, 4 * mib + page));
    await refused(416, "InvalidPageRange", () => blob.uploadPages(Buffer.alloc(page), 100, page));
    await refused(416, "InvalidPageRange", () => blob.uploadPages(Buffer.alloc(page), 8 * mib, page));
    await refused(416, "InvalidPageRange", () => blob.clearPages(7 * mib, 2 * mib));
    await refused(416, "InvalidRange", () => blob.downloadToBuffer(8 * mib, page));
    await refused(400, "Md5Mismatch", () => blob.uploadPages(
        Buffer.alloc(page), 0, page, {transactionalContentMD5: Buffer.alloc(16)}));
    await refused(400, "Crc64Mismatch", () => blob.uploadPages(
        Buffer.alloc(page), 0, page, {transactionalContentCrc64: Buffer.alloc(8)}));
    await blob.uploadPages(Buffer.alloc(page, 3), 0, page,
                           {transactionalContentCrc64: Buffer.from("nkvlwPnUKHo=", "base64")});
  },

  async fencesBySequenceNumber() {
    const blob = await newBlob("sequence", mib);
    assert.equal((await blob.updateSequenceNumber("update", 7)).blobSequenceNumber, 7);
    const put = conditions => blob.uploadPages(Buffer.alloc(page, 1), 0, page, {conditions});
    await put({ifSequenceNumberEqualTo: 7});
    await put({ifSequenceNumberLessThanOrEqualTo: 7});
    await put({ifSequenceNumberLessThan: 8});
    await refused(412, "SequenceNumberConditionNotMet", () => put({ifSequenceNumberEqualTo: 6}));
    await refused(412, "SequenceNumberConditionNotMet", () => put({ifSequenceNumberLessThan: 7}));
    await refused(412, "SequenceNumberConditionNotMet",
                  () => put({ifSequenceNumberLessThanOrEqualTo: 6}));
    await refused(412, "SequenceNumberConditionNotMet", () => blob.clearPages(
        0, page, {conditions: {ifSequenceNumberEqualTo: 6}}));
    assert.equal((await blob.updateSequenceNumber("max", 3)).blobSequenceNumber, 7);
    assert.equal((await blob.updateSequenceNumber("increment")).blobSequenceNumber, 8);
    const etag = (await blob.getProperties()).etag;
    await put({ifMatch: etag});
    await refused(412, "ConditionNotMet", () => put({ifMatch: etag}));
  },

  async keepsSnapshots() {
    const blob = await newBlob("snapshots", 2 * mib);
    const old = pattern(mib, 2);
    await blob.uploadPages(old, 0, mib);
    const first = await blob.createSnapshot({metadata: {point: "one"}});
    await blob.uploadPages(pattern(page, 9), 0, page);
    await blob.resize(mib);
    const second = await blob.createSnapshot();
    const before = blob.withSnapshot(first.snapshot);
    assert.ok((await read(before, 0, mib)).equals(old));
    const properties = await before.getProperties();
    assert.equal(properties.contentLength, 2 * mib);
    assert.deepEqual(properties.metadata, {point: "one"});
    assert.ok(first.snapshot < second.snapshot);
    await refused(409, "SnapshotsPresent", () => blob.delete());
    await blob.withSnapshot(second.snapshot).delete();
    await refused(404, "BlobNotFound", () => blob.withSnapshot(second.snapshot).getProperties());
    await blob.delete({deleteSnapshots: "only"});
    await blob.delete();
    await refused(404, "BlobNotFound", () => blob.getProperties());
  },

  async tellsWhatChangedSinceASnapshot() {
    const blob = await newBlob("diff", 64 * mib);
    await blob.uploadPages(pattern(4 * mib, 1), 0, 4 * mib);
    const first = await blob.createSnapshot();
    await blob.uploadPages(pattern(page, 5), 0, page);
    await blob.clearPages(page, page);
    await blob.uploadPages(pattern(4 * mib, 1).subarray(2 * page, 3 * page), 2 * page, page);
    await blob.clearPages(10 * page, page);
    await blob.uploadPages(pattern(page, 5), 40 * mib, page);
    const runs = [];
    for await (const run of blob.listPageRangesDiff(0, 64 * mib, first.snapshot)) runs.push(run);
    const one = (offset, isClear) => ({start: offset, end: offset + page - 1, isClear});
    const sorted = runs.toSorted((a, b) => a.start - b.start);
    // The third page was written again with the same bytes: that counts as a change.
    assert.deepEqual(sorted, [one(0, false), one(page, true), one(2 * page, false),
                              one(10 * page, true), one(40 * mib, false)]);
    const second = await blob.createSnapshot();
    await blob.uploadPages(pattern(page, 6), 50 * mib, page);
    const between = await blob.withSnapshot(second.snapshot)
                        .getPageRangesDiff(0, 64 * mib, first.snapshot);
    assert.equal(between.pageRange.length, 3);
    assert.equal(between.clearRange.length, 2);
    await refused(400, "PreviousSnapshotCannotBeNewer",
                  () => blob.withSnapshot(first.snapshot).getPageRangesDiff(0, mib, second.snapshot));
    await blob.create(64 * mib);
    await refused(409, "BlobOverwritten", () => blob.getPageRangesDiff(0, mib, first.snapshot));
  },

  async pagesListsOfRanges() {
    const blob = await newBlob("ranges", mib);
    for (let i = 0; i < 20; ++i) await blob.uploadPages(Buffer.alloc(page, 1), i * 2 * page, page);
    const starts = [];
    let pages = 0;
    for await (const part of blob.listPageRanges(0, mib).byPage({maxPageSize: 7})) {
      ++pages;
      for (const range of part.pageRange ?? []) starts.push(range.start ?? range.offset);
    }
    assert.equal(pages, 3);
    assert.deepEqual(starts, Array.from({length: 20}, (_, i) => i * 2 * page));
  },

  async listsBlobsWithSnapshotsInPages() {
    const expected = [];
    for (const name of ["list/a", "list/b/c", "list/b/d", "list/e"]) {
      const blob = await newBlob(name, page);
      for (let i = 0; i < 3; ++i) {
        expected.push([name, (await blob.createSnapshot({metadata: {tag: `${i}`}})).snapshot, `${i}`]);
      }
      expected.push([name, undefined, undefined]);
    }
    for (const maxPageSize of [1, 3, 5, 100]) {
      const seen = [];
      const listing = container.listBlobsFlat({prefix: "list/", includeSnapshots: true,
                                               includeMetadata: true});
      for await (const part of listing.byPage({maxPageSize})) {
        assert.ok(part.segment.blobItems.length <= maxPageSize);
        for (const item of part.segment.blobItems) {
          seen.push([item.name, item.snapshot || undefined, item.metadata?.tag]);
        }
      }
      assert.deepEqual(seen, expected);
      const names = [];
      const tree = container.listBlobsByHierarchy("/", {prefix: "list/"});
      for await (const part of tree.byPage({maxPageSize})) {
        for (const item of part.segment.blobPrefixes ?? []) names.push(item.name);
        for (const item of part.segment.blobItems) names.push(item.name);
      }
      assert.deepEqual(names.sort(), ["list/a", "list/b/", "list/e"]);
    }
  },

  async leasesFenceWriters() {
    const blob = await newBlob("leases", mib);
    const lease = blob.getBlobLeaseClient();
    const {leaseId} = await lease.acquireLease(15);
    const put = conditions => blob.uploadPages(Buffer.alloc(page, 1), 0, page, {conditions});
    await refused(412, "LeaseIdMissing", () => put(undefined));
    const other = "11111111-2222-3333-4444-555555555555";
    await refused(412, "LeaseIdMismatchWithBlobOperation", () => put({leaseId: other}));
    await put({leaseId});
    await refused(409, "LeaseAlreadyPresent",
                  () => blob.getBlobLeaseClient(other).acquireLease(15));
    await blob.getBlobLeaseClient(leaseId).acquireLease(60);
    await blob.createSnapshot();
    await lease.renewLease();
    const control = new URL("/-/clock", url);
    await fetch(control, {method: "POST", body: JSON.stringify({advance_seconds: 61})});
    await refused(412, "LeaseLost", () => put({leaseId}));
    await lease.renewLease();  // nobody wrote meanwhile
    await fetch(control, {method: "POST", body: JSON.stringify({advance_seconds: 61})});
    await put(undefined);
    await refused(409, "LeaseNotPresentWithLeaseOperation", () => lease.renewLease());
    const next = blob.getBlobLeaseClient(other);
    await next.acquireLease(-1);
    assert.equal((await blob.getProperties()).leaseState, "leased");
    await refused(409, "LeaseIdMismatchWithLeaseOperation", () => lease.renewLease());
    assert.equal((await next.breakLease(0)).leaseTime, 0);
    assert.equal((await blob.getProperties()).leaseState, "broken");
    await refused(409, "LeaseIsBrokenAndCannotBeRenewed", () => next.renewLease());
    await next.acquireLease(20);
    await next.changeLease(leaseId);
    await lease.releaseLease();
    await put(undefined);
    await refused(412, "LeaseNotPresentWithBlobOperation", () => put({leaseId}));
  },

  async copiesInsideTheAccount() {
    const source = await newBlob("copy/source", 2 * mib);
    const bytes = pattern(2 * mib, 4);
    await source.uploadPages(bytes, 0, bytes.length);
    const {snapshot} = await source.createSnapshot();
    await source.clearPages(0, 2 * mib);
    const target = container.getPageBlobClient("copy/target");
    const poller = await target.beginCopyFromURL(source.withSnapshot(snapshot).url);
    assert.equal((await poller.pollUntilDone()).copyStatus, "success");
    assert.ok((await read(target, 0, 2 * mib)).equals(bytes));
    await target.clearPages(0, mib);
    assert.ok((await read(source.withSnapshot(snapshot), 0, 2 * mib)).equals(bytes));
    const sas = await source.withSnapshot(snapshot).generateSasUrl({
      permissions: sdk.BlobSASPermissions.parse("r"), expiresOn: new Date(Date.now() + 36e5 * 24)});
    const taken = await source.uploadPagesFromURL(sas, mib, 0, mib);
    assert.ok(taken.xMsContentCrc64);
    assert.ok((await read(source, 0, mib)).equals(bytes.subarray(mib)));
    await refused(400, "Crc64Mismatch", () => source.uploadPagesFromURL(
        sas, mib, 0, mib, {sourceContentCrc64: Buffer.alloc(8)}));
    await refused(401, "CannotVerifyCopySource",
                  () => source.uploadPagesFromURL(source.withSnapshot(snapshot).url, 0, 0, page));
  },

  async smallDocuments() {
    const blob = container.getBlockBlobClient("documents/vault.json");
    const text = JSON.stringify({a: 1});
    const put = await blob.upload(text, text.length, {conditions: {ifNoneMatch: "*"}});
    await refused(409, "BlobAlreadyExists",
                  () => blob.upload("x", 1, {conditions: {ifNoneMatch: "*"}}));
    await blob.upload(text + " ", text.length + 1, {conditions: {ifMatch: put.etag}});
    await refused(412, "ConditionNotMet",
                  () => blob.upload("x", 1, {conditions: {ifMatch: put.etag}}));
    assert.equal((await blob.downloadToBuffer()).toString(), text + " ");
    const {etag} = await blob.getProperties();
    await assert.rejects(() => blob.download(0, undefined, {conditions: {ifNoneMatch: etag}}),
                         {statusCode: 304});
    await refused(409, "InvalidBlobType", () => container.getPageBlobClient("documents/vault.json")
        .uploadPages(Buffer.alloc(page), 0, page));
  },

  async sharedAccessSignatures() {
    const blob = await newBlob("sas/blob", page);
    const later = new Date(Date.now() + 36e5 * 24);
    const as = async (client, permissions) => client.generateSasUrl({permissions, expiresOn: later});
    const readable = new sdk.PageBlobClient(
        await as(blob, sdk.BlobSASPermissions.parse("r")), undefined, options);
    await readable.getProperties();
    await refused(403, "AuthorizationPermissionMismatch", () => readable.clearPages(0, page));
    const listing = new sdk.ContainerClient(
        await as(container, sdk.ContainerSASPermissions.parse("rl")), undefined, options);
    for await (const item of listing.listBlobsFlat({prefix: "sas/"})) assert.equal(item.name, "sas/blob");
    await refused(403, "AuthorizationPermissionMismatch",
                  () => listing.getBlobClient("sas/blob").delete());
    await assert.rejects(() => listing.delete(), {statusCode: 403});
    const wide = new sdk.BlobServiceClient(service.generateAccountSasUrl(
        later, sdk.AccountSASPermissions.parse("rwl"), "o"), undefined, options);
    await wide.getContainerClient("judged").getBlobClient("sas/blob").getProperties();
    await refused(403, "AuthorizationResourceTypeMismatch",
                  () => wide.getContainerClient("judged").getProperties());
    const past = new sdk.PageBlobClient(await blob.generateSasUrl({
      permissions: sdk.BlobSASPermissions.parse("r"), expiresOn: new Date(Date.now() - 1000)}),
                                        undefined, options);
    await assert.rejects(() => past.getProperties(), {statusCode: 403});
    const bare = new sdk.PageBlobClient(blob.url, new sdk.AnonymousCredential(), options);
    await assert.rejects(() => bare.getProperties(), {statusCode: 401});
    const stranger = new sdk.PageBlobClient(
        blob.url, new sdk.StorageSharedKeyCredential(account, "AAAA"), options);
    await assert.rejects(() => stranger.getProperties(), {statusCode: 403});
  },

  async bearerTokens() {
    if (token === undefined) return;
    const bearer = text => ({getToken: async () => ({token: text,
                                                     expiresOnTimestamp: Date.now() + 36e5})});
    const signedIn = new sdk.BlobServiceClient(url, bearer(token), options);
    const blob = await newBlob("bearer/blob", page);
    await signedIn.getContainerClient("judged").getPageBlobClient("bearer/blob").clearPages(0, page);
    await refused(401, "InvalidAuthenticationInfo",
                  () => new sdk.BlobServiceClient(url, bearer("another"), options)
                            .getContainerClient("judged").getPageBlobClient("bearer/blob")
                            .clearPages(0, page));
    const starts = new Date(Date.now() - 6e4);
    const ends = new Date(Date.now() + 36e5);
    await refused(403, "AuthenticationFailed", () => service.getUserDelegationKey(starts, ends));
    const delegated = await signedIn.getUserDelegationKey(starts, ends);
    for (const version of ["2020-12-06", "2023-11-03", "2025-07-05", undefined]) {
      const words = sdk.generateBlobSASQueryParameters(
          {containerName: "judged", permissions: sdk.ContainerSASPermissions.parse("r"),
           startsOn: starts, expiresOn: ends, version}, delegated, account);
      const reader = new sdk.PageBlobClient(`${blob.url}?${words}`, undefined, options);
      assert.ok((await reader.downloadToBuffer()).equals(Buffer.alloc(page)), version);
      await refused(403, "AuthorizationPermissionMismatch", () => reader.clearPages(0, page));
    }
  },
};

await container.create();
await refused(409, "ContainerAlreadyExists", () => container.create());
let failures = 0;
for (const [name, judge] of Object.entries(judgements)) {
  try {
    await judge();
    console.log(`ok ${name}`);
  } catch (error) {
    ++failures;
    console.log(`WRONG ${name}: ${error.stack?.slice(0, 1500) ?? error}`);
  }
}
await container.delete();
process.exit(failures === 0 ? 0 : 1);
