"""Validation: problems whose answer is known beforehand, and how often the verdict on a score is wrong.

problems --draw--> cases --align--> alignments --angles, verdict--> table
drawn pairs of a known relation --align--> alignments --verdict--> error rates

Both are points of a sweep, so that they are resumed, and share the cores.
"""
