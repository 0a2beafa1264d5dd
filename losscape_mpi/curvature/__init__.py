"""Curvature: gradients, Hessian products and extreme eigenvalues at the center."""
