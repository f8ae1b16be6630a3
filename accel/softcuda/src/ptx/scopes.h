// What a name stands for in the body of a function.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace softcuda::ptx {

// Registers and variables by their index into the function. Each `{ }` is a scope: what is declared
// in it hides what the scopes around it declare under the same name.
class Scopes {
 public:
  void clear() { scopes_.assign(1, Scope{}); }  // of another function
  void enter() { scopes_.emplace_back(); }
  void leave() { scopes_.pop_back(); }

  void add_register(const std::string& name, int index) { own().registers[name] = index; }
  // `%r<100>` declares %r0 to %r99.
  void add_registers(const std::string& prefix, int first, int count) {
    own().ranges[prefix] = {first, count};
  }
  void add_variable(const std::string& name, int index) { own().variables[name] = index; }

  // The index, or -1 if nothing has that name.
  int find_register(const std::string& name) const;
  int find_variable(const std::string& name) const;

 private:
  struct Scope {
    std::unordered_map<std::string, int> registers;
    std::unordered_map<std::string, int> variables;
    std::map<std::string, std::pair<int, int>> ranges;  // prefix -> first index, count
  };
  Scope& own() { return scopes_.back(); }

  std::vector<Scope> scopes_ = std::vector<Scope>(1);
};

}  // namespace softcuda::ptx
