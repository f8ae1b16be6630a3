// Prints, for each instruction of PTX text or of a cubin's, the line of the PTX, the opcode, and
// the source line and inlining that softcuda names: one instruction a line, separated by tabs.
#include <fstream>
#include <iostream>
#include <sstream>

#include "image/cubin.h"
#include "ptx/ast.h"

using namespace softcuda;

int main(int, char** arguments) {
  std::ifstream file(arguments[1], std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  const std::string image = text.str();
  const bool is_cubin = image.compare(0, 4,
                                      "\x7f"
                                      "ELF") == 0;
  Cubin cubin;
  if (is_cubin) cubin = read_cubin(Bytes(image.data(), image.size()));
  ptx::Module module = ptx::parse(is_cubin ? cubin.ptx : image);
  if (is_cubin) name_source_lines(module, cubin.lines);
  for (const ptx::Function& f : module.functions) {
    for (const ptx::Statement& s : f.body) {
      const auto name = module.sources.files.find(s.source.file);
      std::cout << s.line << '\t' << s.opcode;
      for (const std::string& modifier : s.modifiers) std::cout << '.' << modifier;
      std::cout << '\t' << (name == module.sources.files.end() ? "" : name->second) << ':'
                << s.source.line << '\t' << module.sources.inlining(s.source.frame) << '\n';
    }
  }
}
