"""The dynamic unroll on CUDA devices, through PyCUDA."""
