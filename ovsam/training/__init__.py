"""What makes weights: data, losses, steps and the loop. The core of `ovsam` never imports it."""
