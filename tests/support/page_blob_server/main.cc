// page-blob-server: the strict server as a program, for shell tests and benches.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "tests/support/page_blob_server/page_blob_server.h"

int main(int argc, char** argv) {
  asr::testing::PageBlobServerOptions options;
  CLI::App app("A page-blob server in memory: prints its URL, ends by SIGTERM");
  app.add_option("--port", options.port, "0: any that is free");
  app.add_option("--account", options.account, "Name of the account");
  app.add_option("--cert", options.certificate_file, "PEM: https only");
  app.add_option("--key", options.key_file, "PEM, of the certificate");
  app.add_flag("--discard", options.discard, "Count the bodies of Put Page, and keep nothing");
  app.add_flag("--premium", options.is_premium, "100 snapshots a blob, one each 10 minutes");
  app.add_option("--blob-requests", options.blob_requests_per_second, "A second and blob");
  app.add_option("--blob-bytes", options.blob_bytes_per_second, "A second and blob");
  app.add_option("--operation-timeout", options.operation_timeout_seconds, "Seconds");
  app.add_option("--idle-timeout", options.idle_timeout_seconds, "Seconds");
  app.add_option("--list-page", options.list_page_limit, "Entries of a page of a list at most");
  app.add_option("--range-page", options.range_page_limit, "Page ranges of a page at most");
  CLI11_PARSE(app, argc, argv);

  // Gigabytes of small pieces: from one heap that grows in big steps, they cost half the time.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TOP_PAD, 128 << 20);
  // Blocked before the first thread is there, so that only sigwait sees them.
  sigset_t ends;
  ::sigemptyset(&ends);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&ends, number);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  try {
    const asr::testing::PageBlobServer server(options);
    std::printf("%s\n", server.url().c_str());
    std::fflush(stdout);
    int number = 0;
    ::sigwait(&ends, &number);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "page-blob-server: %s\n", error.what());
    return 1;
  }
  return 0;
}
