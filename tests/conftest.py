"""What every test file shares: one thread a process, so that timings and sums do not hang on the machine."""

import os

# Before torch and BLAS are imported, here and in the processes that tests start.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
