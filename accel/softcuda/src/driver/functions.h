// What a function may be launched with.
#pragma once

#include "state.h"

namespace softcuda {

// cuda.h: CUfunction_attribute
enum class FunctionAttribute : int {
  kMaxThreadsPerBlock = 0,
  kSharedSizeBytes = 1,
  kConstSizeBytes = 2,
  kLocalSizeBytes = 3,
  kNumRegs = 4,
  kPtxVersion = 5,
  kBinaryVersion = 6,
  kCacheModeCa = 7,
  kMaxDynamicSharedSizeBytes = 8,
  kPreferredSharedMemoryCarveout = 9,
  kClusterSizeMustBeSet = 10,
  kRequiredClusterWidth = 11,
  kRequiredClusterHeight = 12,
  kRequiredClusterDepth = 13,
  kNonPortableClusterSizeAllowed = 14,
  kClusterSchedulingPolicyPreference = 15,
};

// Threads of the largest block that has enough registers, and that the kernel allows.
int most_threads(const Function& function, const Architecture& architecture);
// Bytes of shared memory that the kernel's own variables take, and that a launch may add.
int static_shared(const Function& function);
int most_dynamic_shared(const FunctionHandle& handle);
// Of a directive of PTX, in which what is left out is 1.
Dim dim_of(const int (&sizes)[3]);
// Blocks of a cluster in each direction; all 0 if the kernel has none.
Dim cluster_of(const FunctionHandle& handle);

}  // namespace softcuda
