"""Sites in any module, by forward hooks."""
