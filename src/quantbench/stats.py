"""Statistics of the figures: known formulas with their sources; scipy does the arithmetic."""
