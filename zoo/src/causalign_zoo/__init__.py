"""The networks of causalign's zoo that are not in its own package. `causalign.zoo` finds them."""
