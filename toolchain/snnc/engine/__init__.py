"""The fast executor: a fixed graph becomes a plan once; the plan runs in C kernels or in NumPy, bit for bit alike."""
