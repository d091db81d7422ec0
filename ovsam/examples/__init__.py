"""Classes from examples: drawn boxes or masks, or crops → what a vocabulary's classes look like."""
