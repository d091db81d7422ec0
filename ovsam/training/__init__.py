"""Everything that makes weights: data, losses, steps and the loop. The core of `ovsam` never imports this package."""
