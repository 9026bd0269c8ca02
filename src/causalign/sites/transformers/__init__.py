"""Sites in the residual stream of transformers."""
