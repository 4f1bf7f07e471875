// Uploads a file as a page blob, and prints the time of a snapshot of it.
// usage: node upload_vhd.mjs MODULES CONNECTION_STRING CONTAINER BLOB FILE
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const [modules, connection, containerName, blob, file] = process.argv.slice(2);
const require = createRequire(path.join(modules, "node_modules", "client.js"));
const { BlobServiceClient } = require("@azure/storage-blob");

const mostBytes = 4 * 1024 * 1024;
const container = BlobServiceClient.fromConnectionString(connection).getContainerClient(containerName);
await container.createIfNotExists();
const content = readFileSync(file);
const pages = container.getPageBlobClient(blob);
await pages.create(content.length);
for (let at = 0; at < content.length; at += mostBytes) {
  const piece = content.subarray(at, at + mostBytes);
  if (piece.some((byte) => byte !== 0)) await pages.uploadPages(piece, at, piece.length);
}
process.stdout.write((await pages.createSnapshot()).snapshot);
