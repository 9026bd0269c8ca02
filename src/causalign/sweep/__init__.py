"""Sweeps: many alignments over a grid, on one machine or many, which go on after they were stopped.

base, grid --expand--> points --executor--> a folder for each finished point --> table, heat maps, report
"""
