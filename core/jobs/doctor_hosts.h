// The part of a diagnosis that is about hosts and the VMs on them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/jobs/doctor.h"
#include "core/model/item.h"

namespace asr {

// What the vaults say, as far as they can be read.
struct KnownItems {
  std::vector<Item> protected_items;
  std::set<std::string> app_consistent;  // ids of those whose policy wants such points
  bool is_complete = true;               // every vault told all of its items
};

void DiagnoseHosts(Environment& environment, const KnownItems& known,
                   std::vector<Diagnosis>& diagnoses);

}  // namespace asr
