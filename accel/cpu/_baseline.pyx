# distutils: language = c++
# cython: language_level=3, binding=True
include "kernels.pxi"

cdef extern from "processor.h" namespace "refrnn" nogil:
    bint has_avx2()
    bint has_avx512()


def has_instructions(str name):
    """Whether this processor has an instruction set, and the system keeps its registers."""
    if name == "avx2":
        return has_avx2()
    if name == "avx512":
        return has_avx512()
    return name == "baseline"
