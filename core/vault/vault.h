// A vault: a container of blobs that describes itself (man/asr-vault.5). Everything needed to
// recover a VM is in it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/digest.h"
#include "core/model/item.h"
#include "core/model/point.h"
#include "core/model/policy.h"
#include "core/vault/digest_cache.h"
#include "core/vault/item_lease.h"
#include "storage/base/clock.h"
#include "storage/blob/blob_store.h"

namespace asr {

struct VaultIdentity {
  std::string id;  // 32 hex digits
  DigestAlgorithm algorithm = DigestAlgorithm::kSha256;
  Timestamp created{};
};

using PinId = Id<struct PinIdTag>;

struct Pin {
  PinId id;
  PointId point;
  std::string reader;              // "restore on host1"
  std::optional<Timestamp> until;  // none: held by a person
  [[nodiscard]] bool is_hold() const { return !until.has_value(); }
};

struct PinListing {
  // Those in force. A hold whose document is damaged is among them: its name tells its point.
  std::vector<Pin> pins;
  std::vector<Error> unreadable;  // one for each damaged document
  // The points of these cannot be told: any point may be one that must stay.
  bool may_pin_others = false;
};

// An item whose document is damaged, of a newer version, or missing beside its recovery points.
struct UnreadableItem {
  ItemId id;
  Error error;
  // True if it may be the item of a VM of this name ("NAME" or "HOST/NAME"), which its id is made
  // of.
  [[nodiscard]] bool MayBe(const std::string& vm_name) const;
};

struct ItemListing {
  std::vector<Item> items;  // sorted by name
  std::vector<UnreadableItem> unreadable;
  // The error of the first of `unreadable`, for callers to whom any missing item would mean
  // something.
  [[nodiscard]] Status RequireAllReadable() const;
};

struct UnreadablePolicy {
  std::string name;
  Error error;
};

struct PolicyListing {
  std::vector<Policy> policies;  // sorted by name
  std::vector<UnreadablePolicy> unreadable;
};

struct FoundItem {
  Item item;
  // Why its document cannot be read. Then the item is what its newest readable recovery point says
  // of it, to recover from and to delete, and its name is its id; without such a point it has no
  // disks.
  std::optional<Error> damage = {};
};

class ItemDocuments;

// kNotFound (kVaultNotFound): nothing of a vault is at `place`, a path or URL.
[[nodiscard]] Error NoVaultAt(const std::string& place);

// Thread-safe; the place is asked anew at each call, so that two machines see each other's changes.
class Vault {
 public:
  // `name` is what this machine calls it. Writes vault.json. kState (kVaultExists) if there is one.
  [[nodiscard]] static Result<std::unique_ptr<Vault>> Create(std::unique_ptr<BlobStore> store,
                                                             const std::string& name,
                                                             DigestAlgorithm algorithm,
                                                             Timestamp now);
  // kNotFound (kVaultNotFound) without vault.json; kUnsupported (kVaultFormat) for a newer version.
  [[nodiscard]] static Result<std::unique_ptr<Vault>> Open(std::unique_ptr<BlobStore> store,
                                                           const std::string& name);

  // The same vault by another store, which leads to the same place. Sends no request.
  [[nodiscard]] std::unique_ptr<Vault> Through(std::unique_ptr<BlobStore> store) const;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const VaultIdentity& identity() const { return identity_; }
  [[nodiscard]] BlobStore& store() { return *store_; }
  // In Azure Storage, where every request takes a while; else a directory.
  [[nodiscard]] bool is_on_azure() const;
  // Of a vault that is far away. Before the vault is used.
  void KeepDigests(DigestCache cache) { digest_cache_.emplace(std::move(cache)); }
  [[nodiscard]] const std::optional<DigestCache>& digest_cache() const { return digest_cache_; }

  // Policies. One that cannot be read does not hide the others. Find: kNotFound (kPolicyNotFound)
  // with the nearest names.
  [[nodiscard]] Result<PolicyListing> ListPolicies();
  [[nodiscard]] Result<Policy> FindPolicy(const std::string& name);
  [[nodiscard]] Status PutPolicy(const Policy& policy);
  // kState (kPolicyInUse) naming the VMs that use it.
  [[nodiscard]] Status DeletePolicy(const std::string& name);

  // Items. One that cannot be read does not hide the others. Find: by the VM's name, "HOST/NAME" or
  // the id; kNotFound with the nearest names, kState (kVmAmbiguous) with the candidates; if it may
  // be one that cannot be read, that one's error.
  [[nodiscard]] Result<ItemListing> ListItems();
  [[nodiscard]] Result<Item> FindItem(const std::string& name);
  // The same, also one whose document cannot be read.
  [[nodiscard]] Result<FoundItem> FindEvenDamaged(const std::string& name);
  // Deletes all blobs of the item: points first, its document last. The caller holds its lease.
  [[nodiscard]] Status DeleteItem(const ItemId& id);
  // For one whose document cannot be read, which LeaseItem refuses. kState (kItemState) if it can
  // be by now; kBusy (kItemBusy) while another process works on it.
  [[nodiscard]] Status DeleteDamagedItem(const ItemId& id);
  // Of a directory: it still holds this vault. kIo (kVaultUnreachable, retryable) if not. Elsewhere
  // each request tells that by itself.
  [[nodiscard]] Status CheckPlace();
  // Held while it is decided whether a VM becomes a new item: two at once must not make two.
  [[nodiscard]] Result<std::unique_ptr<Lease>> LeaseNewItems();
  // After CheckPlace. kBusy (kItemBusy) naming the owner if another process works on the item. The
  // lease's item is as it is now; `item` only says which.
  [[nodiscard]] Result<std::unique_ptr<ItemLease>> LeaseItem(const Item& item);

  // Of several answers about one item; with kAll they cost one request mostly.
  [[nodiscard]] Result<ItemDocuments> Documents(const ItemId& item,
                                                ViewDepth depth = ViewDepth::kLevels);

  // Recovery points, newest first. A point without its document does not exist.
  [[nodiscard]] Result<std::vector<PointId>> ListPointIds(const ItemId& item);
  // The newest one; nullopt if there is none yet.
  [[nodiscard]] Result<std::optional<RecoveryPoint>> NewestPoint(const ItemId& item);
  // For a document that a process wrote which may have died before it was durable: it is now.
  [[nodiscard]] Status MakePointDurable(const ItemId& item, const PointId& point);
  // kNotFound (kPointNotFound) if no point fits.
  [[nodiscard]] Result<RecoveryPoint> FindPoint(const Item& item, const PointSelector& selector);
  [[nodiscard]] Result<RecoveryPoint> ReadPoint(const ItemId& item, const PointId& point);
  // The last write of a seal. kState if there is one of that id; with kIfUnchanged it takes the
  // place of what ForbidSeal left, as it was read last.
  [[nodiscard]] Status PutPoint(const RecoveryPoint& point,
                                PutCondition condition = PutCondition::kIfAbsent);
  // What the point's firmware kept. kNotFound if that is nothing, or its point went meanwhile;
  // kCorrupt (kPointCorrupt) if it is missing or not what was kept.
  [[nodiscard]] Result<std::string> ReadFirmware(const RecoveryPoint& point);
  // Blobs of firmware that a seal or a removal which was cut has left. For the item's writer.
  [[nodiscard]] Status RemoveLostFirmware(const ItemId& item);
  [[nodiscard]] Status DeletePointDocument(const ItemId& item, const PointId& point);

  // Proof: each test or check adds a document, unless the point is gone. It takes the place of
  // older ones that prove the same; those that cannot be removed do no harm.
  // `screenshot`, a PNG, is kept beside it where it is not empty.
  [[nodiscard]] Status AddProof(const ItemId& item, const PointId& point, const Proof& proof,
                                Timestamp now, const std::string& screenshot = {});
  [[nodiscard]] Result<std::optional<Proof>> ReadProof(const ItemId& item, const PointId& point);
  // What an earlier verification found is not true any more: its proof goes. Where the vault cannot
  // be written to it stays.
  void WithdrawVerification(const ItemId& item, const PointId& point);
  // The PNG. kNotFound if its point went meanwhile, kCorrupt if it is not the one that was kept.
  [[nodiscard]] Result<std::string> ReadScreenshot(const Screenshot& screenshot);

  // Points that retention must leave alone. A hold is a person's and has no end; a pin is a
  // reader's and ends at `until`, so that a reader that died does not keep a point for ever.
  [[nodiscard]] Status HoldPoint(const ItemId& item, const PointId& point);
  [[nodiscard]] Status ReleasePoint(const ItemId& item, const PointId& point);
  [[nodiscard]] Result<PinId> PinPoint(const ItemId& item, const PointId& point,
                                       const std::string& reader, Timestamp until);
  [[nodiscard]] Status UnpinPoint(const ItemId& item, const PinId& pin);
  // Whether there is such a pin, also one that expired or whose document is damaged.
  [[nodiscard]] Result<bool> HasPin(const ItemId& item, const PinId& pin);
  // Those in force at `now`. Damaged ones are no error.
  [[nodiscard]] Result<PinListing> ListPins(const ItemId& item, Timestamp now);

 private:
  Vault(std::unique_ptr<BlobStore> store, std::string name, VaultIdentity identity);
  [[nodiscard]] Result<Item> ItemOfPoints(const ItemId& id);
  [[nodiscard]] Result<std::unique_ptr<Lease>> AcquireItem(const ItemId& id,
                                                           const std::string& name);
  std::unique_ptr<BlobStore> store_;
  std::string name_;
  VaultIdentity identity_;
  std::optional<DigestCache> digest_cache_;
};

}  // namespace asr
