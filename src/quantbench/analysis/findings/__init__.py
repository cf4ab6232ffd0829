"""What the comparisons say: observations, trade-offs, recommendations, caveats, issues."""
