// Downloads the snapshot of a page blob that a recovery point names: by its metadata "point".
// usage: node download_point.mjs MODULES CONNECTION_STRING CONTAINER BLOB POINT FILE
import { createRequire } from "node:module";
import path from "node:path";

const [modules, connection, containerName, blob, point, file] = process.argv.slice(2);
const require = createRequire(path.join(modules, "node_modules", "client.js"));
const { BlobServiceClient } = require("@azure/storage-blob");

const container = BlobServiceClient.fromConnectionString(connection).getContainerClient(containerName);
let found = "";
const options = { prefix: blob, includeSnapshots: true, includeMetadata: true };
for await (const item of container.listBlobsFlat(options)) {
  if (item.name === blob && item.snapshot && item.metadata?.point === point) found = item.snapshot;
}
if (!found) throw new Error(`no snapshot of ${blob} is that of point ${point}`);
await container.getBlobClient(blob).withSnapshot(found).downloadToFile(file);
