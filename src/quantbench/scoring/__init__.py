"""`quantbench score`: scores a file of samples in the official evaluators' format, in the sandbox.

Supports HumanEval, the built-in task and any file of HumanEval's form, and HumanEval+ files with base and
plus verdicts in one pass. What cannot be scored is named, the rest is scored. MBPP is not supported: its
tests are bare assertions, which would have to be rewritten as a check of one function first.
"""
