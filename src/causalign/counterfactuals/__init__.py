"""Counterfactual datasets: the expected output of each target after each swap."""
