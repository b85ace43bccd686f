"""Many runs of one scenario: comparisons, rescues, storm maps and checks of demand."""
