// Giving up an item whose document cannot be read: shared by disable and items delete.
#pragma once

#include "cli/session.h"

namespace asr {

// Asks, naming the loss, and deletes the item `found.damage` is about; with --dry-run prints the
// plan. Documents that another program or user can read are refused: that is no damage.
[[nodiscard]] Status DeleteDamaged(Session& session, const FoundItem& found);

}  // namespace asr
