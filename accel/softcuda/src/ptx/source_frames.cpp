#include "source_frames.h"

namespace softcuda::ptx {
namespace {

constexpr int kMostFramesNamed = 12;
const std::string kInclude = "/include/";

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// nvcc names its headers from where it lies itself, .../bin/../include or .../bin/../targets; the
// other places are those to which it is installed.
bool is_toolkit_header(const std::string& path) {
  const size_t end = path.find(kInclude);
  if (end == std::string::npos) return false;
  const std::string folder = path.substr(0, end);
  return ends_with(folder, "/bin/..") || folder.find("/bin/../targets/") != std::string::npos ||
         folder.find("/nvidia/cu") != std::string::npos ||
         folder.rfind("/usr/local/cuda", 0) == 0 || folder.rfind("/opt/cuda", 0) == 0 ||
         folder == "/usr";
}

}  // namespace

int FrameTable::add(const SourceFrame& frame) {
  const auto [at, is_new] = numbers_.emplace(
      std::array<int, 3>{frame.file, frame.line, frame.caller}, static_cast<int>(frames_.size()));
  if (is_new) frames_.push_back(frame);
  return at->second;
}

SourceLocation SourceMap::location(int frame) const {
  const SourceFrame& innermost = frames[static_cast<size_t>(frame)];
  for (int k = frame; k != 0; k = frames[static_cast<size_t>(k)].caller) {
    const SourceFrame& one = frames[static_cast<size_t>(k)];
    const auto file = files.find(one.file);
    if (file != files.end() && !is_toolkit_header(file->second)) return {one.file, one.line, frame};
  }
  return {innermost.file, innermost.line, frame};
}

std::string SourceMap::inlining(int frame) const {
  std::string text;
  if (frames[static_cast<size_t>(frame)].caller == 0) return text;
  int named = 0;
  for (int k = frame; k != 0; k = frames[static_cast<size_t>(k)].caller) {
    if (++named > kMostFramesNamed) return text + ", and so on";
    const SourceFrame& one = frames[static_cast<size_t>(k)];
    const auto file = files.find(one.file);
    std::string name = file == files.end() ? "unknown file" : file->second;
    if (is_toolkit_header(name)) name.erase(0, name.rfind(kInclude) + kInclude.size());
    text += (text.empty() ? "" : ", inlined at ") + name + ":" + std::to_string(one.line);
  }
  return text;
}

}  // namespace softcuda::ptx
