#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>

#include "ast.h"
#include "lexer.h"

namespace softcuda::ptx {

Type type_named(const std::string& name) {
  using K = Type::Kind;
  static const std::unordered_map<std::string, Type> types = {
      {"pred", {K::kPredicate, 1, 1}},   {"b8", {K::kBits, 8, 1}},
      {"b16", {K::kBits, 16, 1}},        {"b32", {K::kBits, 32, 1}},
      {"b64", {K::kBits, 64, 1}},        {"b128", {K::kBits, 128, 1}},
      {"u8", {K::kUnsigned, 8, 1}},      {"u16", {K::kUnsigned, 16, 1}},
      {"u32", {K::kUnsigned, 32, 1}},    {"u64", {K::kUnsigned, 64, 1}},
      {"s8", {K::kSigned, 8, 1}},        {"s16", {K::kSigned, 16, 1}},
      {"s32", {K::kSigned, 32, 1}},      {"s64", {K::kSigned, 64, 1}},
      {"f16", {K::kFloat, 16, 1}},       {"f16x2", {K::kFloat, 16, 2}},
      {"f32", {K::kFloat, 32, 1}},       {"f64", {K::kFloat, 64, 1}},
      {"bf16", {K::kBrainFloat, 16, 1}}, {"bf16x2", {K::kBrainFloat, 16, 2}},
  };
  const auto found = types.find(name);
  return found == types.end() ? Type{} : found->second;
}

namespace {

// Names of one `{ }`: registers and variables by index into the function.
struct Scope {
  std::unordered_map<std::string, int> registers;
  std::unordered_map<std::string, int> variables;
  std::map<std::string, std::pair<int, int>> ranges;  // prefix<count> -> first index, count
};

constexpr uint64_t kMostBytes = uint64_t{1} << 40;
constexpr int kMostRegisters = 1 << 20;
constexpr int kDeepestScope = 200;

// File, line and column of a .loc.
using Place = std::array<int, 3>;

class Parser {
 public:
  explicit Parser(const std::string& text) : tokens_(tokenize(text)) {}

  Module run() {
    while (here().kind != Token::Kind::kEnd) module_item();
    name_sources();
    if (module_.version == 0 || module_.target.number == 0) {
      throw PtxError(1, "a PTX text begins with .version and .target");
    }
    return std::move(module_);
  }

 private:
  // --- tokens ---

  const Token& here(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token take() {
    Token token = here();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool accept(const char* punctuation) {
    if (!here().is(punctuation)) return false;
    take();
    return true;
  }
  void expect(const char* punctuation) {
    if (!accept(punctuation)) fail(std::string("expected '") + punctuation + "'");
  }
  std::string name(const char* what) {
    if (here().kind != Token::Kind::kIdentifier) fail(std::string("expected ") + what);
    return take().text;
  }
  uint64_t integer() {
    const bool negative = accept("-");
    if (here().kind != Token::Kind::kInteger) fail("expected an integer");
    const uint64_t value = take().value;
    return negative ? 0 - value : value;
  }
  [[noreturn]] void fail(const std::string& what) const {
    const Token& token = here();
    const std::string found = token.kind == Token::Kind::kEnd ? "the end" : "'" + token.text + "'";
    throw PtxError(token.line, what + ", found " + found);
  }
  // The word after a dot, where one stands here: ".visible" gives "visible".
  std::string directive() const {
    const bool is_one = here().is(".") && here(1).kind == Token::Kind::kIdentifier;
    return is_one ? here(1).text : std::string();
  }
  bool accept_directive(const char* word) {
    if (directive() != word) return false;
    take();
    take();
    return true;
  }
  void skip_line(int line) {
    while (here().kind != Token::Kind::kEnd && here().line == line) take();
  }
  void skip_statement() {
    while (here().kind != Token::Kind::kEnd && !accept(";")) take();
  }

  // --- modules ---

  void module_item() {
    if (accept(";")) return;
    const std::string word = directive();
    const int line = here().line;
    if (word.empty()) fail("expected a directive");
    if (word == "version") {
      take(), take();
      version();
    } else if (word == "target") {
      take(), take();
      target(line);
    } else if (word == "address_size") {
      take(), take();
      if (integer() != 64) throw PtxError(line, ".address_size has a value other than 64");
    } else if (word == "file") {
      take(), take();
      const int number = static_cast<int>(integer());
      if (here().kind != Token::Kind::kString) fail("expected a file name");
      module_.sources.files[number] = take().text;
      skip_line(line);
    } else if (word == "section") {
      skip_section();
    } else if (word == "pragma") {
      skip_statement();
    } else {
      declaration();
    }
  }

  void version() {
    // "8.5" is read as a floating-point number, and 9.10 would be; its tokens know better.
    const Token token = take();
    if (token.kind == Token::Kind::kFloat64) {
      double value = 0;
      std::memcpy(&value, &token.value, sizeof value);
      module_.version = static_cast<int>(value * 10 + 0.5);
    } else if (token.kind == Token::Kind::kInteger && token.value < 100) {
      module_.version = static_cast<int>(token.value) * 10;
    } else {
      fail("expected a version such as 8.5");
    }
  }

  void target(int line) {
    do {
      const std::string word = name("a target");
      if (word == "texmode_unified" || word == "texmode_independent" || word == "debug") continue;
      module_.target = architecture_named(word);
      if (module_.target.number == 0) throw PtxError(line, "target " + word + " is not known");
    } while (accept(","));
    if (module_.target.number == 0) throw PtxError(line, ".target names no sm_ architecture");
    module_.target_line = line;
  }

  void skip_section() {
    while (!here().is("{")) {
      if (here().kind == Token::Kind::kEnd) fail("expected '{' after .section");
      take();
    }
    int depth = 0;
    do {
      if (here().kind == Token::Kind::kEnd) fail("a .section is not closed");
      depth += here().is("{") - here().is("}");
      take();
    } while (depth > 0);
  }

  // A function or a variable, after the words that say how it is linked.
  void declaration() {
    bool is_extern = false, is_visible = false;
    for (;;) {
      if (accept_directive("extern")) {
        is_extern = true;
      } else if (accept_directive("visible") || accept_directive("weak") ||
                 accept_directive("common")) {
        is_visible = true;
      } else {
        break;
      }
    }
    if (accept_directive("entry")) {
      function(true, is_extern, is_visible);
    } else if (accept_directive("func")) {
      function(false, is_extern, is_visible);
    } else {
      variables(module_.variables, is_extern, nullptr);
    }
  }

  // --- variables ---

  Space space() {
    if (accept_directive("global")) return Space::kGlobal;
    if (accept_directive("const")) return Space::kConst;
    if (accept_directive("shared")) return Space::kShared;
    if (accept_directive("local")) return Space::kLocal;
    if (accept_directive("param")) return Space::kParam;
    fail("expected a directive that is known");
  }

  // `.global .align 4 .f32 x = 0f3F800000, y[4];` One variable only where it is a parameter.
  void variables(std::vector<Variable>& into, bool is_extern, Scope* scope) {
    Variable common;
    common.is_extern = is_extern;
    common.space = space();
    attributes(common);
    do {
      Variable v = common;
      declarator(v);
      if (accept("=")) initializer(v);
      if (scope != nullptr) scope->variables[v.name] = static_cast<int>(into.size());
      into.push_back(v);
    } while (accept(","));
    expect(";");
  }

  // Alignment, vector length and type, in any order.
  void attributes(Variable& v) {
    uint64_t align = 0;
    int vector = 1;
    for (;;) {
      const std::string word = directive();
      if (word.empty()) break;
      const Type type = type_named(word);
      if (type.kind != Type::Kind::kNone) {
        v.type = type;
      } else if (word == "v2" || word == "v4" || word == "v8") {
        vector = word[1] - '0';
      } else if (word == "align") {
        take(), take();
        align = alignment();
        continue;
      } else if (word == "ptr") {
        take(), take();
        for (const char* s : {"global", "const", "shared", "local"}) accept_directive(s);
        if (accept_directive("align")) alignment();  // of what the parameter points to
        continue;
      } else if (word == "attribute") {
        take(), take();
        expect("(");
        if (!accept_directive("managed")) fail("expected .managed");
        expect(")");
        continue;
      } else {
        fail("expected a type that is known");
      }
      take(), take();
    }
    if (v.type.kind == Type::Kind::kNone) fail("expected a type");
    v.bytes = static_cast<uint64_t>(std::max(v.type.bytes(), 1)) * static_cast<uint64_t>(vector);
    v.align = align != 0 ? align : v.bytes;
  }

  uint64_t alignment() {
    const uint64_t value = integer();
    if (value == 0 || (value & (value - 1)) != 0 || value > 1024) fail("expected a power of two");
    return value;
  }

  void declarator(Variable& v) {
    v.name = name("a variable's name");
    while (accept("[")) {
      uint64_t count = 0;
      if (!here().is("]")) count = integer();
      expect("]");
      if (count != 0 && v.bytes > kMostBytes / count) fail("expected a size that fits into memory");
      v.bytes *= count;
    }
  }

  void initializer(Variable& v) {
    uint64_t offset = 0;
    initializer_list(v, offset, 0);
    if (v.bytes == 0) v.bytes = offset;
    if (offset > v.bytes) fail("expected no more initial values than the variable holds");
  }

  void initializer_list(Variable& v, uint64_t& offset, int depth) {
    if (depth > kDeepestScope) fail("expected fewer nested braces");
    if (!accept("{")) {
      initial_value(v, offset);
      return;
    }
    if (accept("}")) return;
    do {
      initializer_list(v, offset, depth + 1);
    } while (accept(","));
    expect("}");
  }

  void initial_value(Variable& v, uint64_t& offset) {
    Initializer one;
    one.offset = offset;
    one.bytes = v.type.bytes();
    const Token& token = here();
    if (token.kind == Token::Kind::kIdentifier) {
      address_constant(one);
    } else {
      one.value = number_of_type(v.type);
    }
    offset += static_cast<uint64_t>(one.bytes);
    v.initializers.push_back(one);
  }

  // `f`, `x+4`, `generic(x)+4` or `0xFF(x)` and `mask(...)`-like bytes of an address.
  void address_constant(Initializer& one) {
    one.symbol = name("a name");
    if (one.symbol == "generic" && accept("(")) {
      one.generic = true;
      one.symbol = name("a name");
      expect(")");
    }
    if (accept("+")) one.value = integer();
    if (here().is("-")) one.value += integer();
  }

  uint64_t number_of_type(const Type& type) {
    const bool negative = accept("-");
    const Token token = take();
    double value = 0;
    if (token.kind == Token::Kind::kInteger) {
      if (!type.is_float()) return negative ? 0 - token.value : token.value;
      value = static_cast<double>(token.value);
    } else if (token.kind == Token::Kind::kFloat32) {
      float single = 0;
      std::memcpy(&single, &token.value, sizeof single);
      value = single;
      if (type.bits == 32 || !type.is_float()) return token.value ^ (negative ? 0x80000000u : 0u);
    } else if (token.kind == Token::Kind::kFloat64) {
      std::memcpy(&value, &token.value, sizeof value);
    } else {
      fail("expected a number");
    }
    if (negative) value = -value;
    uint64_t bits = 0;
    if (type.bits == 32) {
      const float single = static_cast<float>(value);
      std::memcpy(&bits, &single, sizeof single);
    } else {
      std::memcpy(&bits, &value, sizeof value);
    }
    return bits;
  }

  // --- functions ---

  void function(bool is_entry, bool is_extern, bool is_visible) {
    Function f;
    f.is_entry = is_entry;
    f.is_visible = is_visible;
    f.line = here().line;
    scopes_.assign(1, Scope{});
    frames_at_.clear();
    function_ = &f;
    if (accept("(")) f.results = parameters();
    f.name = name("a function's name");
    if (accept("(")) f.parameters = parameters();
    performance_directives(f);
    if (accept(";")) {
      f.is_declaration = true;
    } else {
      if (is_extern) fail("expected ';' after an .extern function");
      expect("{");
      block(0);
      resolve_end_labels(f);
    }
    function_ = nullptr;
    module_.functions.push_back(std::move(f));
  }

  std::vector<int> parameters() {
    std::vector<int> indices;
    if (accept(")")) return indices;
    do {
      if (directive() == "reg") fail("expected .param: parameters in registers are not supported");
      Variable v;
      v.space = space();
      attributes(v);
      declarator(v);
      const int index = static_cast<int>(function_->variables.size());
      scopes_.back().variables[v.name] = index;
      function_->variables.push_back(v);
      indices.push_back(index);
    } while (accept(","));
    expect(")");
    return indices;
  }

  void performance_directives(Function& f) {
    for (std::string word = directive(); !word.empty(); word = directive()) {
      take(), take();
      int sizes[3] = {1, 1, 1};
      if (word == "noreturn" || word == "explicitcluster") continue;
      if (word == "pragma") {
        skip_statement();
        continue;
      }
      const bool is_known = word == "maxntid" || word == "reqntid" || word == "minnctapersm" ||
                            word == "maxnreg" || word == "maxnctapersm" ||
                            word == "reqnctapercluster" || word == "maxclusterrank";
      if (!is_known) fail("expected a directive of a function that is known");
      for (int i = 0; i < 3; ++i) {
        sizes[i] = static_cast<int>(integer());
        if (!accept(",")) break;
      }
      if (word == "maxntid") f.max_threads = sizes[0] * sizes[1] * sizes[2];
      if (word == "reqntid") std::copy(sizes, sizes + 3, f.required_threads);
      if (word == "reqnctapercluster") std::copy(sizes, sizes + 3, f.cluster);
    }
  }

  // The label after the last statement needs one to stand for: a `ret` that nothing else reaches.
  void resolve_end_labels(Function& f) {
    Statement last;
    last.opcode = f.is_entry ? "exit" : "ret";
    last.line = here().line;
    last.source.frame = frame_;
    f.body.push_back(last);
    frame_ = 0;
  }

  void block(int depth) {
    if (depth > kDeepestScope) fail("expected fewer nested braces");
    while (!accept("}")) {
      if (here().kind == Token::Kind::kEnd) fail("a function is not closed");
      if (accept("{")) {
        scopes_.emplace_back();
        block(depth + 1);
        scopes_.pop_back();
      } else if (!directive().empty()) {
        body_directive(directive());
      } else if (here().kind == Token::Kind::kIdentifier && here(1).is(":")) {
        label();
      } else if (!accept(";")) {
        statement();
      }
    }
  }

  void label() {
    const std::string text = take().text;
    expect(":");
    const std::string word = directive();
    if (word == "branchtargets") {
      take(), take();
      std::vector<std::string>& targets = function_->branch_targets[text];
      do {
        targets.push_back(name("a label"));
      } while (accept(","));
      expect(";");
    } else if (word == "callprototype" || word == "calltargets") {
      skip_statement();
    } else if (!function_->labels.emplace(text, static_cast<int>(function_->body.size())).second) {
      fail("label " + text + " stands twice");
    }
  }

  void body_directive(const std::string& word) {
    const int line = here().line;
    if (word == "reg") {
      take(), take();
      registers();
    } else if (word == "loc") {
      take(), take();
      location(line);
    } else if (word == "pragma") {
      skip_statement();
    } else if (word == "section") {
      skip_section();
    } else {
      variables(function_->variables, false, &scopes_.back());
    }
  }

  // `.loc file line column`, and of what is inlined `, function_name label, inlined_at file line
  // column`: a place that an earlier .loc has given, with the place it was inlined at in turn.
  void location(int line) {
    const Place place = source_place(line);
    int caller = 0;
    while (here().kind != Token::Kind::kEnd && here().line == line) {
      if (here().text != "inlined_at") {
        take();
        continue;
      }
      take();
      const Place at = source_place(line);
      const auto known = frames_at_.find(at);
      caller = known != frames_at_.end() ? known->second : frames_.add({at[0], at[1], 0});
    }
    frame_ = frames_.add({place[0], place[1], caller});
    frames_at_[place] = frame_;
  }

  Place source_place(int line) {
    Place place = {static_cast<int>(integer()), static_cast<int>(integer()), 0};
    if (here().line == line && here().kind == Token::Kind::kInteger) {
      place[2] = static_cast<int>(integer());
    }
    return place;
  }

  // Files are named at the end: only then is it known which frames are the user's.
  void name_sources() {
    module_.sources.frames = frames_.frames();
    for (Function& f : module_.functions) {
      for (Statement& s : f.body) s.source = module_.sources.location(s.source.frame);
    }
  }

  void registers() {
    int vector = 1;
    Type type;
    while (!directive().empty()) {
      const std::string word = directive();
      const Type found = type_named(word);
      if (found.kind != Type::Kind::kNone) {
        type = found;
      } else if (word == "v2" || word == "v4") {
        vector = word[1] - '0';
      } else {
        fail("expected a type");
      }
      take(), take();
    }
    if (type.kind == Type::Kind::kNone) fail("expected a type");
    do {
      const std::string base = name("a register's name");
      if (accept("<")) {
        const uint64_t count = integer();
        expect(">");
        if (vector != 1 || count > kMostRegisters) fail("expected fewer registers");
        scopes_.back().ranges[base] = {add_register(base, type, static_cast<int>(count)),
                                       static_cast<int>(count)};
      } else {
        scopes_.back().registers[base] = add_register(base, type, vector);
      }
    } while (accept(","));
    expect(";");
  }

  int add_register(const std::string& base, const Type& type, int count) {
    std::vector<Register>& all = function_->registers;
    const int first = static_cast<int>(all.size());
    if (first + count > kMostRegisters) fail("expected fewer registers");
    for (int i = 0; i < count; ++i) {
      all.push_back({count == 1 ? base : base + std::to_string(i), type});
    }
    return first;
  }

  int find_register(const std::string& text) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto single = scope->registers.find(text);
      if (single != scope->registers.end()) return single->second;
      const size_t digits = text.find_last_not_of("0123456789") + 1;
      if (digits == text.size() || text.size() - digits > 7) continue;
      const auto range = scope->ranges.find(text.substr(0, digits));
      if (range == scope->ranges.end()) continue;
      const int number = std::atoi(text.c_str() + digits);
      if (number < range->second.second) return range->second.first + number;
    }
    return -1;
  }

  int find_variable(const std::string& text) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->variables.find(text);
      if (found != scope->variables.end()) return found->second;
    }
    return -1;
  }

  // --- statements ---

  void statement() {
    Statement s;
    s.line = here().line;
    s.source.frame = frame_;
    if (accept("@")) {
      s.guard_negated = accept("!");
      const std::string text = name("a predicate");
      s.guard = find_register(text);
      if (s.guard < 0) throw PtxError(s.line, text + " is no register");
    }
    s.line = here().line;
    s.opcode = name("an instruction");
    while (accept(".")) {
      std::string modifier = name("a modifier");
      while (accept("::")) modifier += "::" + name("a modifier");
      s.modifiers.push_back(modifier);
    }
    if (s.opcode == "call") {
      call(s);
    } else if (!here().is(";")) {
      do {
        s.operands.push_back(operand(0));
        if (here().is("|") && s.operands.size() != 1) fail("expected ','");
        if (accept("|")) s.results.push_back(operand(0));
      } while (accept(","));
    }
    expect(";");
    function_->body.push_back(std::move(s));
  }

  // (result), function, (arguments), prototype
  void call(Statement& s) {
    if (here().is("(")) {
      s.results = operand_list();
      expect(",");
    }
    s.operands.push_back(operand(0));
    if (accept(",")) {
      if (here().is("(")) {
        s.arguments = operand_list();
        if (accept(",")) name("a prototype");
      } else {
        name("a prototype");
      }
    }
  }

  std::vector<Operand> operand_list() {
    std::vector<Operand> list;
    expect("(");
    if (accept(")")) return list;
    do {
      list.push_back(operand(0));
    } while (accept(","));
    expect(")");
    return list;
  }

  Operand operand(int depth) {
    if (depth > 3) fail("expected a simpler operand");
    Operand o;
    if (accept("{")) {
      o.kind = Operand::Kind::kVector;
      do {
        o.parts.push_back(operand(depth + 1));
      } while (accept(","));
      expect("}");
      return o;
    }
    if (accept("[")) {
      o.kind = Operand::Kind::kAddress;
      o.parts.push_back(operand(depth + 1));
      o.value = o.parts[0].value;
      if (o.parts[0].kind != Operand::Kind::kInteger) o.parts[0].value = 0;
      expect("]");
      return o;
    }
    o.negated = accept("!");
    if (here().kind == Token::Kind::kIdentifier) return named_operand(o);
    return number_operand(o);
  }

  Operand number_operand(Operand o) {
    const bool negative = accept("-");
    const Token token = take();
    o.value = token.value;
    if (token.kind == Token::Kind::kInteger) {
      o.kind = Operand::Kind::kInteger;
      if (negative) o.value = 0 - o.value;
    } else if (token.kind == Token::Kind::kFloat32) {
      o.kind = Operand::Kind::kFloat32;
      if (negative) o.value ^= 0x80000000u;
    } else if (token.kind == Token::Kind::kFloat64) {
      o.kind = Operand::Kind::kFloat64;
      if (negative) o.value ^= uint64_t{1} << 63;
    } else {
      throw PtxError(token.line, "expected an operand, found '" + token.text + "'");
    }
    return o;
  }

  Operand named_operand(Operand o) {
    const std::string text = take().text;
    o.name = text;
    if (text == "_") {
      o.kind = Operand::Kind::kSink;
      return o;
    }
    o.index = find_register(text);
    if (o.index >= 0) {
      o.kind = Operand::Kind::kRegister;
      if (here().is(".") && here().joined) o.index += element();
    } else if (text[0] == '%') {
      o.kind = Operand::Kind::kSpecial;
      if (accept(".")) o.name += "." + name("x, y or z");
    } else {
      o.index = find_variable(text);
      o.kind = o.index >= 0 ? Operand::Kind::kVariable : Operand::Kind::kSymbol;
    }
    if (here().is("+")) {
      take();
      o.value = integer();
    } else if (here().is("-")) {
      o.value = integer();
    }
    return o;
  }

  int element() {
    take();
    const std::string which = name("x, y, z or w");
    const size_t found = std::string("xyzw").find(which);
    if (which.size() != 1 || found == std::string::npos) fail("expected x, y, z or w");
    return static_cast<int>(found);
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Module module_;
  Function* function_ = nullptr;
  std::vector<Scope> scopes_;
  // Of the function that is read: the frame of what follows, and the last one of each place.
  int frame_ = 0;
  std::map<Place, int> frames_at_;
  FrameTable frames_;
};

}  // namespace

Module parse(const std::string& text) { return Parser(text).run(); }

}  // namespace softcuda::ptx
