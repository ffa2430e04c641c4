"""Graph -> FixedGraph: calibration, scales, formats, and notes on every value that changed."""
