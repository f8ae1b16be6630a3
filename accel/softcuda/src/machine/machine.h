// All of a launch as it runs, for the handlers of instructions.
#pragma once

#include "block.h"
#include "grid.h"
#include "launch.h"
#include "warp.h"
