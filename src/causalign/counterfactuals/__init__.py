"""Counterfactual datasets: what each target should do after each swap."""
