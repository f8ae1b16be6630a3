# What all instruction sets' modules are: Python arrays in, pointers to the kernels.
#
# Arguments are as refrnn_accel.cpu.unroll makes them: C-contiguous, of one dtype, of sizes that
# belong together. An array that a cell has no use for is None.

from libc.stdint cimport int32_t, int64_t

cdef extern from "kernels.h" namespace "refrnn" nogil:
    cdef struct Schedule:
        const int64_t* offsets
        const int32_t* order
        const int32_t* first_of_lane
        int64_t rows
        int lanes
        int direction

    cdef struct Teams:
        int count
        int members

    cdef cppclass CppCrew "refrnn::Crew":
        pass

    cdef cppclass ForwardArguments[T]:
        Schedule schedule
        int input_size
        int hidden_size
        const T* x
        const T* W_ih
        const T* W_hh
        const T* bias
        const T* b_hn
        const T* h_0
        const T* c_0
        T* x_kept
        T* a
        T* y
        T* c
        T* q
        T* output
        T* h_n
        T* c_n

    cdef cppclass BackwardArguments[T]:
        Schedule schedule
        int input_size
        int hidden_size
        const T* x
        const T* W_ih
        const T* W_hh
        const T* h_0
        const T* c_0
        const T* a
        const T* y
        const T* c
        const T* q
        const T* d_y
        const T* d_h_n
        const T* d_c_n
        T* d_a
        T* rh
        T* d_x
        T* d_h_0
        T* d_c_0
        T* d_W_ih
        T* d_W_hh
        T* d_b_ih
        T* d_b_hh

    size_t forward_scratch[T](int cell, int input_size, int hidden_size) except +
    size_t backward_scratch[T](
        int cell, int input_size, int hidden_size, int threads,
    ) except +
    void run_forward[T](
        int cell, const ForwardArguments[T]& arguments, T* scratch, Teams teams, CppCrew& crew,
    ) except +
    void run_backward[T](
        int cell, const BackwardArguments[T]& arguments, T* scratch, Teams teams, CppCrew& crew,
    ) except +

ctypedef fused real:
    float
    double


cdef inline const real* given(const real[:, ::1] array) noexcept:
    if array is None or array.shape[0] == 0 or array.shape[1] == 0:
        return NULL
    return &array[0, 0]


cdef inline real* taken(real[:, ::1] array) noexcept:
    if array is None or array.shape[0] == 0 or array.shape[1] == 0:
        return NULL
    return &array[0, 0]


cdef Schedule made_schedule(
    const int64_t[::1] offsets, const int32_t[::1] order, const int32_t[::1] first_of_lane,
    int direction,
):
    cdef Schedule schedule
    schedule.offsets = &offsets[0]
    schedule.order = &order[0]
    schedule.first_of_lane = &first_of_lane[0]
    schedule.rows = offsets[offsets.shape[0] - 1]
    schedule.lanes = <int>(first_of_lane.shape[0] - 1)
    schedule.direction = direction
    return schedule


cdef class Crew:
    """Threads that sleep until a kernel has work for them; of one call at a time."""

    cdef CppCrew helpers


def scratch_sizes(int cell, int input_size, int hidden_size, int threads, int itemsize):
    """Numbers that forward and backward need memory for, beside their arrays."""
    if itemsize == sizeof(float):
        return (
            forward_scratch[float](cell, input_size, hidden_size),
            backward_scratch[float](cell, input_size, hidden_size, threads),
        )
    return (
        forward_scratch[double](cell, input_size, hidden_size),
        backward_scratch[double](cell, input_size, hidden_size, threads),
    )


def forward(
    Crew crew not None, int cell, int teams, int members,
    const int64_t[::1] offsets, const int32_t[::1] order, const int32_t[::1] first_of_lane,
    int direction,
    const real[:, ::1] x, const real[:, ::1] W_ih, const real[:, ::1] W_hh,
    const real[:, ::1] bias, const real[:, ::1] b_hn,
    const real[:, ::1] h_0, const real[:, ::1] c_0,
    real[:, ::1] x_kept, real[:, ::1] a, real[:, ::1] y, real[:, ::1] c, real[:, ::1] q,
    real[:, ::1] output, real[:, ::1] h_n, real[:, ::1] c_n, real[::1] scratch,
):
    cdef ForwardArguments[real] arguments
    cdef Teams shared
    shared.count, shared.members = teams, members
    arguments.schedule = made_schedule(offsets, order, first_of_lane, direction)
    arguments.input_size = <int>W_ih.shape[1]
    arguments.hidden_size = <int>W_hh.shape[1]
    arguments.x = given(x)
    arguments.W_ih = given(W_ih)
    arguments.W_hh = given(W_hh)
    arguments.bias = given(bias)
    arguments.b_hn = given(b_hn)
    arguments.h_0 = given(h_0)
    arguments.c_0 = given(c_0)
    arguments.x_kept = taken(x_kept)
    arguments.a = taken(a)
    arguments.y = taken(y)
    arguments.c = taken(c)
    arguments.q = taken(q)
    arguments.output = taken(output)
    arguments.h_n = taken(h_n)
    arguments.c_n = taken(c_n)
    with nogil:
        run_forward(cell, arguments, &scratch[0], shared, crew.helpers)


def backward(
    Crew crew not None, int cell, int teams, int members,
    const int64_t[::1] offsets, const int32_t[::1] order, const int32_t[::1] first_of_lane,
    int direction,
    const real[:, ::1] x, const real[:, ::1] W_ih, const real[:, ::1] W_hh,
    const real[:, ::1] h_0, const real[:, ::1] c_0,
    const real[:, ::1] a, const real[:, ::1] y, const real[:, ::1] c, const real[:, ::1] q,
    const real[:, ::1] d_y, const real[:, ::1] d_h_n, const real[:, ::1] d_c_n,
    real[:, ::1] d_a, real[:, ::1] rh, real[:, ::1] d_x, real[:, ::1] d_h_0, real[:, ::1] d_c_0,
    real[:, ::1] d_W_ih, real[:, ::1] d_W_hh, real[:, ::1] d_b_ih, real[:, ::1] d_b_hh,
    real[::1] scratch,
):
    cdef BackwardArguments[real] arguments
    cdef Teams shared
    shared.count, shared.members = teams, members
    arguments.schedule = made_schedule(offsets, order, first_of_lane, direction)
    arguments.input_size = <int>W_ih.shape[1]
    arguments.hidden_size = <int>W_hh.shape[1]
    arguments.x = given(x)
    arguments.W_ih = given(W_ih)
    arguments.W_hh = given(W_hh)
    arguments.h_0 = given(h_0)
    arguments.c_0 = given(c_0)
    arguments.a = given(a)
    arguments.y = given(y)
    arguments.c = given(c)
    arguments.q = given(q)
    arguments.d_y = given(d_y)
    arguments.d_h_n = given(d_h_n)
    arguments.d_c_n = given(d_c_n)
    arguments.d_a = taken(d_a)
    arguments.rh = taken(rh)
    arguments.d_x = taken(d_x)
    arguments.d_h_0 = taken(d_h_0)
    arguments.d_c_0 = taken(d_c_0)
    arguments.d_W_ih = taken(d_W_ih)
    arguments.d_W_hh = taken(d_W_hh)
    arguments.d_b_ih = taken(d_b_ih)
    arguments.d_b_hh = taken(d_b_hh)
    with nogil:
        run_backward(cell, arguments, &scratch[0], shared, crew.helpers)
