"""Many runs that are compared: which ones, running them, and what they come to."""
