"""The quality of a model: generate -> extract -> execute -> score, and the distance from the baseline.

One way from the text of an answer to its verdict (`grading`), for text that was just generated and for text
that is read from a file of samples. Knows no statistics but pass@k.
"""
