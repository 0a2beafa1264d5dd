"""The network on its device: moved, fused, run on batches."""
