"""Bugs of hand-written kernels, each as an edit of the CPU accelerator's own source.

Each must be found by the checks of ``kernel_checks.py``: by the numbers, by the tests of threads and
memory, or by a compiler that watches memory, where numbers show a bug only by chance.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PLANTED_BUGS", "KernelBug"]


class KernelBug(NamedTuple):
    """One bug.

    Attributes
    ----------
    about : str
        What is wrong.
    file : str
        In ``accel``.
    edits : tuple of (str, str)
        Text that stands exactly once in the file, and what takes its place.
    kind : str
        Of the checks that must find it: "values", "threads", "races" or "bounds".
    """

    about: str
    file: str
    edits: tuple[tuple[str, str], ...]
    kind: str = "values"

    def __str__(self) -> str:
        return f"{self.file.rpartition('/')[2]}: {self.about}"

    def edited(self, text: str) -> str:
        """The file's text with the bug; ValueError if that is not the text that was meant."""
        for old, new in self.edits:
            if text.count(old) != 1:
                raise ValueError(f"{self.file} has {text.count(old)} times {old!r}, expected once")
            text = text.replace(old, new)
        return text


def bugs(file: str, *of_file: tuple[str, str, str], kind: str = "values") -> list[KernelBug]:
    """What is wrong, the text, and what takes its place, of each bug of a file."""
    return [KernelBug(about, file, ((old, new),), kind) for about, old, new in of_file]


# What a step computes ---------------------------------------------------------------------------

_LSTM = bugs(
    "cpu/src/cells.h",
    ("i and f in each other's place, forward", "i = sigmoid(a[0]), f = sigmoid(a[1]), o = sigmoid(a[3]);  // L2", "i = sigmoid(a[1]), f = sigmoid(a[0]), o = sigmoid(a[3]);  // L2"),
    ("g from the place of o", "i * tanh(a[2]));", "i * tanh(a[3]));"),
    ("gates in reverse order, both passes", "return {group % gates,", "return {gates - 1 - group % gates,"),
    ("c not forgotten", "c = fma(f, c, i * tanh(a[2]));", "c = c + i * tanh(a[2]);"),
    ("h without tanh of c", "return o * tanh(c);", "return o * c;"),
    ("cotangent of o without tanh of c", "d_h * tanh(c) * sigmoid_derivative(a[3])", "d_h * c * sigmoid_derivative(a[3])"),
    ("tanh' of c from its output", "const V d = fma(d_h * o, sech2(c), d_c);", "const V d = fma(d_h * o, sech2(tanh(c)), d_c);"),
    ("d_c of later steps left out", "const V d = fma(d_h * o, sech2(c), d_c);", "const V d = d_h * o * sech2(c);"),
    ("sigmoid' of i from its output", "d * g * sigmoid_derivative(a[0])", "d * g * sigmoid_derivative(i)"),
    ("sigmoid' of o as o (1 - o)", "tanh(c) * sigmoid_derivative(a[3])", "tanh(c) * o * (T(1) - o)"),
    ("cotangent of f from the new c", "d * c_prev * sigmoid_derivative", "d * c * sigmoid_derivative"),
    ("d_c not multiplied by f", "d_c = d * f;", "d_c = d;"),
    ("gates of a unit looked for without groups", "return unit / kGroup<T> * kGroup<T> * gates + unit % kGroup<T>;", "return unit * gates;"),
) + [
    KernelBug("cotangents of i and f in each other's place", "cpu/src/cells.h", (("d_a[0] = d * g", "d_a[1] = d * g"), ("d_a[1] = d * c_prev", "d_a[0] = d * c_prev"))),
]

_GRU_AND_RNN = bugs(
    "cpu/src/cells.h",
    ("z and 1 - z in each other's place", "fma(sigmoid(z), h_prev, sigmoid(-z) * tanh(n))", "fma(sigmoid(-z), h_prev, sigmoid(z) * tanh(n))"),
    ("1 - z from the output, reset after", "d_a[0] = d_h * sigmoid(-z)", "d_a[0] = d_h * (T(1) - sigmoid(z))"),
    ("1 - z from the output, reset before", "d_n = d_h * sigmoid(-z)", "d_n = d_h * (T(1) - sigmoid(z))"),
    ("r ignored, reset after", "n = fma(sigmoid(r), q, n); ", "n = q + n; "),
    ("r ignored, reset before", "return sigmoid(r) * h_prev; }", "return h_prev; }"),
    ("sign of d_z", "d_a[2] = d_h * (h_prev - tanh(n))", "d_a[2] = d_h * (tanh(n) - h_prev)"),
    ("d_z without h_prev", "d_z = d_h * (h_prev - tanh(n))", "d_z = d_h * -tanh(n)"),
    ("d_r from h instead of q", "d_a[1] = d_a[0] * q *", "d_a[1] = d_a[0] * h_prev *"),
    ("cotangent of W_hn h without r", "d_a[3] = d_a[0] * sigmoid(r);", "d_a[3] = d_a[0];"),
    ("d_h not multiplied by z, reset after", "d_a[3] = d_a[0] * sigmoid(r);\n    d_h = d_h * sigmoid(z);", "d_a[3] = d_a[0] * sigmoid(r);\n   "),
    ("d_r without sigmoid'", "d_r = d_rh * h_prev * sigmoid_derivative(r);", "d_r = d_rh * h_prev * sigmoid(r);"),
    ("what comes back through r h not multiplied by r", "d_h = fma(d_rh, sigmoid(r), d_h);", "d_h = d_rh + d_h;"),
    ("what comes back through r h takes the place of d_h", "d_h = fma(d_rh, sigmoid(r), d_h);", "d_h = d_rh * sigmoid(r);"),
    ("the second cotangent of n goes to r", "return {2, column - 3 * units};", "return {0, column - 3 * units};"),
    ("tanh' from the output", "d_h * sech2(a[0]);  // R2'", "d_h * sech2(tanh(a[0]));  // R2'"),
    ("relu' at 0 is 1", "select(a[0] <= V{}, V{}, d_h)", "select(a[0] < V{}, V{}, d_h)"),
    ("relu makes 0 of NaN", "select(a[0] <= V{}, V{}, a[0])", "select(a[0] > V{}, a[0], V{})"),
)  # fmt: skip

# The walk forward -------------------------------------------------------------------------------

_SCHEDULE = bugs(
    "cpu/src/schedule.h",
    ("last step dropped", "left_ = end - first;", "left_ = end - first - (end - first > 1);"),
    ("reverse begins a step late", "? first : end - 1;", "? first : end - 1 - (end - first > 1);"),
    ("reverse walks forward", "row_ += schedule.direction;", "row_ += 1;"),
    ("sequences of a lane but the first left out", "if (--left_ == 0) begin_next(schedule);", "--left_;"),
) + [
    KernelBug("lane not reset between sequences", "cpu/src/schedule.h", (("    is_first_ = true;", "   "), ("bool is_first_ = false;", "bool is_first_ = true;"))),
]

_FORWARD = bugs(
    "cpu/src/forward.h",
    ("initial h ignored", "h_prev_[n] = (is_first ? with_.h_0 : with_.y) + before;", "h_prev_[n] = with_.y + before;"),
    ("initial c is initial h", "c_prev_[n] = (is_first ? with_.c_0 : with_.c)", "c_prev_[n] = (is_first ? with_.h_0 : with_.c)"),
    ("c not carried", "if constexpr (C::kHasC) c = load(c_prev_[n] + unit, count);", ""),
    ("h_prev from the row before, in reverse too", "cursor.row() - with_.schedule.direction", "cursor.row() - 1"),
    ("h_prev from two steps ago", "cursor.row() - with_.schedule.direction", "cursor.row() - (1 + (cursor.row() > 1)) * with_.schedule.direction"),
    ("final state is that after the first step", "if (cursor.is_last_step()) finish(cursor);", "if (cursor.is_first_step()) finish(cursor);"),
    ("final h lacks its last unit", "std::copy_n(with_.y + from, count,", "std::copy_n(with_.y + from, count - 1,"),
    ("final c is final h", "std::copy_n(with_.c + from, count,", "std::copy_n(with_.y + from, count,"),
    ("last lane left out", "lane < with.schedule.lanes;", "lane < with.schedule.lanes - 1;"),
    ("gates of the last row of a step not computed", "for (int n = 0; n < count_; ++n) {\n      for (int vector", "for (int n = 0; n < count_ - 1; ++n) {\n      for (int vector"),
    ("bias not added", "Rows<T>{in, out, count}, Start::kBias,\n", "Rows<T>{in, out, count}, Start::kZero,\n"),
    ("product of q begins at what memory held", "Start::kBias, weights_.candidate_bias", "Start::kThere, weights_.candidate_bias"),
    ("second product of reset before leaves out that of x", "candidate_.data(), count_},\n                 Start::kThere", "candidate_.data(), count_},\n                 Start::kZero"),
    ("pre-activation of n on the tape without q", "        store(a_[n] + unit, candidate);\n", ""),
    ("state of the tape's last vector not cut", "store(y_[n] + unit, h, count);", "store(y_[n] + unit, h);"),
    ("x not kept", "if (with.x_kept != with.x) {", "if (with.x_kept == nullptr) {"),
    ("last rows of x that fill no tile left out", "std::min<std::int64_t>(kTogether, end - first));\n    const size_t I", "std::min<std::int64_t>(kTogether, end - first));\n    if (count < kTileRows) return;\n    const size_t I"),
    ("threads leave out rows of x that divide by nothing", "project(with, sizes, weights, rows * thread / threads, rows * (thread + 1) / threads);", "project(with, sizes, weights, rows / threads * thread, rows / threads * (thread + 1));"),
    ("rows of a step share r h", "rh_out_[n] = rh_ + n * static_cast<size_t>(sizes_.units);", "rh_out_[n] = rh_;"),
    ("reset from h of the last lane", "C::reset(r, load(h_prev_[n] + unit,", "C::reset(r, load(h_prev_[static_cast<size_t>(count_ - 1)] + unit,"),
)  # fmt: skip

# The walk back ----------------------------------------------------------------------------------

_BACKWARD = bugs(
    "cpu/src/backward.h",
    ("cotangents of the final state ignored", "if (cursor.is_first_step()) begin(cursor, carried);", ""),
    ("d_h of a lane not reset between sequences", "store(carried + unit, load(with_.d_h_n + from, sizes_.hidden - unit));", "store(carried + unit, load(carried + unit) + load(with_.d_h_n + from, sizes_.hidden - unit));"),
    ("d_c_n is d_h_n", "load(with_.d_c_n + from,", "load(with_.d_h_n + from,"),
    ("d_h_0 is d_h_n", "if (cursor.is_last_step()) finish(cursor, d_h_of_lane_[lane]);", ""),
    ("d_c_0 is d_c_n", "        store(with_.d_c_0 + to, load(carried + sizes_.units + unit), sizes_.hidden - unit);\n", ""),
    ("d_c not carried", "if constexpr (C::kHasC) store(d_h_there + sizes_.units, d_c);", ""),
    ("d_h added to, where it is replaced", "C::kHasCandidate ? Start::kThere : Start::kZero", "Start::kThere"),
    ("d_h replaced, where it is added to", "C::kHasCandidate ? Start::kThere : Start::kZero", "Start::kZero"),
    ("what reaches the old state by z not kept", "      store(d_h_there, d_h);\n", ""),
    ("cotangent of the output ignored", "load(d_h_there) + load(with_.d_y + place, count)", "load(d_h_there)"),
    ("cotangents of the last vector not cut", "store(d_gates + k * kGroup<T>, first_of<T>(d_g[k], count));", "store(d_gates + k * kGroup<T>, d_g[k]);"),
    ("cotangent of n not cut, reset before", "store(d_n, first_of<T>(d_candidate, count));", "store(d_n, d_candidate);"),
    ("cotangent of W_hn h not kept apart", "store(d_n + 3 * sizes_.units, first_of<T>(d[3], count));", "store(d_n + 3 * sizes_.units, first_of<T>(d[0], count));"),
    ("state before a step is that after it", ": cursor.row() + with_.schedule.direction);", ": cursor.row());"),
    ("gradients of weights take reverse for forward", "row == first\n", "row == begin\n"),
    ("gradients of weights take the state after a step", "with.y + static_cast<size_t>(row - direction) * H", "with.y + static_cast<size_t>(row) * H"),
    ("rows of d_x that fill no tile left out", "std::min<std::int64_t>(kRowsUnprojected, end - first));\n", "std::min<std::int64_t>(kRowsUnprojected, end - first));\n    if (count < kTileRows) return;\n"),
    ("d_x not copied where it ends within a vector", "for (int n = 0; !is_whole && n < count; ++n) {", "for (int n = 0; is_whole && n < 0; ++n) {"),
    ("threads leave out rows of d_x that divide by nothing", "unproject(with, sizes, weights, rows * thread / threads, rows * (thread + 1) / threads,", "unproject(with, sizes, weights, rows / threads * thread, rows / threads * (thread + 1),"),
    ("d_W_ih without the last rows that fill no tile", "share(sizes.row, thread, threads, kTileRows)", "share(sizes.row / kTileRows * kTileRows, thread, threads, kTileRows)"),
    ("d_W_hh without the last rows that fill no tile", "share(sizes.d_row - sizes.fused, thread, threads, kTileRows)", "share((sizes.d_row - sizes.fused) / kTileRows * kTileRows, thread, threads, kTileRows)"),
    ("d_W_hh from other columns", "{sizes.fused + state.begin, sizes.fused + state.end}", "{state.begin, state.end}"),
    ("d_W_hn without r", "return with.rh + static_cast<size_t>(row) * H;", "return before[static_cast<size_t>(row)];"),
    ("d_b_hh of n without r", "C::kHasQ ? sizes.fused : 0, sizes.d_row, with.d_b_hh", "0, sizes.row, with.d_b_hh"),
    ("sums of biases lack a thread's rest", "sum_rows(d_a, share(sizes.d_row / kWidth<T>, thread, threads),", "sum_rows(d_a, {sizes.d_row / kWidth<T> / threads * thread, sizes.d_row / kWidth<T> / threads * (thread + 1)},"),
)  # fmt: skip

_GRADIENTS = bugs(
    "cpu/src/gradients.h",
    ("sums begin at what memory held", "rows, row > 0);", "rows, true);"),
    ("sums of the last block of rows only", "rows, row > 0);", "rows, false);"),
    ("last block of rows left out", "row < d_a.rows; row += kRows) {", "row < d_a.rows && (row == 0 || row + kRows <= d_a.rows); row += kRows) {"),
    ("last strip of columns left out", "column < range.end; column += kStrip) {", "column < range.end && (column == range.begin || column + kStrip <= range.end); column += kStrip) {"),
    ("columns of the last tile left out", "std::copy(from + tile, from + width, to);", "std::copy(from + tile, from + width - 1, to);"),
    ("blocks of inputs on each other", "out, vector * kWidth<T>, is_begun);", "out, (vector - first) * kWidth<T>, is_begun);"),
    ("narrow panels packed as wide ones", "(k * width + vector - first - panel) * kWidth<T>;", "(k * kTileVectors + vector - first - panel) * kWidth<T>;"),
    ("first row left out of the biases' sums", "for (std::int64_t row = 0; row < of.rows; ++row) {", "for (std::int64_t row = 1; row < of.rows; ++row) {"),
)  # fmt: skip

# Products and packed weights --------------------------------------------------------------------

_PRODUCTS = bugs(
    "cpu/src/product.h",
    ("sums begin anew with each block", "k == 0 ? start : Start::kThere", "start"),
    ("blocks of rows multiplied with the first columns", "row[r] = in[r] + first;", "row[r] = in[r];"),
    ("blocks all take the first part of the panel", "static_cast<size_t>(k) * static_cast<size_t>(width);", "static_cast<size_t>(0 * k) * static_cast<size_t>(width);"),
    ("rows that fill no tile left out", "const int height = (rows.count - row) / (count - tile);", "const int height = rows.count / count;"),
    ("rows of the last panel as long as those of the others", "return std::min(kTileVectors, vectors_ - vector) * kWidth<T>;", "return kTileVectors * kWidth<T>;"),
    ("last row of a panel left out", "tile.add_products(depth, panel, [&](auto r, int k)", "tile.add_products(depth - 1, panel, [&](auto r, int k)"),
)  # fmt: skip

_WEIGHTS = bugs(
    "cpu/src/weights.h",
    ("threads leave a rest", "most = divided_up(steps, count) * step;", "most = std::max(1, steps / count) * step;"),
    ("panels not transposed", "      transpose<T>(rows);\n", ""),
    ("columns that fill no vector not packed", "for (int first = 0; first < to.depth(); first += kWidth<T>) {", "for (int first = 0; first == 0 || first + kWidth<T> <= to.depth(); first += kWidth<T>) {"),
    ("what fills a vector comes from beyond the row", "load(from + first, columns - first));", "load(from + std::min(first, columns - 1), 1) + load(from + first, columns - first));"),
    ("a unit too many", "if (place.unit >= hidden) return nullptr;", "if (place.unit > hidden) return nullptr;"),
    ("bias twice", "one == nullptr ? T(0) : *one;", "one == nullptr ? T(0) : *one + *one;"),
    ("bias of the last unit left out", "unit >= H ? T(0) : b_hn[unit]", "unit >= H - 1 ? T(0) : b_hn[unit]"),
    ("candidate multiplied with the rows of another gate", "pack_rows_as_columns(candidate, share(candidate.vectors(), thread, threads),\n                         [&](int column) { return sizes.row_of(W_hh, H, column); });", "pack_rows_as_columns(candidate, share(candidate.vectors(), thread, threads),\n                         [&](int column) { return sizes.row_of(W_hh, H, sizes.fused + column); });"),
    ("backward has no rows for the second cotangent of n", "gates(C::kHasQ ? sizes.row : C::kFused * sizes.units, sizes.units, scratch)", "gates(C::kFused * sizes.units, sizes.units, scratch)"),
    ("d_x from W_hh", "[&](int column) { return sizes.row_of(W_ih, I, column); });\n    pack_rows(gates", "[&](int column) { return sizes.row_of(W_hh, I, column); });\n    pack_rows(gates"),
)  # fmt: skip

_VECTORS = bugs(
    "cpu/src/vectors.h",
    ("a last number too few stored", "if (count > 0) std::memcpy(to, &vector, sizeof(T) * static_cast<unsigned>(count));", "if (count > 0) std::memcpy(to, &vector, sizeof(T) * static_cast<unsigned>(count - 1));"),
    ("a last number too few loaded", "if (count > 0) std::memcpy(&vector, from, sizeof(T) * static_cast<unsigned>(count));", "if (count > 0) std::memcpy(&vector, from, sizeof(T) * static_cast<unsigned>(count - 1));"),
)  # fmt: skip

# Threads ----------------------------------------------------------------------------------------

_THREADS = bugs(
    "cpu/src/threads.h",
    ("barrier lets nobody go who was overtaken", "- turn <= 1; });", "- turn == 0; });"),
    ("caller does not wait for its helpers", "each_helper([](Helper& helper, int) { helper.wait(); });", ""),
) + bugs(
    "cpu/src/threads.h",
    ("helpers of a forked process are taken for threads", "if (process_ == getpid()) return;", "return;"),
    ("helpers take signals", "pthread_sigmask(SIG_SETMASK, &all, &before);", "pthread_sigmask(SIG_BLOCK, nullptr, &before);"),
    ("helpers stay on the core they were woken on", "wake();\n    pthread_setaffinity_np(other.native_handle(), sizeof all_, &all_);", "wake();"),
    ("helpers spin between calls", "changed_.wait(lock, [&]", "while (!is_working_.load()) { lock.unlock(); lock.lock(); }\n        changed_.wait(lock, [&]"),
    ("a helper for each call", "while (static_cast<int>(helpers_.size()) < threads - 1) {", "for (int n = 1; n < threads; ++n) {"),
    kind="threads",
) + bugs(
    "cpu/src/threads.h",
    ("arrivals seen before what was written", "own.store(turn, std::memory_order_release);", "own.store(turn, std::memory_order_relaxed);"),
    ("helper's end seen before what it wrote", "is_working_.store(false, std::memory_order_release);", "is_working_.store(false, std::memory_order_relaxed);"),
    kind="races",
)  # fmt: skip

_RACES = bugs(
    "cpu/src/forward.h",
    ("no barrier after a step", "cursor.advance(with_.schedule);\n      }\n      barrier_.wait(member_);", "cursor.advance(with_.schedule);\n      }"),
    ("no barrier between the phases of reset before", "if constexpr (C::kHasRh) {\n      barrier_.wait(member_);", "if constexpr (C::kHasRh) {"),
    ("no barrier after packing", "all.wait(thread);\n    project(", "project("),
    ("no barrier after the products of x", "all.wait(thread);\n    parts[", "parts["),
    ("members of a team all step all units", "own_ = share(sizes.units / kGroup<T>, member_, teams.members, kGroupsAtOnce<C>);", "own_ = {0, sizes.units / kGroup<T>};"),
    ("teams share the memory of r h", "rh.data() + before);", "rh.data() + 0 * before);"),
    kind="races",
) + bugs(
    "cpu/src/backward.h",
    ("no barrier before the product of a step", "units(n, unit);\n      });\n      barrier_.wait(member_);", "units(n, unit);\n      });"),
    ("no barrier between the phases of reset before", "reset(n, unit); });\n        barrier_.wait(member_);", "reset(n, unit); });"),
    ("no barrier after packing", "all.wait(thread);\n    parts[", "parts["),
    ("no barrier before the products of all rows", "all.wait(thread);\n    unproject(", "unproject("),
    kind="races",
)  # fmt: skip

_BOUNDS = bugs(
    "cpu/src/forward.h",
    ("initial state's last vector not cut", "const V h_prev = load(h_prev_[n] + unit, count), r", "const V h_prev = load(h_prev_[n] + unit), r"),
    kind="bounds",
) + bugs(
    "cpu/src/backward.h",
    ("cotangent of the output not cut", "load(with_.d_y + place, count)", "load(with_.d_y + place)"),
    ("r h not cut", "store(with_.rh + place, C::reset(r, h_prev), count);", "store(with_.rh + place, C::reset(r, h_prev));"),
    kind="bounds",
) + bugs(
    "cpu/src/gradients.h",
    ("inputs of the last vector not cut", "load(from + vector * kWidth<T>, inputs_ - vector * kWidth<T>)", "load(from + vector * kWidth<T>)"),
    kind="bounds",
) + bugs(
    "cpu/src/weights.h",
    ("a matrix' last vector not cut", "load(from + first, columns - first)", "load(from + first)"),
    kind="bounds",
) + bugs(
    "cpu/src/scratch.h",
    ("no room for the start of a line", "return taken_ + kLine;", "return taken_;"),
    kind="bounds",
) + bugs(
    "cpu/layout.py",
    ("q without room for the last group", '(rows, self.units)\n', '(rows, self.hidden_size)\n'),
    kind="bounds",
)  # fmt: skip

# What is between Python and the kernels ---------------------------------------------------------

_CYTHON = bugs(
    "cpu/kernels.pxi",
    ("b_hn not added", "arguments.b_hn = given(b_hn)", "arguments.b_hn = NULL"),
    ("d_c_n is d_h_n", "arguments.d_c_n = given(d_c_n)", "arguments.d_c_n = given(d_h_n)"),
    ("rows of the last sequence left out", "offsets[offsets.shape[0] - 1]", "offsets[offsets.shape[0] - 2]"),
    ("d_b_hh not written", "arguments.d_b_hh = taken(d_b_hh)", "arguments.d_b_hh = NULL"),
)  # fmt: skip

_PYTHON = bugs(
    "cpu/unroll.py",
    ("W_hh transposed", 'np.ascontiguousarray(parameters["W_hh"])', 'np.ascontiguousarray(parameters["W_hh"].reshape(-1, H, H).swapaxes(1, 2).reshape(-1, H))'),
    ("backward walks reverse as forward", "1 if tape.reverse else -1", "-1"),
    ("nothing of the initial state at length 0", "map(np.array, state_0)", "map(np.zeros_like, state_0)"),
    ("nothing of the final cotangent at length 0", "map(np.array, d_state_n)", "map(np.zeros_like, d_state_n)"),
    ("bias merged, reset after", "if layout.has_q else None", "* 0 if layout.has_q else None"),
    ("gradients with what fills their last group", "array[..., : shapes[name][-1]]", "array"),
    ("output is the tape's", "output = self.workspace.empty((N, H), dtype)", 'output = saved.rows["y"]'),
    ("x not copied for the tape", "*map(saved.rows.get, (\"x\", \"a\", \"y\", \"c\", \"q\")),\n                    output", "x, *map(saved.rows.get, (\"a\", \"y\", \"c\", \"q\")),\n                    output"),
) + bugs(
    "kernel_cells.py",
    ("b_hn of reset after added outside of r too", "2 * cell.hidden_size if is_apart else len(bias)", "len(bias)"),
) + [
    KernelBug("sequences of length 0 on a lane", "cpu/lanes.py", (("order = order[first_of_lane[0] :]", "pass"), ("first_of_lane -= first_of_lane[0]", "first_of_lane[0] = 0"))),
] + bugs(
    "cpu/workspace.py",
    ("memory given out twice", "return self._kept.pop(index)", "return self._kept[index]"),
    ("memory comes back while a view has it", "return np.asarray(_Lease(self, self._taken(_block_size(nbytes))))", "return np.asarray(_Lease(self, self._taken(_block_size(nbytes)))._block)"),
    kind="threads",
) + bugs(
    "cpu/crews.py",
    ("helpers of two calls at the same time", "found = idle.pop()", "found = idle[-1]"),
    kind="threads",
)  # fmt: skip

#: All of them.
PLANTED_BUGS = (
    *_LSTM, *_GRU_AND_RNN, *_SCHEDULE, *_FORWARD, *_BACKWARD, *_GRADIENTS, *_PRODUCTS, *_WEIGHTS,
    *_VECTORS, *_THREADS, *_RACES, *_BOUNDS, *_CYTHON, *_PYTHON,
)  # fmt: skip
