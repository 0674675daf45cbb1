"""Machine code for layers whose CPU kernels in PyTorch are slow on small networks."""
