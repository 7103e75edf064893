"""The linear relaxation by a primal-dual method in JAX, where a simplex cannot start."""
