#include "core/source/libvirt_uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/source/domain_xml.h"
#include "core/source/ssh_line.h"

namespace asr {
namespace {

using ::testing::Contains;
using ::testing::Not;

TEST(LibvirtUriTest, WhatIsForSshIsTakenOutOfIt) {
  const auto uri = ParseLibvirtUri(
      "qemu+ssh://admin@kvm1.example:2222/system?keyfile=/etc/asr/key&known_hosts=/etc/asr/hosts"
      "&no_verify=1&socket=/run/libvirt/libvirt-sock");
  ASSERT_TRUE(uri) << uri.error().message;
  EXPECT_EQ(uri->text,
            "qemu+ssh://admin@kvm1.example:2222/system?no_tty=1&keyfile=/etc/asr/key&no_verify=1"
            "&socket=/run/libvirt/libvirt-sock");
  EXPECT_EQ(uri->ssh->LibvirtThere(), "qemu:///system?socket=/run/libvirt/libvirt-sock");
  const SshTarget expected{.host = "kvm1.example",
                           .user = "admin",
                           .port = 2222,
                           .key_file = "/etc/asr/key",
                           .known_hosts = "/etc/asr/hosts",
                           .is_not_verified = true,
                           .libvirt_socket = "/run/libvirt/libvirt-sock"};
  EXPECT_EQ(uri->ssh, expected);
  const auto options = SshOptions(*uri->ssh);
  EXPECT_THAT(options, Contains("UserKnownHostsFile=/etc/asr/hosts"));
  EXPECT_THAT(options, Contains("StrictHostKeyChecking=no"));
  EXPECT_THAT(options, Contains("BatchMode=yes"));
  EXPECT_THAT(SshOptions({.host = "kvm1"}), Not(Contains("StrictHostKeyChecking=no")));
}

TEST(LibvirtUriTest, OfThisMachineItIsLeftAlone) {
  const auto uri = ParseLibvirtUri("qemu:///session");
  ASSERT_TRUE(uri);
  EXPECT_EQ(uri->text, "qemu:///session");
  EXPECT_FALSE(uri->ssh);
  const auto address = ParseLibvirtUri("qemu+ssh://[fe80::1]:22/system");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->ssh->host, "fe80::1");
  EXPECT_EQ(address->ssh->port, 22);
  EXPECT_EQ(address->ssh->LibvirtThere(), "qemu:///system");
}

TEST(LibvirtUriTest, WhatSshWouldTakeForMoreThanANameIsRefused) {
  for (const char* uri : {"",
                          "qemu://",
                          "qemu+ssh://",
                          "qemu+ssh:///system",
                          "qemu+ssh://kvm1",
                          "qemu+ssh://kvm1/",
                          "qemu+ssh://kvm1/session",
                          "qemu+ssh://-oProxyCommand=x/system",
                          "qemu+ssh://-l@kvm1/system",
                          "qemu+ssh://a b@kvm1/system",
                          "qemu+ssh://%2dx@kvm1/system",
                          "qemu+ssh://kvm1;x/system",
                          "qemu+ssh://kvm1:/system",
                          "qemu+ssh://kvm1:0/system",
                          "qemu+ssh://kvm1:70000/system",
                          "qemu+ssh://kvm1:22x/system",
                          "qemu+ssh://[::1/system",
                          "qemu+ssh://[-x]/system",
                          "qemu+ssh://[::1]x/system",
                          "qemu+ssh://kvm1/system?keyfile=key",
                          "qemu+ssh://kvm1/system?keyfile=/a%20b",
                          "qemu+ssh://kvm1/system?known_hosts=/%25h",
                          "qemu+ssh://kvm1/system?known_hosts=/$HOME",
                          "qemu+ssh://kvm1/system?no_verify=yes",
                          "qemu+ssh://kvm1/system?command=/bin/sh",
                          "qemu+ssh://kvm1/system?pkipath=/x",
                          "qemu+tcp://kvm1/system",
                          "xen:///system"}) {
    EXPECT_FALSE(ParseLibvirtUri(uri)) << uri;
  }
}

TEST(LibvirtUriTest, NamesAreCutAsLibvirtCutsThem) {
  EXPECT_EQ(ShortDomainName("web"), "web");
  EXPECT_EQ(ShortDomainName("12345678901234567890"), "12345678901234567890");
  EXPECT_EQ(ShortDomainName("123456789012345678901"), "12345678901234567890");
  EXPECT_EQ(ShortDomainName("äöüäöüäöüäöüäöüäöüäöü"), "äöüäöüäöüäöüäöüäöüäö");
}

TEST(SshErrorTest, KeysAreNotTriedAgainAtOnceAndSayWhatToDo) {
  const SshTarget target{.host = "kvm1", .user = "root", .port = 2222};
  const Error unknown = SshError(target, "cannot connect", "Host key verification failed.");
  EXPECT_FALSE(unknown.retryable);
  EXPECT_NE(unknown.action.find("ssh-keyscan -p 2222 kvm1"), std::string::npos) << unknown.action;
  const Error refused = SshError(target, "cannot connect", "Permission denied (publickey).");
  EXPECT_FALSE(refused.retryable);
  EXPECT_NE(refused.action.find("root@kvm1"), std::string::npos) << refused.action;
  EXPECT_TRUE(SshError(target, "cannot connect", "No route to host").retryable);
}

}  // namespace
}  // namespace asr
