# distutils: language = c++
# cython: language_level=3, binding=True
include "kernels.pxi"
