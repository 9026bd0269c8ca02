"""Sites of recurrent networks."""
