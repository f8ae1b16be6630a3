// Architectures of GPUs, and what of them runs on which device.
#pragma once

#include <string>

namespace softcuda::ptx {

// What code is made for: sm_86, sm_90a, sm_100f.
struct Architecture {
  int number = 0;   // 86 for compute capability 8.6
  char suffix = 0;  // 'a': for this one only; 'f': for it and what follows in its family; or none

  std::string name() const;  // "sm_90a"

  // Machine code serves its own and later minor numbers, PTX every later architecture, unless a
  // suffix says otherwise.
  bool machine_code_runs_on(int device) const;
  bool ptx_runs_on(int device) const;
};

// The architecture that "sm_90a" names; its number is 0 if it names none.
Architecture architecture_named(const std::string& name);

}  // namespace softcuda::ptx
