// Which parts of a value tables and tsv show; the columns of tsv are a contract with scripts.
#pragma once

#include "cli/render.h"

namespace asr {

[[nodiscard]] const View& VaultView();
[[nodiscard]] const View& HostView();
[[nodiscard]] const View& CredentialView();
[[nodiscard]] const View& LoginView();
[[nodiscard]] const View& SharedView();
[[nodiscard]] const View& VmView();
[[nodiscard]] const View& PolicyView();
[[nodiscard]] const View& CheckView();
[[nodiscard]] const View& DoctorView();
[[nodiscard]] const View& ItemView();
[[nodiscard]] const View& PointView();
[[nodiscard]] const View& PinView();
[[nodiscard]] const View& ReplicateView();
[[nodiscard]] const View& JobView();
[[nodiscard]] const View& TestFailoverView();
[[nodiscard]] const View& DiskReportView();
[[nodiscard]] const View& LogReportView();
[[nodiscard]] const View& PlanView();
[[nodiscard]] const View& SettingView();

}  // namespace asr
