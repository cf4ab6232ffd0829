"""How the built-in model and task came to be: the generator of problems, the tokenizer and the training.

Not part of the installed package, which ships only the outcome (src/quantbench/assets).
"""
