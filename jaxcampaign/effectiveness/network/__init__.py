"""The Flax network: three additive towers, their training, and what is kept of them."""
