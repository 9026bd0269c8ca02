"""Sites in any PyTorch module, by forward hooks."""
