// Documents and leases in a container: what is read, what is believed, what is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "storage/blob/document_metadata.h"
#include "storage/sqlite/database.h"
#include "tests/support/azure_test_store.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using testing::FaultAction;
using ::testing::HasSubstr;
using testing::PageBlobServer;

class AzureDocumentsTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlobStore> Open(const std::string& machine, const std::string& vault = "v") {
    auto store = testing::OpenTestStore(server_, directory_ / (machine + "-leases"),
                                        /*create=*/true, machine, SystemClock(),
                                        directory_ / (machine + ".db"), vault);
    EXPECT_TRUE(store) << store.error().Line();
    return *std::move(store);
  }
  // Name and text of every document of one level, with how many requests it took.
  std::map<std::string, std::string> Look(BlobStore& store, const std::string& prefix,
                                          ViewDepth depth) {
    server_.ClearLog();
    auto view = store.View(prefix, depth);
    if (!view) ADD_FAILURE() << view.error().Line();
    const auto names = (*view)->ListNames(prefix);
    if (!names) ADD_FAILURE() << names.error().Line();
    std::vector<std::string> blobs;
    for (const std::string& name : *names) {
      if (name.ends_with(".json")) blobs.push_back(prefix + name);
    }
    const auto texts = (*view)->Get(blobs);
    std::map<std::string, std::string> found;
    for (std::size_t i = 0; i < blobs.size(); ++i) found[blobs[i]] = texts[i].value_or("?");
    requests_ = server_.Log().size();
    return found;
  }
  static Status Put(BlobStore& store, const std::string& name, const std::string& text,
                    PutCondition condition = PutCondition::kAlways) {
    return store.Put(name, AsBytes(text), condition);
  }

  void DeleteByHand(const std::string& blob) {
    SendByHand({.method = HttpMethod::kDelete, .blob = blob, .what = "hand"});
  }
  void SendByHand(const AzureRequest& request) {
    const auto credential = ParseConnectionString(Secret(server_.ConnectionString()));
    const auto authorizer = MakeAuthorizer(*credential, credential->account, SystemClock());
    const auto transport = CurlTransport::Create({});
    HttpClient http(**transport, SystemClock());
    AzureClient client(http, **authorizer, server_.url() + "/vault", {});
    const auto reply = client.Send(request);
    ASSERT_TRUE(reply) << reply.error().Line();
  }

  testing::TempDir directory_;
  PageBlobServer server_;
  std::size_t requests_ = 0;
};

TEST_F(AzureDocumentsTest, AListReadsOnlyWhatIsNotKnown) {
  const auto one = Open("one");
  const auto two = Open("two");
  std::map<std::string, std::string> all;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "points/" + std::to_string(i) + ".json";
    all[name] = "text " + std::to_string(i);
    ASSERT_TRUE(Put(*one, name, all[name]));
  }
  for (const ViewDepth depth : {ViewDepth::kLevels, ViewDepth::kAll}) {
    // Who wrote them knows them.
    EXPECT_EQ(Look(*one, "points/", depth), all);
    EXPECT_EQ(requests_, 1U);
  }
  EXPECT_EQ(Look(*two, "points/", ViewDepth::kAll), all);
  EXPECT_EQ(requests_, 2U);
  EXPECT_EQ(Look(*two, "points/", ViewDepth::kAll), all);
  EXPECT_EQ(requests_, 1U);
  // What another machine does is seen at once.
  all["points/7.json"] = "text of one";
  ASSERT_TRUE(Put(*one, "points/7.json", "text of one"));
  ASSERT_TRUE(one->Delete("points/8.json"));
  all.erase("points/8.json");
  EXPECT_EQ(Look(*two, "points/", ViewDepth::kLevels), all);
  EXPECT_EQ(requests_, 2U);
  // So does another process of this machine; and no other vault's.
  EXPECT_EQ(Look(*Open("two"), "points/", ViewDepth::kAll), all);
  EXPECT_EQ(requests_, 1U);
  EXPECT_EQ(Look(*Open("two", "w"), "points/", ViewDepth::kAll), all);
  EXPECT_EQ(requests_, 2U);
}

// A list that brings everything is no help where a few are wanted.
TEST_F(AzureDocumentsTest, FewAreReadOneByOne) {
  const auto one = Open("one");
  for (int i = 0; i < 40; ++i) {
    const std::string item = "items/" + std::to_string(i);
    ASSERT_TRUE(Put(*one, item + "/item.json", "item"));
    for (int k = 0; k < 4; ++k) {
      ASSERT_TRUE(Put(*one, item + "/points/" + std::to_string(k) + ".json", "point"));
    }
  }
  const auto two = Open("two");
  auto view = two->View("items/", ViewDepth::kAll);
  ASSERT_TRUE(view);
  std::vector<std::string> wanted;
  for (int i = 0; i < 40; ++i) wanted.push_back("items/" + std::to_string(i) + "/item.json");
  server_.ClearLog();
  for (const auto& text : (*view)->Get(wanted)) EXPECT_EQ(text.value_or("?"), "item");
  EXPECT_EQ(server_.Log().size(), 40U);
}

// As proofs are: one of each point, when its turn comes.
TEST_F(AzureDocumentsTest, ManyThatAreWantedOneByOneComeWithAListInTheEnd) {
  const auto one = Open("one");
  std::vector<std::string> names;
  for (int i = 0; i < 50; ++i) {
    names.push_back("points/" + std::to_string(i) + ".proof/1.json");
    ASSERT_TRUE(Put(*one, names.back(), names.back()));
  }
  const auto two = Open("two");
  auto view = two->View("points/", ViewDepth::kAll);
  ASSERT_TRUE(view);
  server_.ClearLog();
  for (const auto& name : names) EXPECT_EQ((*view)->Get({name}).front().value_or("?"), name);
  EXPECT_EQ(server_.Log().size(), 17U);
}

// Another tool has written the body and left the metadata, or wrote nonsense there.
TEST_F(AzureDocumentsTest, MetadataThatIsNotTheBodysIsNotBelieved) {
  const auto one = Open("one");
  std::map<std::string, std::string> all;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "points/" + std::to_string(i) + ".json";
    all[name] = "text of ours";
    ASSERT_TRUE(Put(*one, name, all[name]));
  }
  const std::string ours = PackDocument("text of ours");
  const std::vector<std::pair<std::string, std::string>> rewritten = {
      {ours, "text of them"},  // as long as ours
      {ours, "text of them all"},
      {"bm9uc2Vuc2U=", "of nonsense"},
      {"%%%%", "no Base64"},
      {"", "nothing"},
      {ours, ""}};
  int number = 0;
  for (const auto& [metadata, body] : rewritten) {
    const std::string name = "points/" + std::to_string(number++) + ".json";
    all[name] = body;
    AzureRequest request{
        .method = HttpMethod::kPut, .blob = name, .body = AsBytes(body), .what = "hand"};
    request.headers.Set("x-ms-blob-type", "BlockBlob");
    if (!metadata.empty()) request.headers.Set(kDocumentHeader, metadata);
    SendByHand(request);
  }
  EXPECT_EQ(Look(*Open("two"), "points/", ViewDepth::kAll), all);
  EXPECT_EQ(requests_, 2 + rewritten.size());
}

TEST_F(AzureDocumentsTest, ALargeDocumentIsReadAsItIs) {
  const auto one = Open("one");
  std::map<std::string, std::string> all;
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    const std::string name = "points/" + std::to_string(i) + ".json";
    for (int k = 0; k < (i < 3 ? 20'000 : 4'000); ++k) {
      all[name].push_back(static_cast<char>(random()));
    }
    ASSERT_TRUE(Put(*one, name, all[name]));
  }
  EXPECT_EQ(Look(*Open("two"), "points/", ViewDepth::kAll), all);
  EXPECT_EQ(requests_, 5U);
}

TEST_F(AzureDocumentsTest, WhatIsDamagedOnThisMachineIsReadAgain) {
  const auto store = Open("one");
  ASSERT_TRUE(Put(*store, "a.json", "text"));
  auto database = SqlDatabase::Open(directory_ / "one.db", {});
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->Run("UPDATE documents SET text = 'tent'", {}));
  EXPECT_EQ(Look(*store, "", ViewDepth::kAll).at("a.json"), "text");
  EXPECT_EQ(requests_, 2U);
}

TEST_F(AzureDocumentsTest, AViewOfAllAnswersEveryLevel) {
  const auto store = Open("one");
  for (const char* name : {"i/a/item.json", "i/a/points/1.json", "i/a/points/1.proof/2.json",
                           "i/a/points/1.proof.json", "i/b/item.json"}) {
    ASSERT_TRUE(Put(*store, name, name));
  }
  ASSERT_TRUE(Put(*store, "i/c.json", ""));
  server_.ClearLog();
  auto view = store->View("i/", ViewDepth::kAll);
  ASSERT_TRUE(view);
  EXPECT_THAT((*view)->ListNames("i/").value(), ElementsAre("a", "b", "c.json"));
  EXPECT_THAT((*view)->ListNames("i/a/points/").value(),
              ElementsAre("1.json", "1.proof", "1.proof.json"));
  EXPECT_THAT((*view)->ListNames("i/d/").value(), ElementsAre());
  const auto texts = (*view)->Get({"i/b/item.json", "i/d/item.json", "i/c.json"});
  EXPECT_EQ(texts[0].value(), "i/b/item.json");
  EXPECT_EQ(texts[1].error().code, ErrorCode::kBlobNotFound);
  EXPECT_EQ(texts[2].value(), "");
  EXPECT_EQ(server_.Log().size(), 1U);
}

TEST(AzureDocumentsPagesTest, ALongListIsWholeAllTheSame) {
  testing::TempDir directory;
  PageBlobServer server({.list_page_limit = 7});
  const auto store = testing::OpenTestStore(server, directory / "leases", /*create=*/true, "one",
                                            SystemClock(), directory / "lists.db");
  ASSERT_TRUE(store);
  for (int i = 0; i < 20; ++i) {
    const std::string name = "i/" + std::to_string(100 + i);
    ASSERT_TRUE((*store)->Put(name + "/item.json", AsBytes(name)));
    ASSERT_TRUE((*store)->Put(name + "/z", {}));
  }
  auto view = (*store)->View("i/", ViewDepth::kAll);
  ASSERT_TRUE(view);
  const auto names = (*view)->ListNames("i/");
  ASSERT_TRUE(names);
  ASSERT_EQ(names->size(), 20U);
  for (const std::string& name : *names) {
    EXPECT_EQ((*view)->Get({"i/" + name + "/item.json"}).front().value_or("?"), "i/" + name);
  }
}

// The same bytes may be another writer's: they do not make its ETag ours.
TEST_F(AzureDocumentsTest, AfterALostReplyAnothersBytesAreNotTakenForOurs) {
  const auto one = Open("one");
  const auto two = Open("two");
  ASSERT_TRUE(Put(*one, "a.json", "", PutCondition::kIfAbsent));
  ASSERT_TRUE(two->Get("a.json"));
  // Nothing of the first try arrives; before the second one the other machine writes the same.
  ASSERT_TRUE(Put(*one, "a.json", "", PutCondition::kIfUnchanged));
  server_.AddFault({.action = FaultAction::kCutRequest, .operation = "PutBlob", .after_bytes = 0});
  const Status late = Put(*two, "a.json", "", PutCondition::kIfUnchanged);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kBlobCondition);
  // What was done though its reply was lost is ours.
  server_.AddFault({.action = FaultAction::kCutAnswer, .operation = "PutBlob", .after_bytes = 0});
  ASSERT_TRUE(Put(*one, "a.json", "mine", PutCondition::kIfUnchanged));
  ASSERT_TRUE(Put(*one, "a.json", "mine again", PutCondition::kIfUnchanged));
  EXPECT_EQ(server_.strikes(), 2);
}

TEST_F(AzureDocumentsTest, ALeaseOfSomebodyElseIsNoOtherWriter) {
  const auto store = Open("one");
  ASSERT_TRUE(Put(*store, "a.json", "text"));
  server_.LoseLease("vault", "a.json", std::chrono::seconds(0));
  for (const PutCondition condition : {PutCondition::kAlways, PutCondition::kIfUnchanged}) {
    const Status put = Put(*store, "a.json", "other", condition);
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, ErrorCode::kLocked);
    EXPECT_THAT(put.error().Line(), HasSubstr("LeaseIdMissing"));
    EXPECT_THAT(put.error().action, HasSubstr("lease break"));
    EXPECT_THAT(put.error().action, HasSubstr("a.json"));
  }
  EXPECT_EQ(store->Delete("a.json").error().code, ErrorCode::kLocked);
}

TEST_F(AzureDocumentsTest, AContainerThatIsBeingDeletedIsBusy) {
  const auto store = Open("one");
  server_.AddFault({.action = FaultAction::kRefuse,
                    .operation = "PutBlob",
                    .times = -1,
                    .code = "ContainerBeingDeleted"});
  const Status put = Put(*store, "a.json", "text", PutCondition::kIfAbsent);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().kind, ErrorKind::kBusy);
  EXPECT_EQ(put.error().code, ErrorCode::kServerBusy);
  EXPECT_TRUE(put.error().retryable);
}

// Else the numbers that its holder gives would be lower than those of the holders before.
TEST_F(AzureDocumentsTest, ALeaseBlobThatWasDeletedByHandCountsOn) {
  const auto store = Open("one");
  for (int i = 0; i < 3; ++i) {
    const auto lease = store->AcquireLease("items/web/lease");
    ASSERT_TRUE(lease) << lease.error().Line();
    auto blob = i == 0 ? store->CreatePageBlob("items/web/disks/a.vhd", 64 * kKiB)
                       : store->OpenPageBlob("items/web/disks/a.vhd");
    ASSERT_TRUE(blob) << blob.error().Line();
    ASSERT_TRUE((*blob)->Write(0, std::vector<std::byte>(512, std::byte{1})));
  }
  DeleteByHand(".locks/items/web/lease");
  // Both a machine that was there and a new one go on.
  for (const char* machine : {"one", "two"}) {
    const auto other = Open(machine);
    const auto lease = other->AcquireLease("items/web/lease");
    ASSERT_TRUE(lease) << lease.error().Line();
    auto blob = other->OpenPageBlob("items/web/disks/a.vhd");
    ASSERT_TRUE(blob) << blob.error().Line();
    EXPECT_TRUE((*blob)->Write(0, std::vector<std::byte>(512, std::byte{2})));
  }
}

}  // namespace
}  // namespace asr
