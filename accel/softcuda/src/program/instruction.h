// PTX as it is executed: instructions with a handler each, functions, loaded modules.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../common.h"
#include "../ptx/ast.h"

namespace softcuda {

class Warp;
struct Function;
struct Instruction;

// Executes an instruction for the lanes of the mask, which is never empty.
using Handler = void (*)(Warp&, const Instruction&, Mask);

// What an instruction does to the program counter. Everything but kNext is done by Warp itself.
enum class Flow : uint8_t {
  kNext,
  kBranch,
  kBranchTable,  // brx.idx
  kCall,
  kReturn,
  kExit,
  kBarrier,   // of a block
  kWarpSync,  // waits for the lanes of a mask
  kPause,     // nanosleep: gives way
  kTrap,
};

// What instructions are counted as.
enum class Category : uint8_t {
  kMove,
  kInteger,
  kConvert,
  kFloat32,
  kFloat64,
  kSpecial,  // approximations: ex2, rcp, ...
  kGlobal,
  kShared,
  kLocal,
  kConst,
  kParam,
  kAtomic,
  kControl,
  kBarrier,
  kWarp,
  kCount,
};
const char* category_name(Category category);

// A row is one register for all lanes, or a number that is the same for all of them. Its name is
// its place: bytes from the start of a frame, or of the function's constants where bit 0 is set.
// While a function is decoded, a row of the frame is named by twice its number in Function::rows.
using Row = uint32_t;
constexpr Row kNoRow = ~Row{0};
constexpr Row kConstantRow = 1;

inline bool is_frame_row(Row row) { return (row & kConstantRow) == 0; }

// How far the order of an access reaches: accesses that both reach each other do not race.
enum class Scope : uint8_t { kWeak, kBlock, kCluster, kDevice };

// What an access or a fence does to the order of others.
enum class Order : uint8_t { kRelaxed, kAcquire, kRelease, kAcquireRelease };

struct MemoryOperand {
  ptx::Space space = ptx::Space::kNone;  // kNone: generic
  uint8_t element_bytes = 0;
  uint8_t elements = 1;
  bool is_wide = true;  // the base is a 64-bit row
  bool is_store = false;
  bool is_atomic = false;
  bool is_read_only = false;     // ld.global.nc
  bool reaches_cluster = false;  // .shared::cluster: blocks of the cluster too
  Scope scope = Scope::kWeak;    // of volatile, relaxed and stronger accesses
  Order order = Order::kRelaxed;
  uint8_t operation = 0;  // of an atomic
  // Rows of the elements, and the width of a lane in each of them: 4, 8 or 16.
  Row parts[8] = {kNoRow, kNoRow, kNoRow, kNoRow, kNoRow, kNoRow, kNoRow, kNoRow};
  uint8_t part_bytes[8] = {};

  uint32_t bytes() const { return uint32_t{element_bytes} * elements; }
};

struct BarrierOperand {
  enum class Kind {
    kSync,
    kArrive,
    kReducePopc,
    kReduceAnd,
    kReduceOr,
    kClusterArrive,
    kClusterWait,
  };
  Kind kind = Kind::kSync;
  bool is_aligned = true;
  bool is_relaxed = false;  // of a cluster: orders no memory
  Row id = kNoRow;
  Row count = kNoRow;      // kNoRow: all threads of the block
  Row predicate = kNoRow;  // of a reduction
  bool is_negated = false;
};

// Bytes of a .param variable to be copied between caller and callee.
struct CallOperand {
  const Function* callee = nullptr;  // null: an indirect call through a row
  std::string builtin;               // vprintf, malloc, free or __assertfail
  Row target = kNoRow;
  std::vector<std::pair<uint32_t, uint32_t>> arguments;  // place in the frame's parameters, bytes
  std::vector<std::pair<uint32_t, uint32_t>> results;
};

// Instructions that move a register, all of it or by lanes: what was never written may be moved.
enum class Moves : uint8_t { kNothing, kAll, kSelected, kShuffled };

// What Instruction::extra points to.
enum class OperandKind : uint8_t { kNone, kMemory, kBarrier, kCall, kBranchTable };

struct Instruction {
  Handler run = nullptr;
  Row d = kNoRow, e = kNoRow;  // results
  Row a = kNoRow, b = kNoRow, c = kNoRow, c2 = kNoRow;
  Row guard = kNoRow;
  Flow flow = Flow::kNext;
  OperandKind operand = OperandKind::kNone;
  // a to d; or a where c holds (b where not); or a of other lanes, as the handler says.
  Moves moves = Moves::kNothing;
  Category category = Category::kMove;
  bool guard_negated = false;
  bool is_auxiliary = false;  // belongs to another instruction of its statement; is not counted
  uint8_t flops = 0;
  uint32_t target = 0;  // of a branch
  uint32_t join = 0;    // where the two ways of a branch meet again; kNoJoin: nowhere
  int64_t immediate = 0;
  const void* extra = nullptr;  // as `operand` says
  int ptx_line = 0;
  ptx::SourceLocation source;
};
constexpr uint32_t kNoJoin = ~uint32_t{0};

// How often an instruction was executed, and what its memory accesses cost.
struct Count {
  uint64_t warps = 0;
  uint64_t lanes = 0;
  uint64_t global_requests = 0;   // warps that accessed global memory
  uint64_t sectors = 0;           // of 32 bytes
  uint64_t shared_requests = 0;   // warps that accessed shared memory
  uint64_t wavefronts = 0;        // of shared memory: 1 a request without a conflict
  uint64_t ideal_wavefronts = 0;  // what they would be without conflicts
  uint64_t divided = 0;           // branches at which the lanes of a warp went apart

  Count& operator+=(const Count& other);
};

struct Frame;

// A special register that a function reads: its row is written when a frame is made.
using SpecialValue = uint64_t (*)(const Warp&, const Frame&, int lane);
struct SpecialRegister {
  SpecialValue value;
  bool is_wide;
  Row row;
};

// What an instruction has cost so far, and what it accessed last.
struct Allocation;
struct Site {
  Count count;
  const Allocation* last = nullptr;
};

struct Function {
  std::string name;
  bool is_entry = false;
  std::vector<Instruction> code;
  std::vector<char> constants;  // rows
  std::vector<uint8_t> rows;    // while it is decoded: bytes of a lane of every row, 0 a predicate
  uint32_t frame_bytes = 0;     // rows of a frame: those of 16 bytes a lane, of 8, of 4, predicates
  uint32_t ends[3] = {0, 0, 0};  // of the first three
  std::vector<SpecialRegister> specials;
  uint32_t param_bytes = 0;         // .param variables of the frame, a lane's worth
  uint32_t kernel_param_bytes = 0;  // of an entry: what a launch must bring
  bool has_common_params = false;   // of an entry: no others than those, the same for all lanes
  std::vector<std::pair<uint32_t, uint32_t>> parameters;  // place in the frame, bytes
  std::vector<std::pair<uint32_t, uint32_t>> results;
  uint32_t variable_bytes = 0;                // .local variables, a lane's worth
  uint32_t local_bytes = 0;                   // what a call takes of the stack
  uint32_t shared_begin = 0, shared_end = 0;  // .shared variables of an entry
  uint32_t dynamic_shared = 0;                // where `extern .shared` begins
  bool uses_dynamic_shared = false;
  int registers = 0;                          // 32-bit ones a thread
  const char* registers_source = "liveness";  // who said so: "cubin", "ptxas", or an estimate
  int most_registers = 255;                   // that blocks of .maxntid threads can have
  int max_threads = 1024;
  int required_threads[3] = {0, 0, 0};
  int cluster[3] = {0, 0, 0};
  std::vector<Site> sites;  // of every instruction, over all launches
  bool makes_calls = false;
  // It, or what it calls, may hear from other blocks, or does what all of them do in one order.
  bool communicates = false;
  // Where reads of what was never written are looked for: a row of lanes that have written it, for
  // every place in the frame (by its offset / 4); and those of places that nothing has written when
  // the function begins.
  std::vector<Row> written_of_place;
  std::vector<Row> unwritten_at_entry;
  uint32_t written_begin = 0;  // these rows, up to the end of the frame

  // Owners of what Instruction::extra points to.
  std::vector<std::unique_ptr<MemoryOperand>> memory_operands;
  std::vector<std::unique_ptr<BarrierOperand>> barrier_operands;
  std::vector<std::unique_ptr<CallOperand>> call_operands;
  std::vector<std::unique_ptr<std::vector<uint32_t>>> branch_tables;
};

class DeviceMemory;

// A loaded module: its variables have memory, its functions can be run.
struct Program {
  int version = 0;
  int target = 0;
  uint64_t approximation_seed = 0;  // 0: approximations are exact
  std::map<std::string, std::unique_ptr<Function>> functions;
  std::map<uint64_t, const Function*> function_addresses;
  std::map<std::string, std::pair<uint64_t, uint64_t>> variables;  // address and bytes
  std::map<std::string, uint32_t> shared_variables;                // module scope: offsets
  ptx::SourceMap sources;
};

// Decode a module and give its variables memory. Throws PtxError or ApiError.
std::unique_ptr<Program> load_program(const ptx::Module& module, DeviceMemory& memory,
                                      uint64_t approximation_seed);

}  // namespace softcuda
