// Where code stands in the source: a line, and the lines at which it was inlined.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

namespace softcuda::ptx {

// A line, and the frame of the call that it was inlined at; 0 is none. Callers come before what
// they call.
struct SourceFrame {
  int file = 0;
  int line = 0;
  int caller = 0;
};

// Frames by number, from 1 on, each of them once.
class FrameTable {
 public:
  int add(const SourceFrame& frame);
  const std::vector<SourceFrame>& frames() const { return frames_; }

 private:
  std::vector<SourceFrame> frames_{SourceFrame{}};
  std::map<std::array<int, 3>, int> numbers_;
};

// The line that its reader has written, and the frame that says what was inlined there.
struct SourceLocation {
  int file = 0;
  int line = 0;
  int frame = 0;  // 0: not known
};

// Frames and the files that they name.
struct SourceMap {
  std::map<int, std::string> files;
  std::vector<SourceFrame> frames{SourceFrame{}};

  // What stands for a frame: the innermost line that is not in a header of the CUDA toolkit. What
  // these do for a line of the user is that line's doing.
  SourceLocation location(int frame) const;

  // "wrapper.hpp:7, inlined at kernel.cu:3, inlined at kernel.cu:9"; empty for what is not inlined.
  std::string inlining(int frame) const;
};

}  // namespace softcuda::ptx
